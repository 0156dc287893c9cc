"""Keys and values of an attention layer, in blocks of 64 positions, as float32 or float16."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.layer_cache import BLOCK, Snapshot, blocks_for
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.layers import KvType

Floats = npt.NDArray[np.float32]

STORAGE: dict[str, type[np.generic]] = {"f32": np.float32, "f16": np.float16}
#: float16 bits moved up 13 places are a float32 that is 2**112 times too small.
_HALF_SHIFT = np.int32(13)
_HALF_MASK = np.int32(0x8FFFE000 - (1 << 32))
_HALF_SCALE = np.float32(2.0**112)
#: From here on a number rounds to float16's infinity.
HALF_LIMIT = np.float32(65520.0)


def storage_of(kv: KvType) -> type[np.generic]:
    """The numpy type of a cache type; raises `Refused` for those not built."""
    if kv not in STORAGE:
        raise Refused(
            f"a key-value cache of type {kv!r} is not supported by this engine",
            code="unsupported_kv_type",
            hint=f"Choose one of {', '.join(STORAGE)}.",
            param="kv",
        )
    return STORAGE[kv]


class AttentionCache:
    """Room for `capacity` positions of `kv_heads` heads of `head_dim` numbers.

    The room is reserved at once but takes memory only as it is filled. What was never written, and
    what was forgotten, is zero: attention multiplies it by zero, which must not make a NaN.
    Layout: [block, kv_head, position in block, head_dim].
    """

    def __init__(self, capacity: int, kv_heads: int, head_dim: int, kv: KvType) -> None:
        self.length = 0
        self.capacity = capacity
        shape = (2, blocks_for(capacity), kv_heads, BLOCK, head_dim)
        self._store = np.zeros(shape, storage_of(kv))

    def append(self, keys: Floats, values: Floats) -> None:
        """Remember the next rows, rounded to the cache type: float32 [rows, kv_heads, head_dim].

        Raises `FloatingPointError` for numbers that the cache type cannot hold.
        """
        if self._store.dtype == np.float16:
            _check_range(keys)
            _check_range(values)
        start, end = self.length, self.length + len(keys)
        if end > self.capacity:
            raise LocalFault(
                f"a cache of {self.capacity} positions is asked for {end}", code="cache_overflow"
            )
        done = 0
        while start + done < end:
            block, first = divmod(start + done, BLOCK)
            count = min(BLOCK - first, end - start - done)
            place = self._store[:, block, :, first : first + count]
            place[0] = keys[done : done + count].transpose(1, 0, 2)
            place[1] = values[done : done + count].transpose(1, 0, 2)
            done += count
        self.length = end

    def blocks(self, positions: int, scratch: Floats) -> tuple[Floats, Floats]:
        """Keys and values of the blocks that hold the first `positions` positions, as two float32
        [blocks, kv_heads, 64, head_dim]; `scratch` has room for both, and is used when the cache is
        not float32 itself."""
        count = blocks_for(positions)
        store = self._store[:, :count]
        if store.dtype == np.float32:
            return store[0], store[1]
        flat = scratch[: store.size].reshape(store.shape)
        for part in range(2):
            _widen(store[part], flat[part])
        return flat[0], flat[1]

    def truncate(self, position: int) -> None:
        """Forget everything from `position` on."""
        if position >= self.length:
            return
        block, first = divmod(position, BLOCK)
        if first:
            self._store[:, block, :, first:] = 0
            block += 1
        self._store[:, block : blocks_for(self.length)] = 0
        self.length = position

    def block(self, index: int) -> npt.NDArray[np.generic]:
        """A block as it is stored, a view: [keys then values, kv_head, 64, head_dim]."""
        return self._store[:, index]

    def append_block(self, block: npt.NDArray[np.generic]) -> None:
        """Remember 64 positions more, as `block` gave them; what is held must be whole blocks."""
        index, rest = divmod(self.length, BLOCK)
        if rest or self.length + BLOCK > self.capacity:
            raise LocalFault(
                f"no room for a block at {self.length} of {self.capacity}", code="cache_overflow"
            )
        self._store[:, index] = block
        self.length += BLOCK

    def rows(self, position: int) -> npt.NDArray[np.generic]:
        """A copy of what lies before `position`: [keys then values, position, kv_head, head_dim]."""
        store = self._store[:, : blocks_for(position)].transpose(0, 1, 3, 2, 4)
        return store.reshape(2, -1, *store.shape[3:])[:, :position]

    def restore_rows(self, rows: npt.NDArray[np.generic]) -> None:
        """Become what `rows` gave."""
        self.truncate(0)
        count = rows.shape[1]
        for start in range(0, count, BLOCK):
            part = rows[:, start : start + BLOCK]
            self._store[:, start // BLOCK, :, : part.shape[1]] = part.transpose(0, 2, 1, 3)
        self.length = count

    def snapshot(self, position: int) -> Snapshot:
        """A copy of what lies before `position`, whole blocks, in the cache's own type."""
        if position > self.length:
            raise LocalFault(f"no snapshot at {position} of {self.length} positions", code="cache_gap")
        copy = self._store[:, : blocks_for(position)].copy()
        if position % BLOCK:
            copy[:, -1, :, position % BLOCK :] = 0
        return Snapshot(position, (copy,))

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot holds."""
        (copy,) = snapshot.arrays
        if snapshot.position > self.capacity:
            raise LocalFault(
                f"a cache of {self.capacity} positions cannot take a snapshot of {snapshot.position}",
                code="cache_overflow",
            )
        self.truncate(0)
        self._store[:, : copy.shape[1]] = copy
        self.length = snapshot.position

    @property
    def is_float32(self) -> bool:
        """Whether `blocks` needs no scratch."""
        return self._store.dtype == np.float32

    @property
    def bytes(self) -> int:
        """Bytes of the blocks in use."""
        return self._store[:, : blocks_for(self.length)].nbytes


def _check_range(rows: Floats) -> None:
    if not np.maximum.reduce(np.abs(rows), axis=None) < HALF_LIMIT:
        raise FloatingPointError(
            "keys or values do not fit in a cache of type f16; an f32 cache may hold them"
        )


def _widen(halves: npt.NDArray[np.generic], out: Floats) -> None:
    """Finite float16 numbers as float32, exactly, faster than a cast: by moving their bits."""
    bits = out.view(np.int32)
    np.copyto(bits, halves.view(np.int16))
    np.left_shift(bits, _HALF_SHIFT, out=bits)
    np.bitwise_and(bits, _HALF_MASK, out=bits)
    np.multiply(out, _HALF_SCALE, out=out)
