"""Trust in a peer as it is remembered over a restart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeptTrust:
    """score, start: 0 to 1; the score moves back to the start as time passes. stamp: Unix seconds of the
    moment at which the score held."""

    peer: str
    score: float
    start: float
    stamp: float
