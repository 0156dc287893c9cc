"""Weights of a stage: matrices that are unpacked once, or a block of rows at a time at each use.

Both ways multiply the same float32 numbers in the same blocks, so the products are the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from swarmnode.inference.dequantise import dequantise
from swarmnode.inference.stage.scratch import Scratch
from swarmnode.models.gguf import BadModelFile, GgufFile, TensorInfo

Floats = npt.NDArray[np.float32]

#: Numbers a block of rows: 1 MiB of float32 stays in the processor's cache while rows use it.
BLOCK_ELEMENTS = 1 << 18
#: Rows a block is a multiple of: never fewer, so that BLAS cuts blocks as it cuts the whole.
BLOCK_ROWS = 64


def rows_per_block(width: int) -> int:
    """How many rows of that width are multiplied at a time."""
    return max(BLOCK_ROWS, BLOCK_ELEMENTS // width // BLOCK_ROWS * BLOCK_ROWS)


def tensor_of(gguf: GgufFile, name: str, shape: tuple[int, ...]) -> TensorInfo:
    """The tensor of that name and shape; raises `BadModelFile` when there is none."""
    info = gguf.tensors.get(name)
    if info is None:
        raise BadModelFile(gguf.path, f"has no tensor {name}")
    if info.shape != shape:
        raise BadModelFile(gguf.path, f"{name} has the shape {info.shape}, not {shape}")
    return info


def vector_of(gguf: GgufFile, name: str, size: int) -> Floats:
    """A small tensor as float32 [size]."""
    info = tensor_of(gguf, name, (size,))
    out = np.empty(size, np.float32)
    dequantise(info.type_name, gguf.data(info), out)
    return out


class Matrix:
    """Tensors of the same width stacked to one matrix [rows, width], for products with rows.

    held: whether it is unpacked once and kept as float32.
    """

    def __init__(self, gguf: GgufFile, tensors: Sequence[TensorInfo], held: bool, scratch: Scratch) -> None:
        self._gguf = gguf
        self._tensors = tuple(tensors)
        self._scratch = scratch
        self.width = tensors[0].shape[1]
        self.rows = sum(info.shape[0] for info in tensors)
        self._held = self._unpacked() if held else None

    @property
    def bytes(self) -> int:
        """Bytes of memory held (the mapped file not counted)."""
        return 0 if self._held is None else self._held.nbytes

    def multiply(self, rows: Floats, out: Floats) -> None:
        """out[i] = matrix @ rows[i], each row alone: float32 [n, width] -> float32 [n, rows].

        A stack of one-row products is a loop of matrix-vector products inside numpy: a row's result
        does not depend on the others (tested).
        """
        stacked = rows[:, None, :]
        for start, block in self._blocks():
            end = start + len(block)
            np.matmul(stacked, block.T, out=out[:, None, start:end])

    def _blocks(self) -> Iterator[tuple[int, Floats]]:
        step = rows_per_block(self.width)
        for start in range(0, self.rows, step):
            end = min(start + step, self.rows)
            yield start, self._held[start:end] if self._held is not None else self._at_use(start, end)

    def _unpacked(self) -> Floats:
        out = np.empty((self.rows, self.width), np.float32)
        step = rows_per_block(self.width)
        for start in range(0, self.rows, step):
            end = start + step
            self._unpack(start, out[start:end])
        for info in self._tensors:
            self._gguf.release(info)
        return out

    def _at_use(self, start: int, end: int) -> Floats:
        """Rows start..end as float32: a view of the file where that is what it holds."""
        (info, packed, count), *others = self._pieces(start, end)
        if info.type_name == "F32" and not others:
            return np.frombuffer(packed, np.float32).reshape(count, self.width)
        out = self._scratch.take("weights", end - start, self.width)
        self._unpack(start, out)
        return out

    def _unpack(self, start: int, out: Floats) -> None:
        """Rows from `start` on into `out`, float32 [rows, width]."""
        done = 0
        for info, packed, count in self._pieces(start, start + len(out)):
            dequantise(info.type_name, packed, out[done : done + count].reshape(-1))
            done += count

    def _pieces(self, start: int, end: int) -> Iterator[tuple[TensorInfo, memoryview, int]]:
        """(tensor, packed bytes, rows) for each tensor that rows start..end touch."""
        offset = 0
        for info in self._tensors:
            first, last = max(start - offset, 0), min(end - offset, info.shape[0])
            if first < last:
                size = info.nbytes // info.shape[0]
                yield info, self._gguf.data(info)[first * size : last * size], last - first
            offset += info.shape[0]


class Table:
    """A tensor of which single rows are looked up: the embedding."""

    def __init__(self, gguf: GgufFile, info: TensorInfo) -> None:
        self._type = info.type_name
        self._packed = np.frombuffer(gguf.data(info), np.uint8).reshape(info.shape[0], -1)

    def look_up(self, ids: npt.NDArray[np.integer], out: Floats) -> None:
        """Rows `ids` as float32 [n, width]."""
        dequantise(self._type, self._packed[ids], out.reshape(-1))
