"""The memory of a check: inputs, argument tables and room for results, laid out for a known address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from swarmnode.inference.kernels.jit import Build
from swarmnode.inference.kernels.program import aligned
from swarmnode.inference.kernels.targets import Target

#: Room for the data of one check.
CHECK_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel, the address of its arguments, its items."""

    kernel: tuple[str, Build]
    arguments: int
    last: int


@dataclass(slots=True)
class Check:
    """Inputs, calls in their order, and where the results will lie.

    base: the address of the memory that `data` goes to; outputs: (offset, bytes, type of the numbers).
    """

    target: Target
    base: int
    data: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(CHECK_BYTES, np.uint8))
    calls: list[Call] = field(default_factory=list)
    outputs: list[tuple[int, int, type[np.generic]]] = field(default_factory=list)
    used: int = 0

    def room(self, size: int) -> int:
        """The address of zeros."""
        offset = self.used
        self.used += aligned(size)
        assert self.used <= CHECK_BYTES, "a check is small"
        return self.base + offset

    def put(self, array: npt.NDArray[Any]) -> int:
        """The address of a copy."""
        raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        address = self.room(raw.size)
        self.data[address - self.base :][: raw.size] = raw
        return address

    def output(self, size: int, kind: type[np.generic] = np.uint8) -> int:
        """The address of room for results, `size` bytes."""
        address = self.room(size)
        self.watch(address, size, kind)
        return address

    def watch(self, address: int, size: int, kind: type[np.generic]) -> None:
        """Compare these bytes in the end."""
        self.outputs.append((address - self.base, size, kind))

    def call(self, kernel: tuple[str, Build], arguments: Sequence[int], items: int) -> None:
        """A kernel over `items` items."""
        self.calls.append(Call(kernel, self.put(np.array(arguments, np.int64)), items))

    def results(self, memory: npt.NDArray[np.uint8]) -> bytes:
        """The results as bytes that are equal where they count as equal. memory: uint8, after the calls."""
        parts = []
        for offset, size, kind in self.outputs:
            part = memory[offset : offset + size].copy()
            if issubclass(kind, np.floating):
                numbers = part.view(kind)
                numbers[np.isnan(numbers)] = np.nan
            parts.append(part.tobytes())
        return b"".join(parts)
