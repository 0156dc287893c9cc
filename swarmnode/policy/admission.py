"""Which requests run now, wait, or are refused: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Admission = Literal["run", "queue", "refuse"]


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests run and wait, and how many of each there may be."""

    running: int
    waiting: int
    max_running: int
    max_waiting: int


def admit(load: Load) -> Admission:
    """Run while there is a free place and nobody waits longer; else wait; else refuse."""
    if load.running < load.max_running and not load.waiting:
        return "run"
    return "queue" if load.waiting < load.max_waiting else "refuse"
