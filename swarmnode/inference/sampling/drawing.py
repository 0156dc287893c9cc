"""Gumbel-max: the id with the highest logit + Gumbel noise, without the noise of those that cannot win.

The outcome is exactly that of adding `philox.gumbels` to every logit and taking the highest. The noise
of an id is -log(-log u) with u its number from Philox. The two logarithms are needed only for ids that
may beat the best noisy logit B seen so far, and since -log u >= 1 - u, those have

    1 - u  <=  exp(logit - B),

of which the left side is bounded from below by the first word of Philox alone. And because u is at most
1 - 2**-53, an id whose logit lies more than 36.74 below B cannot win whatever its number is.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from swarmnode.inference.sampling.philox import (
    BITS,
    BLOCK,
    Ids,
    Words,
    block_words,
    gumbel_of,
    gumbels,
    units,
)

Values = npt.NDArray[np.float64]

#: Up to so many ids, all noise at once is the quicker way.
FEW = 512
#: Ids that cannot win are left out when they are so many that picking the others takes less time.
WORTH_PICKING = 0.8
#: Room for what float64 rounds in logarithms, exponentials and sums: some 1e-13.
SLACK = 1e-6
LEAST_NOISE = -math.log(53 * math.log(2)) - SLACK
MOST_NOISE = 53 * math.log(2) + SLACK
#: The smallest 1 - u of a first word w is above 1 - (w + 64) / 2**32: 26 of its 32 bits are used.
_REST = 1 << (32 - BITS)


def draw(values: Values, ids: Ids, seed: int, choice: int, position: int) -> int:
    """The id whose value + noise is highest, the first in `ids` among equals.

    values: float64 [n], minus infinity for barred ids, finite for one at least. ids: int64 [n].
    """
    least = float(values.max()) + LEAST_NOISE
    if len(ids) > FEW:
        possible = values >= least - MOST_NOISE
        if np.count_nonzero(possible) < WORTH_PICKING * len(ids):
            values, ids = values[possible], ids[possible]
    if len(ids) <= FEW:
        return int(ids[(values + gumbels(seed, choice, position, ids)).argmax()])
    best, winner = least, -1
    # A short block first: it gives a `best` that nearly all others cannot beat.
    for start, end in pairwise([0, *range(FEW, len(ids), BLOCK), len(ids)]):
        part, these = values[start:end], ids[start:end]
        high, low = block_words(seed, choice, position, these)
        able = np.flatnonzero(_may_beat(best, part, high))
        if len(able):
            noisy = part[able] + gumbel_of(units(high[able], low[able]))
            first = int(noisy.argmax())
            if noisy[first] > best:
                best, winner = float(noisy[first]), int(these[able[first]])
    return winner


def _may_beat(best: float, values: Values, high: Words) -> npt.NDArray[np.bool_]:
    """Whether value + noise may reach `best`, judged by the first word alone."""
    missing = ((1 << 32) - _REST - high.astype(np.float64)) * 2.0**-32
    return missing <= np.exp(values - best) * (1 + SLACK)
