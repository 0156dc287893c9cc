"""Weights of the compiled stage: packed once from the mapped file, by all threads, into one memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.dequantise import dequantise
from swarmnode.inference.kernels.formats import F32, FORMATS, Format
from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.pack import pack
from swarmnode.inference.kernels.program import Memory, address_of, aligned
from swarmnode.inference.kernels.team import Team
from swarmnode.models.gguf import GgufFile, TensorInfo

#: Panels packed by one thread at a time: short enough for an even end, long enough to be worth it.
_PANELS_A_JOB = 32
#: About as many bytes of the file are mapped in at a time: the output head of a model may be a tenth of it.
BATCH_BYTES = 16 << 20

Progress = Callable[[int, int], None]


def _nobody(_done: int, _total: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """Rows first .. first + rows - 1 of a tensor, or of each of its `groups` experts, packed.

    offset: where the first panel lies in the memory; group_bytes: from one expert to the next.
    """

    tensor: TensorInfo
    format: Format
    rows: int
    width: int
    first: int
    groups: int
    offset: int
    group_bytes: int


class PackedWeights:
    """Collect matrices with `add`, then `load` them; `address` says where they lie."""

    def __init__(self, gguf: GgufFile, jit: Jit, team: Team) -> None:
        self._gguf, self._jit, self._team = gguf, jit, team
        self._matrices: list[PackedMatrix] = []
        self._size = self._done = 0
        self._progress: Progress = _nobody
        self._memory: Memory | None = None

    def add(self, tensor: TensorInfo, first: int = 0, rows: int | None = None) -> PackedMatrix:
        """A matrix to be packed: `rows` rows of the tensor from `first` on, or of every expert of one with
        three dimensions."""
        groups = tensor.shape[0] if len(tensor.shape) == 3 else 1
        total, width = tensor.shape[-2:]
        count = total - first if rows is None else rows
        format = format_of(tensor.type_name, width)
        group_bytes = format.bytes(count, width)
        matrix = PackedMatrix(tensor, format, count, width, first, groups, self._size, group_bytes)
        self._matrices.append(matrix)
        self._size += aligned(group_bytes * groups)
        return matrix

    @property
    def bytes(self) -> int:
        """Bytes of all packed weights."""
        return self._size

    def address(self, matrix: PackedMatrix) -> int:
        """Where its first panel lies, once all are loaded."""
        assert self._memory is not None  # loaded by now
        return self._memory.address + matrix.offset

    def load(self, progress: Progress = _nobody) -> None:
        """Pack everything. progress(bytes done, bytes in all) is called by any thread. The file's pages are
        let go as they are done with."""
        self._memory = Memory(self._size)
        self._progress, self._done = progress, 0
        for matrix in self._matrices:
            if matrix.format.name == matrix.tensor.type_name:
                self._pack(matrix)
            else:
                self._unpack(matrix)
        progress(self._size, self._size)

    def _in_batches(self, matrix: PackedMatrix, work: Callable[[int], None], items: int) -> None:
        """work(i) for i in range(items), by all threads; between batches the file's pages are let go."""
        batch = max(self._team.threads, items * BATCH_BYTES // matrix.tensor.nbytes)
        size = matrix.group_bytes * matrix.groups
        for first in range(0, items, batch):
            count = min(batch, items - first)
            self._team.each(lambda item, first=first: work(first + item), count)  # type: ignore[misc]
            self._gguf.release(matrix.tensor)
            self._progress(self._done + size * (first + count) // items, self._size)
        self._done += size

    def _pack(self, matrix: PackedMatrix) -> None:
        """Straight from the file."""
        data = np.frombuffer(self._gguf.data(matrix.tensor), np.uint8)
        total = matrix.tensor.shape[-2] * matrix.groups
        self._panels(matrix, address_of(data), data.size // total, matrix.tensor.shape[-2])

    def _panels(self, matrix: PackedMatrix, source: int, row_bytes: int, group_rows: int) -> None:
        """Pack rows that lie at `source`, `group_rows` of each expert, of which `first` are left out."""
        format = matrix.format
        kernel = _signature(self._jit.address(*pack(format)))
        panels = format.panels(matrix.rows)
        fields = [
            np.array(
                [
                    source + (group * group_rows + matrix.first) * row_bytes,
                    row_bytes,
                    matrix.rows,
                    matrix.width // format.block,
                    self.address(matrix) + group * matrix.group_bytes,
                ],
                np.int64,
            )
            for group in range(matrix.groups)
        ]
        jobs = -(-panels // _PANELS_A_JOB)

        def work(item: int) -> None:
            group, job = divmod(item, jobs)
            begin = job * _PANELS_A_JOB
            kernel(address_of(fields[group]), begin, min(begin + _PANELS_A_JOB, panels))

        self._in_batches(matrix, work, jobs * matrix.groups)

    def _unpack(self, matrix: PackedMatrix) -> None:
        """Types without a kernel of their own, as float32, a few panels at a time."""
        data = np.frombuffer(self._gguf.data(matrix.tensor), np.uint8)
        group_rows = matrix.tensor.shape[-2]
        row_bytes = data.size // (group_rows * matrix.groups)
        panels = -(-matrix.rows // F32.rows)
        jobs = -(-panels // _PANELS_A_JOB)
        kernel = _signature(self._jit.address(*pack(F32)))

        def work(item: int) -> None:
            group, job = divmod(item, jobs)
            begin = job * _PANELS_A_JOB * F32.rows
            rows = min(_PANELS_A_JOB * F32.rows, matrix.rows - begin)
            start = (group * group_rows + matrix.first + begin) * row_bytes
            values: npt.NDArray[np.float32] = np.empty(rows * matrix.width, np.float32)
            dequantise(matrix.tensor.type_name, data[start : start + rows * row_bytes], values)
            panel = job * _PANELS_A_JOB * F32.panel_bytes(matrix.width)
            place = self.address(matrix) + group * matrix.group_bytes + panel
            fields = np.array([address_of(values), matrix.width * 4, rows, matrix.width, place], np.int64)
            kernel(address_of(fields), 0, -(-rows // F32.rows))

        self._in_batches(matrix, work, jobs * matrix.groups)


def format_of(type_name: str, width: int) -> Format:
    """The packed type for a GGUF type: its own, or float32 where it has none."""
    format = FORMATS.get(type_name, F32)
    return format if width % format.block == 0 else F32


_signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
