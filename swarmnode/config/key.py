"""What a key is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarmnode.config.kinds import Kind

PREFIX = "SWARMNODE_"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `section` may be nested, as in `resources.schedule`; `default` has the kind's type.

    secret: its value is never shown. also: further environment variables that may hold it.
    """

    section: str
    name: str
    kind: Kind
    default: Any
    doc: str
    secret: bool = False
    also: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """`section.name`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.path.upper().replace(".", "_")
