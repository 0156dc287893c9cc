"""The one table of all keys, put together from `tables`.

Everything else that is said about keys (the loader, the reference page, `config show`, the names of
the environment variables) is derived from it.
"""

from __future__ import annotations

from difflib import get_close_matches

from swarmnode.config.key import Key
from swarmnode.config.tables import inference, network, node, swarm

#: Every key by its path, in the order of the reference page.
KEYS: dict[str, Key] = {key.path: key for key in (*node.KEYS, *inference.KEYS, *network.KEYS, *swarm.KEYS)}
#: The sections, in the order of the reference page.
SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.section for key in KEYS.values()))
#: The key that each environment variable sets.
VARIABLES: dict[str, Key] = {key.variable: key for key in KEYS.values()} | {
    name: key for key in KEYS.values() for name in key.also
}


def nearest_key(path: str) -> str | None:
    """The declared key that an unknown one probably means: the same name elsewhere, or alike."""
    name = path.rpartition(".")[2]
    elsewhere = [key.path for key in KEYS.values() if key.name == name]
    return next(iter(elsewhere or get_close_matches(path, KEYS, n=1)), None)


def nearest_section(section: str) -> str | None:
    """The declared section that an unknown one probably means."""
    return next(iter(get_close_matches(section, SECTIONS, n=1)), None)


def nearest_variable(variable: str) -> str | None:
    """The environment variable that an unknown one probably means."""
    return next(iter(get_close_matches(variable, VARIABLES, n=1)), None)
