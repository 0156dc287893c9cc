"""Typed reading of a GGUF's metadata: every number is checked before it is believed."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from swarmnode.models.gguf import BadModelFile, GgufFile


class Keys:
    """The metadata under `<architecture>.`, by short name: `block_count`, `rope.freq_base`, ...

    Raises `BadModelFile` that names the key and the fault.
    """

    def __init__(self, gguf: GgufFile, architecture: str) -> None:
        self._gguf = gguf
        self._prefix = architecture

    def has(self, name: str) -> bool:
        return f"{self._prefix}.{name}" in self._gguf.metadata

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number, low <= value <= high. A list of equal numbers counts as that number."""
        value = self._value(name, default)
        if isinstance(value, list) and value and all(each == value[0] for each in value):
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._fault(name, f"{_brief(value)}, not a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number, low <= value <= high."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._fault(name, f"{_brief(value)}, not a number")
        if not isfinite(value) or not low <= value <= high:
            raise self._fault(name, f"{value}, not a number from {low:g} to {high:g}")
        return float(value)

    def text(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of the given words."""
        value = self._value(name, default)
        if not isinstance(value, str) or value not in choices:
            raise self._fault(name, f"{_brief(value)}; known are {', '.join(choices)}")
        return value

    def flags(self, name: str, count: int) -> tuple[bool, ...] | None:
        """A list of `count` truth values; None where there is nothing or no list."""
        value = self._gguf.metadata.get(f"{self._prefix}.{name}")
        if not isinstance(value, list):
            return None
        if len(value) != count or not all(isinstance(each, bool) for each in value):
            raise self._fault(name, f"{_brief(value)}, not {count} truth values")
        return tuple(value)

    def _value(self, name: str, default: object) -> object:
        value = self._gguf.metadata.get(f"{self._prefix}.{name}", default)
        if value is None:
            raise BadModelFile(self._gguf.path, f"the metadata lack {self._prefix}.{name}")
        return value

    def _fault(self, name: str, fault: str) -> BadModelFile:
        return BadModelFile(self._gguf.path, f"{self._prefix}.{name} is {fault}")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
