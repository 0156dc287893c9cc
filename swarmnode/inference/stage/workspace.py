"""The memory that a compiled stage's steps work in: buffers of rows, and what kernels find their way by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from swarmnode.inference.kernels.formats import Activation, padded, row_bytes
from swarmnode.inference.kernels.program import Memory, aligned
from swarmnode.inference.stage.shape import Shape

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Buffer:
    """Rows of float32 in memory, padded to whole panels with zeros."""

    address: int
    width: int

    @property
    def row_bytes(self) -> int:
        """From one row to the next."""
        return 4 * padded(self.width)


@dataclass(slots=True)
class _Places:
    """Places in a memory, given out one after another."""

    size: int = 0
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, name: str, size: int) -> None:
        self.places[name] = (self.size, size)
        self.size += aligned(size)


class Workspace:
    """The memory that steps of at most `rows` rows, and logits of at most `head_rows`, work in."""

    def __init__(self, shape: Shape, kinds: set[Activation], rows: int, head_rows: int, vocab: int) -> None:
        self.rows, self.head_rows = rows, head_rows
        pairs = rows * max(1, shape.experts_used)
        inner = shape.expert_feed_forward if shape.experts else shape.feed_forward
        self._widths = {
            "hidden": (shape.hidden, rows),
            "normed": (shape.hidden, rows),
            "delta": (shape.hidden, rows),
            "query": (shape.query_size, rows),
            "key": (shape.kv_size, rows),
            "value": (shape.kv_size, rows),
            "attended": (shape.query_size, rows),
            "gate": (inner, pairs),
            "up": (inner, pairs),
            "chosen": (shape.hidden, head_rows),
            "logits": (vocab, head_rows),
        }
        if shape.experts:
            self._widths |= {"results": (shape.hidden, pairs), "scores": (shape.experts, rows)}
        widest = max(shape.hidden, shape.query_size)
        room = _Places()
        for name, (width, count) in self._widths.items():
            room.add(name, 4 * padded(width) * count)
        for kind in sorted(kinds - {"f32"}):
            room.add(f"{kind} rows", row_bytes(kind, widest) * max(rows, head_rows))
            room.add(f"{kind} inner", row_bytes(kind, inner) * pairs)
        self._memory, self._room = Memory(room.size), room
        # What a step tells the kernels, and where they find their way.
        self.count, self.head_count = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.positions, self.tables = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self.chosen_rows = np.zeros(head_rows, np.int64)
        self.numbers, self.zero = np.arange(max(pairs, head_rows), dtype=np.int64), np.zeros(1, np.int64)
        self.expert_counts = np.zeros(max(1, shape.experts), np.int64)
        self.expert_starts = np.zeros(max(1, shape.experts), np.int64)
        self.pair_rows, self.pair_numbers = np.zeros(pairs, np.int64), np.zeros(pairs, np.int64)
        self.chosen_experts = np.zeros(pairs, np.int64)
        self.expert_weights = np.zeros(pairs, np.float32)

    def buffer(self, name: str) -> Buffer:
        """The buffer of that name, for the arguments of kernels."""
        return Buffer(self.place(name), self._widths[name][0])

    def place(self, name: str) -> int:
        """The address of a buffer, or of room for rounded rows ('k256 rows' and so on)."""
        return self._memory.address + self._room.places[name][0]

    def array(self, name: str) -> Floats:
        """A buffer as float32 [rows, padded width], in place."""
        width, count = self._widths[name]
        offset, size = self._room.places[name]
        raw = self._memory.bytes[offset : offset + size]
        return raw[: 4 * padded(width) * count].view(np.float32).reshape(count, padded(width))

    @property
    def bytes(self) -> int:
        """Bytes of all buffers."""
        return self._memory.size
