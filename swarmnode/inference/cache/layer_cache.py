"""What a layer remembers of a session, behind one interface whatever the kind of layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

#: Positions a block: attention, prefix sharing and growth all count in these.
BLOCK = 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a cache held before `position`: copies, in an order that the kind of cache knows."""

    position: int
    arrays: tuple[npt.NDArray[np.generic], ...]

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)


class LayerCache(Protocol):
    """The memory of one layer for one session. Positions are absolute and gapless."""

    length: int

    def append(self, keys: npt.NDArray[np.float32], values: npt.NDArray[np.float32]) -> None:
        """Remember the next rows: float32 [rows, kv_heads, head_dim] each."""

    def truncate(self, position: int) -> None:
        """Forget everything from `position` on."""

    def snapshot(self, position: int) -> Snapshot:
        """A copy of what lies before `position` (<= length)."""

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot holds."""

    @property
    def bytes(self) -> int:
        """Bytes of memory in use now."""


def blocks_for(positions: int) -> int:
    """How many blocks hold that many positions."""
    return -(-positions // BLOCK)
