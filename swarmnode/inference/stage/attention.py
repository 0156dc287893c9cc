"""Causal attention of a few rows over a cache, each row as if it were alone.

Keys are taken in whole blocks of 64 at absolute multiples of 64; what lies behind a row is masked,
not left out. So the shapes of all products and sums depend on the row's position only, and with
them every rounding: not on the chunk, the batch, the cut or the room in the cache (DESIGN 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.attention_cache import AttentionCache
from swarmnode.inference.cache.layer_cache import BLOCK, blocks_for
from swarmnode.inference.stage.elementwise import soft_cap
from swarmnode.inference.stage.scratch import Scratch

Floats = npt.NDArray[np.float32]

#: Scores computed at a time (4 MiB), unless a single row has more.
MAX_SCORES = 1 << 20

#: LATER[i]: added to the scores of the last block for the row at place i of that block.
LATER = np.triu(np.full((BLOCK, BLOCK), -np.inf, np.float32), 1)
#: EARLIER[i]: added to the scores of the first block where place i is the first that is seen.
EARLIER = np.tril(np.full((BLOCK, BLOCK), -np.inf, np.float32), -1)


@dataclass(frozen=True, slots=True)
class Sight:
    """What rows see of the text, and how. window: positions, the row's own among them; 0: all before
    it. cap: scores s become cap * tanh(s / cap); 0: they stay."""

    window: int = 0
    cap: float = 0.0

    def first(self, position: int) -> int:
        """The first position that the row at `position` sees."""
        return max(0, position - self.window + 1) if self.window else 0


EVERYTHING = Sight()


def attend(
    queries: Floats,
    cache: AttentionCache,
    first: int,
    out: Floats,
    scratch: Scratch,
    sight: Sight = EVERYTHING,
) -> None:
    """out[i] = attention of the row at position first + i over what it sees up to itself.

    queries: float32 [rows, kv_heads, group, head_dim], scaled already; the cache holds the rows' own
    keys and values. out: float32 of the same shape, contiguous.
    """
    rows, kv_heads, group, head_dim = queries.shape
    end = first + rows
    room = 0 if cache.is_float32 else 2 * blocks_for(end) * kv_heads * BLOCK * head_dim
    keys, values = cache.blocks(end, scratch.take("keys and values", room))
    keys = keys.transpose(0, 1, 3, 2)
    for start, stop in _groups(first, rows, kv_heads * group, sight):
        blocks = slice(sight.first(first + start) // BLOCK, (first + start) // BLOCK + 1)
        _attend_alike(
            queries[start:stop], keys[blocks], values[blocks], first + start, sight, out[start:stop], scratch
        )


def _groups(first: int, rows: int, heads: int, sight: Sight = EVERYTHING) -> Iterator[tuple[int, int]]:
    """Runs of rows that see the same blocks, and whose scores are not too many."""
    start = 0
    while start < rows:
        low, block = sight.first(first + start), (first + start) // BLOCK
        most = max(1, MAX_SCORES // (heads * (block + 1 - low // BLOCK) * BLOCK))
        stop = min(rows, start + most, (block + 1) * BLOCK - first)
        if sight.window:  # the first row that sees one block less
            stop = min(stop, (low // BLOCK + 1) * BLOCK + sight.window - 1 - first)
        yield start, stop
        start = stop


def _attend_alike(
    queries: Floats,
    keys: Floats,
    values: Floats,
    first: int,
    sight: Sight,
    out: Floats,
    scratch: Scratch,
) -> None:
    """Rows at positions `first`, `first` + 1, ... of the last of the given blocks."""
    rows, kv_heads, group, head_dim = queries.shape
    blocks = len(keys)
    scores = scratch.take("scores", rows, kv_heads, group, blocks * BLOCK)
    by_block = scores.reshape(rows, kv_heads, group, blocks, BLOCK).transpose(0, 3, 1, 2, 4)
    np.matmul(queries[:, None], keys, out=by_block)
    soft_cap(scores, sight.cap)
    positions = range(first, first + rows)
    scores[..., -BLOCK:] += LATER[[position % BLOCK for position in positions], None, None]
    if sight.window:
        lows = [sight.first(position) % BLOCK for position in positions]
        scores[..., :BLOCK] += EARLIER[lows, None, None]
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    parts = scratch.take("attention parts", rows, blocks, kv_heads * group * head_dim)
    np.matmul(by_block, values, out=parts.reshape(rows, blocks, kv_heads, group, head_dim))
    for row in range(rows):
        np.add.reduce(parts[row], axis=0, out=out[row].reshape(-1))
    out /= np.add.reduce(scores, axis=-1, keepdims=True)
