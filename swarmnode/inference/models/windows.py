"""Which layers see a sliding window of the text only (arXiv 2004.05150), and how wide it is."""

from __future__ import annotations

from swarmnode.inference.models.family import Family
from swarmnode.models.keys import Keys

MAX_WINDOW = 1 << 30
WINDOW, PATTERN = "attention.sliding_window", "attention.sliding_window_pattern"


def read_windows(keys: Keys, family: Family, layers: int) -> tuple[int, ...]:
    """One a layer: how many positions it sees, its own among them; 0 stands for all.

    The header's pattern is a period, as in `Family`, or one truth value a layer (true: a window).
    Raises `BadModelFile` for patterns that are neither.
    """
    window = keys.integer(WINDOW, 0, MAX_WINDOW, default=family.default_window)
    narrow = keys.flags(PATTERN, layers)
    if narrow is None:
        period = keys.integer(PATTERN, 0, MAX_WINDOW, default=family.window_period)
        narrow = tuple(period == 0 or (layer + 1) % period != 0 for layer in range(layers))
    return tuple(window if each else 0 for each in narrow)
