"""Building a program for `runtime.run`: entries, their arguments, and the memory they work in."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from swarmnode.inference.kernels.jit import Build, Jit
from swarmnode.inference.kernels.runtime import (
    ARGUMENTS,
    COUNTER,
    ENTRY_FIELDS,
    FOLLOWERS,
    KERNEL,
    MULTIPLIER,
    WAITS,
)

Ints = npt.NDArray[np.int64]

#: Bytes that memory of any use begins at a multiple of.
ALIGNMENT = 64


def float_bits(value: float) -> int:
    """A float32 as the field of arguments that kernels read."""
    return int(np.float32(value).view(np.uint32))


def address_of(array: npt.NDArray[np.generic]) -> int:
    """Where an array's first number lies."""
    return int(array.ctypes.data)


def aligned(size: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Memory:
    """Zeroed memory outside the heap: given back to the system as soon as nobody holds it. Raises
    `MemoryError` where the system has none."""

    def __init__(self, size: int) -> None:
        self.size = size
        # Private: large pages are the system's default for such memory only.
        kind = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
        try:
            self.map = mmap.mmap(-1, max(size, mmap.PAGESIZE), **kind)
        except OSError as error:
            raise MemoryError(f"the system has no {size} bytes more: {error}") from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without large pages refuses; small ones do
                self.map.madvise(mmap.MADV_HUGEPAGE)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.address = address_of(self.bytes)


class Program:
    """Entries in the making. The tables of arguments live as long as it does; the buffers and counters whose
    addresses are in them are for others to keep."""

    def __init__(self, jit: Jit) -> None:
        self._jit = jit
        self._entries: list[list[int]] = []
        self._kept: list[npt.NDArray[np.generic]] = []
        self._one = np.ones(1, np.int64)
        self._first_of_chain: int | None = None
        self._chain_items = (0, 0)

    def add(
        self,
        kernel: tuple[str, Build],
        arguments: Sequence[int],
        items: int,
        counter: Ints | None = None,
        *,
        waits: bool = True,
    ) -> None:
        """One kernel over `items` times the number in `counter` (None: 1). waits: for all before it."""
        self._first_of_chain = None
        self._entry(kernel, arguments, items, counter, waits)

    def chain(self, kernel: tuple[str, Build], arguments: Sequence[int], items: int, counter: Ints) -> None:
        """One kernel on the same items as the one before, if that was put in by `chain` too, and by the
        same thread; else the first of a chain, which waits."""
        if self._first_of_chain is None:
            self._entry(kernel, arguments, items, counter, True)
            self._first_of_chain = len(self._entries) - 1
            self._chain_items = (items, address_of(counter))
            return
        assert self._chain_items == (items, address_of(counter)), "a chain is over one kind of items"
        self._entry(kernel, arguments, items, counter, False)
        self._entries[self._first_of_chain][FOLLOWERS] += 1

    def end_chain(self) -> None:
        """What comes next begins another chain."""
        self._first_of_chain = None

    def _entry(
        self,
        kernel: tuple[str, Build],
        arguments: Sequence[int],
        items: int,
        counter: Ints | None,
        waits: bool,
    ) -> None:
        fields = np.array(arguments, np.int64)
        self._kept.append(fields)
        entry = [0] * ENTRY_FIELDS
        entry[KERNEL] = self._jit.address(*kernel)
        entry[ARGUMENTS] = address_of(fields)
        entry[MULTIPLIER] = items
        entry[COUNTER] = address_of(self._one if counter is None else counter)
        entry[WAITS] = int(waits)
        self._entries.append(entry)

    def finish(self) -> Ints:
        """The entries, i64 [entries, 8]; the program must live as long as they are used."""
        return np.array(self._entries, np.int64).reshape(-1, ENTRY_FIELDS)
