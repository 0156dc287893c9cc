"""Reading GGUF files (versions 2 and 3): the header lazily, the tensors in place.

Source: the GGUF specification (ggml/docs/gguf.md). Nothing here copies the file: arrays of the
metadata are decoded when they are asked for, tensor data is handed out as views of the mapping.
Every count, length and offset is checked against the file before it is believed.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from swarmnode.models.header import MAX_KEY_BYTES, BadModelFile, Cursor, Metadata

__all__ = ["GGML_TYPES", "BadModelFile", "GgufFile", "Metadata", "TensorInfo", "first_parts"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_TENSORS = 1 << 16
MAX_KEYS = 1 << 16
MAX_DIMENSIONS = 4
MAX_PARTS = 1 << 12
DEFAULT_ALIGNMENT = 32

#: ggml type id -> (name, elements a block, bytes a block), from ggml.h and ggml-common.h.
GGML_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies. `shape` has the fastest dimension last, as numpy writes it; `offset` is
    absolute in its part of the file; `nbytes` its packed size."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    part: int = 0

    @property
    def elements(self) -> int:
        return prod(self.shape)


class _Part:
    """One file of a model: its mapping, metadata and tensors."""

    def __init__(self, path: Path, index: int) -> None:
        self.path = path
        self.map = _map(path)
        try:
            cursor = Cursor(self.map, str(path))
            self.version, tensors, keys = _preamble(cursor)
            self.metadata = Metadata(cursor, keys)
            self.tensors = tuple(_tensor_table(cursor, tensors, self.metadata, index))
        except BaseException:
            self.map.close()
            raise
        self.header_bytes = cursor.position


class GgufFile:
    """A model file, or the ordered parts of a split one, mapped read-only.

    metadata: of the first part. tensors: name -> TensorInfo over all parts.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        first = Path(path)
        self.path = first
        self._parts: list[_Part] = []
        try:
            self._parts.append(_Part(first, 0))
            for index, other in enumerate(_other_parts(first, self._parts[0].metadata), 1):
                self._parts.append(_Part(other, index))
        except BaseException:
            self.close()
            raise
        self.metadata = self._parts[0].metadata
        self.version = self._parts[0].version
        self.tensors: dict[str, TensorInfo] = {}
        self._check_parts()
        for part in self._parts:
            for tensor in part.tensors:
                if tensor.name in self.tensors:
                    raise BadModelFile(first, f"two tensors are called {tensor.name!r}")
                self.tensors[tensor.name] = tensor

    def _check_parts(self) -> None:
        """A split file's parts say which they are, and how many tensors they hold together."""
        for index, part in enumerate(self._parts[1:], 1):
            place = part.metadata.get("split.no", index), part.metadata.get("split.count", len(self._parts))
            if place != (index, len(self._parts)):
                raise BadModelFile(
                    part.path, f"says that it is part {place[0]} of {place[1]} (counted from 0)"
                )
        said = self.metadata.get("split.tensors.count")
        held = sum(len(part.tensors) for part in self._parts)
        if len(self._parts) > 1 and said is not None and said != held:
            raise BadModelFile(self.path, f"its parts hold {held} tensors, not {said}")

    def data(self, tensor: TensorInfo | str) -> memoryview:
        """The packed bytes of a tensor, as a read-only view of the mapping."""
        info = self.tensors[tensor] if isinstance(tensor, str) else tensor
        view = memoryview(self._parts[info.part].map)
        return view[info.offset : info.offset + info.nbytes]

    def release(self, tensor: TensorInfo | str) -> None:
        """Tell the system that the pages of this tensor are not needed now."""
        info = self.tensors[tensor] if isinstance(tensor, str) else tensor
        if hasattr(mmap, "MADV_DONTNEED"):
            start = info.offset - info.offset % mmap.PAGESIZE
            self._parts[info.part].map.madvise(mmap.MADV_DONTNEED, start, info.offset + info.nbytes - start)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(part.path for part in self._parts)

    def close(self) -> None:
        """Unmap. Views still held keep their part mapped until they go."""
        for part in self._parts:
            try:
                part.map.close()
            except BufferError:
                pass

    def __enter__(self) -> GgufFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _map(path: Path) -> mmap.mmap:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
            raise BadModelFile(path, "is not a file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 24:
                raise BadModelFile(path, f"{size} bytes are too few for a GGUF")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadModelFile(path, f"cannot be read: {reason}", f"Check the path {path}.") from error


def _preamble(cursor: Cursor) -> tuple[int, int, int]:
    start = cursor.skip(4)
    magic = bytes(cursor.data[start : start + 4])
    if magic != MAGIC:
        raise cursor.fail(f"is not a GGUF: it begins with {magic!r}")
    version = cursor.u32()
    if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, 2, 3):
        raise cursor.fail("is a big-endian GGUF, which is not supported; convert it to little-endian")
    if version not in VERSIONS:
        raise cursor.fail(f"is GGUF version {version}; versions 2 and 3 are supported")
    tensors, keys = cursor.u64(), cursor.u64()
    if tensors > MAX_TENSORS:
        raise cursor.fail(f"claims {tensors} tensors (at most {MAX_TENSORS})")
    if keys > MAX_KEYS:
        raise cursor.fail(f"claims {keys} metadata keys (at most {MAX_KEYS})")
    return version, tensors, keys


