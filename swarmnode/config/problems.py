"""Collecting all that is wrong with a configuration, to report it at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmnode.config.key import Key
from swarmnode.values.errors import Refused

MAX_SHOWN = 80
MASK = "********"


def show(value: Any) -> str:
    """A value as TOML writes it, for people; None is `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        text = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(show(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{show(name)} = {show(item)}" for name, item in value.items()) + "}"
    return str(value)


def show_for(key: Key, value: Any) -> str:
    """`show`, with a secret masked and None as the key's kind calls it."""
    if value is None:
        return key.kind.absent
    return MASK if key.secret else show(value)


class Problems:
    """What is wrong, in the order it was found."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        """Something wrong that needs no form."""
        self.found.append(text)

    def unknown(self, place: str, what: str, meant: str | None) -> None:
        """A name nobody declared; `meant` is the nearest one that was."""
        tail = f"; did you mean {meant}?" if meant else ""
        self.found.append(f"{place}: {what} is not known{tail}")

    def bad_value(self, place: str, key: Key, value: Any) -> None:
        """A value that its key does not take."""
        shown = show_for(key, value)
        if len(shown) > MAX_SHOWN:
            shown = shown[:MAX_SHOWN] + "..."
        self.found.append(f"{place}: {key.path} = {shown} is not allowed; allowed: {key.kind.describe()}")

    def raise_if_any(self) -> None:
        """Raise one `Refused(code="bad_config")` that names them all."""
        if not self.found:
            return
        if len(self.found) == 1:
            message = self.found[0]
        else:
            message = f"{len(self.found)} problems in the configuration:\n  " + "\n  ".join(self.found)
        raise Refused(
            message,
            code="bad_config",
            hint="`swarmnode config reference` lists every key and what it takes.",
        )
