"""Memory and addresses."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from swarmnode.inference.kernels import program
from swarmnode.inference.kernels.program import ALIGNMENT, Memory, address_of, aligned, float_bits


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000])
def test_memory_is_zeros_in_its_place(size: int) -> None:
    memory = Memory(size)
    assert memory.size == size
    assert len(memory.bytes) >= max(size, 1)
    assert not memory.bytes.any()
    assert memory.address % ALIGNMENT == 0 == memory.address % mmap.PAGESIZE
    memory.bytes[:1] = 7
    assert memory.map[0] == 7


def test_float_bits() -> None:
    for value in (0.0, -1.5, 1e-5, 3e38):
        bits = float_bits(value)
        assert 0 <= bits < 1 << 32
        assert np.uint32(bits).view(np.float32) == np.float32(value)


def test_address_of() -> None:
    array = np.arange(10, dtype=np.float32)
    assert address_of(array[3:]) == address_of(array) + 12


def test_a_system_without_large_pages_gives_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(mmap.mmap):
        def madvise(self, *_arguments: int) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(program.mmap, "mmap", Refusing)
    assert not Memory(5000).bytes.any()


def test_no_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match=str(1 << 60)):
        Memory(1 << 60)


def test_alignment() -> None:
    assert [aligned(size) for size in (0, 1, 64, 65)] == [0, 64, 64, 128]
