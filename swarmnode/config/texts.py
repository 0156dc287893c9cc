"""Values given as text: by environment variables and by flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from swarmnode.config.config import Origin
from swarmnode.config.key import PREFIX, Key
from swarmnode.config.keys import KEYS, VARIABLES, nearest_key, nearest_variable
from swarmnode.config.kinds import BadValue
from swarmnode.config.problems import Problems
from swarmnode.values.errors import Refused

#: Variables with our prefix that are no keys: they steer tests, or one worker for a trial.
NOT_KEYS = ("SWARMNODE_CPU_TARGET", "SWARMNODE_SHARED", "SWARMNODE_REQUIRE_BROWSER", "SWARMNODE_SCREENSHOTS")
NOT_KEYS_PREFIX = "SWARMNODE_TEST_"


@dataclass(frozen=True, slots=True)
class Override:
    """A value from the command line: its key, its text (texts for a list), the flag that gave it."""

    key: str
    value: str | tuple[str, ...]
    flag: str


def assignment(text: str) -> Override:
    """The override that `--set section.key=value` means. Raises `Refused(code="bad_config")`."""
    key, equals, value = text.partition("=")
    if not equals:
        raise Refused(
            f"--set {text}: there is no = in it",
            code="bad_config",
            hint="Write --set section.key=value, for example --set node.listen_port=9000.",
        )
    return Override(key.strip(), value, f"--set {key.strip()}")


def from_environment(environ: Mapping[str, str], problems: Problems) -> dict[str, tuple[Any, Origin]]:
    """The values that the environment sets, by key. A key's own variable comes before its others."""
    layer: dict[str, tuple[Any, Origin]] = {}
    for variable in sorted(environ, key=lambda name: (_is_alias(name), name)):
        if not variable.startswith(PREFIX) or variable in NOT_KEYS or variable.startswith(NOT_KEYS_PREFIX):
            continue
        key = VARIABLES.get(variable)
        if key is None:
            problems.unknown("environment", f"the variable {variable}", nearest_variable(variable))
        elif key.path not in layer:
            _take(layer, key, environ[variable], Origin("environment", variable), problems)
    return layer


def from_flags(overrides: Iterable[Override], problems: Problems) -> dict[str, tuple[Any, Origin]]:
    """The values that the command line sets, by key. One key given twice is a mistake."""
    layer: dict[str, tuple[Any, Origin]] = {}
    for override in overrides:
        key = KEYS.get(override.key)
        if key is None:
            problems.unknown(override.flag, f"the key {override.key}", nearest_key(override.key))
        elif key.path in layer:
            problems.add(f"{override.flag}: {key.path} is already given by {layer[key.path][1]}")
        else:
            _take(layer, key, override.value, Origin("flag", override.flag), problems)
    return layer


def _is_alias(variable: str) -> bool:
    return variable in VARIABLES and VARIABLES[variable].variable != variable


def _take(
    layer: dict[str, tuple[Any, Origin]],
    key: Key,
    value: str | tuple[str, ...],
    origin: Origin,
    problems: Problems,
) -> None:
    try:
        typed = key.kind.parse(value) if isinstance(value, str) else key.kind.check(value)
        layer[key.path] = typed, origin
    except BadValue:
        problems.bad_value(origin.place, key, value)
