"""How many threads a model computes with."""

from __future__ import annotations

from math import ceil

#: Part of the physical cores by contribution, when nobody says how many.
SHARES = {"minimal": 0.5, "moderate": 0.75, "maximum": 1.0}


def threads_for(cores: int, contribution: str, wanted: int) -> int:
    """Threads for one model. cores: physical ones that may be used; wanted: as configured, 0 for none.

    Never more than there are cores: decoding waits for memory, and further threads slow it down.
    """
    return max(1, min(cores, wanted or ceil(cores * SHARES[contribution])))