#: name, type name, shape, offset from the start of the data, packed bytes
_Entry = tuple[str, str, tuple[int, ...], int, int]


def _tensor_table(cursor: Cursor, count: int, metadata: Metadata, part: int) -> Iterator[TensorInfo]:
    entries = [_tensor_entry(cursor) for _ in range(count)]
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment > 1 << 20 or alignment & (alignment - 1):
        raise cursor.fail(f"general.alignment is {alignment!r}, not a power of two")
    base = -(-cursor.position // alignment) * alignment
    _check_places(cursor, entries, alignment)
    for name, type_name, shape, offset, nbytes in entries:
        if base + offset + nbytes > cursor.size:
            raise cursor.fail(
                f"tensor {name!r} lies at bytes {base + offset}..{base + offset + nbytes}, "
                f"but the file has {cursor.size}; the download is probably incomplete"
            )
        yield TensorInfo(name, type_name, shape, base + offset, nbytes, part)


def _check_places(cursor: Cursor, entries: list[_Entry], alignment: int) -> None:
    """Tensors begin at multiples of the alignment and do not overlap."""
    end, before = 0, ""
    for name, _, _, offset, nbytes in sorted(entries, key=lambda entry: entry[3]):
        if offset % alignment:
            raise cursor.fail(f"tensor {name!r} lies at offset {offset}, not a multiple of {alignment}")
        if offset < end:
            raise cursor.fail(f"the tensors {before!r} and {name!r} overlap")
        end, before = offset + nbytes, name


def _tensor_entry(cursor: Cursor) -> _Entry:
    name = cursor.bytes(MAX_KEY_BYTES).decode("utf-8", "surrogateescape")
    dimensions = cursor.u32()
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise cursor.fail(f"tensor {name!r} has {dimensions} dimensions (1 to {MAX_DIMENSIONS})")
    shape = tuple(cursor.u64() for _ in range(dimensions))[::-1]
    type_id, offset = cursor.u32(), cursor.u64()
    if type_id not in GGML_TYPES:
        raise cursor.fail(f"tensor {name!r} has the unknown type {type_id}")
    type_name, block, block_bytes = GGML_TYPES[type_id]
    if 0 in shape or prod(shape) > 1 << 48:
        raise cursor.fail(f"tensor {name!r} has the impossible shape {shape}")
    if shape[-1] % block:
        raise cursor.fail(f"tensor {name!r}: rows of {shape[-1]} do not divide into blocks of {block}")
    return name, type_name, shape, offset, prod(shape) // block * block_bytes


_SPLIT_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


def _other_parts(first: Path, metadata: Metadata) -> list[Path]:
    count = metadata.get("split.count", 0)
    if not isinstance(count, int) or count <= 1:
        return []
    named = _SPLIT_NAME.fullmatch(first.name)
    if count > MAX_PARTS or not named or int(named["count"]) != count:
        raise BadModelFile(
            first, f"says that it is one of {count} parts, but is not named NAME-00001-of-{count:05}.gguf"
        )
    if int(named["number"]) != 1:
        raise BadModelFile(first, f"is part {int(named['number'])} of {count}; name the first part")
    parts = [first.with_name(f"{named['stem']}-{i:05}-of-{count:05}.gguf") for i in range(2, count + 1)]
    for part in parts:
        if not part.is_file():
            raise BadModelFile(first, f"its part {part.name} is missing from {first.parent}")
    return parts


def first_parts(names: list[str]) -> list[str]:
    """Of file names in one folder, those that stand for a model: later parts are left out."""
    kept = []
    for name in names:
        named = _SPLIT_NAME.fullmatch(name)
        if not named or int(named["number"]) == 1:
            kept.append(name)
    return kept
