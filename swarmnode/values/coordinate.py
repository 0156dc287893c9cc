"""A place in the space of round-trip times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coordinate:
    """x, y: seconds, in a plane where distance is time. height: seconds, never negative: the way from the
    node to its provider, which every path has. error: 0 (sure) to 1 (no idea), relative."""

    x: float = 0.0
    y: float = 0.0
    height: float = 0.0
    error: float = 1.0
