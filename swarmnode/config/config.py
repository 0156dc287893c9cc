"""The configuration once it is loaded: a value and an origin for every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from swarmnode.config.dotenv import ProviderKeys

Layer = Literal["default", "file", "environment", "flag"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Which layer a value comes from, and the file, variable or flag in it."""

    layer: Layer
    place: str = ""

    def __str__(self) -> str:
        return self.place or self.layer


@dataclass(frozen=True, slots=True)
class Config:
    """Every declared key with its value.

    data_dir: absolute, the platform's place where no key names another. file: the configuration
    file that was read, if one was. notes: things to tell the user that stop nothing.
    """

    values: Mapping[str, Any] = field(repr=False)
    origins: Mapping[str, Origin] = field(repr=False)
    data_dir: Path
    file: Path | None = None
    verbosity: int = 0
    provider_keys: ProviderKeys = field(default_factory=ProviderKeys)
    notes: tuple[str, ...] = ()

    def value(self, key: str) -> Any:
        """The value of a declared key. An undeclared one is a bug: `KeyError`."""
        return self.values[key]

    def origin(self, key: str) -> Origin:
        """Where the value of a declared key comes from."""
        return self.origins[key]

    def is_set(self, key: str) -> bool:
        """Whether anybody gave the key a value, be it its default."""
        return self.origin(key).layer != "default"
