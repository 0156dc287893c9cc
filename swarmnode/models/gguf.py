"""Reading GGUF files (versions 2 and 3): the header lazily, the tensors in place.

Source: the GGUF specification (ggml/docs/gguf.md). Nothing here copies the file: arrays of the
metadata are decoded when they are asked for, tensor data is handed out as views of the mapping.
Every count, length and offset is checked against the file before it is believed.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from swarmnode.values.errors import Refused

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_TENSORS = 1 << 17
MAX_KEYS = 1 << 16
MAX_KEY_BYTES = 1 << 16
MAX_DIMENSIONS = 4
MAX_PARTS = 1 << 12
DEFAULT_ALIGNMENT = 32

_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

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


class BadModelFile(Refused):
    """The file is not a GGUF that can be read; the message names the file and the fault."""

    def __init__(self, path: str | os.PathLike[str], fault: str) -> None:
        super().__init__(
            f"{Path(path).name}: {fault}",
            code="bad_model_file",
            hint="Download the file again, or check that it is a complete GGUF (version 2 or 3).",
        )


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


class _Cursor:
    """A bounds-checked reading position in the header."""

    def __init__(self, data: mmap.mmap | bytes, path: str, position: int = 0) -> None:
        self.data, self.path, self.position, self.size = data, path, position, len(data)

    def fail(self, fault: str) -> BadModelFile:
        return BadModelFile(self.path, fault)

    def skip(self, count: int) -> int:
        start = self.position
        if count < 0 or count > self.size - start:
            raise self.fail(
                f"the header ends in the middle: {count} bytes wanted at byte {start} of {self.size}"
            )
        self.position = start + count
        return start

    def scalar(self, kind: int) -> Any:
        packed = _SCALARS[kind]
        return packed.unpack_from(self.data, self.skip(packed.size))[0]

    def u32(self) -> int:
        return int(_U32.unpack_from(self.data, self.skip(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack_from(self.data, self.skip(8))[0])

    def bytes(self, limit: int | None = None) -> bytes:
        length = self.u64()
        if limit is not None and length > limit:
            raise self.fail(f"a name of {length} bytes at byte {self.position} (at most {limit})")
        start = self.skip(length)
        return bytes(self.data[start : start + length])

    def skip_strings(self, count: int) -> None:
        data, position, size, unpack = self.data, self.position, self.size, _U64.unpack_from
        for _ in range(count):
            if position + 8 > size:
                raise self.fail(f"the header ends in the middle of a list of {count} texts")
            position += 8 + unpack(data, position)[0]
        if position > size:
            raise self.fail("a text in the header reaches beyond the end of the file")
        self.position = position


@dataclass(frozen=True, slots=True)
class _LazyArray:
    kind: int
    count: int
    position: int


class Metadata(Mapping[str, Any]):
    """The key-value part of the header. Scalars are read at once; arrays when asked for, as lists
    (texts as `str`; bytes that are not UTF-8 become surrogate escapes)."""

    def __init__(self, cursor: _Cursor, count: int) -> None:
        self._cursor = cursor
        self._values: dict[str, Any] = {}
        for _ in range(count):
            key = cursor.bytes(MAX_KEY_BYTES).decode("utf-8", "surrogateescape")
            self._values[key] = self._read(cursor.u32())

    def _read(self, kind: int) -> Any:
        cursor = self._cursor
        if kind in _SCALARS:
            return cursor.scalar(kind)
        if kind == _STRING:
            return cursor.bytes().decode("utf-8", "surrogateescape")
        if kind == _ARRAY:
            inner, count = cursor.u32(), cursor.u64()
            lazy = _LazyArray(inner, count, cursor.position)
            if inner == _STRING:
                if count > cursor.size // 8:
                    raise cursor.fail(f"a list of {count} texts cannot fit in {cursor.size} bytes")
                cursor.skip_strings(count)
            elif inner in _SCALARS:
                cursor.skip(count * _SCALARS[inner].size)
            else:
                raise cursor.fail(f"a list of values of unknown type {inner}")
            return lazy
        raise cursor.fail(f"a value of unknown type {kind} at byte {cursor.position}")

    def _decode(self, lazy: _LazyArray) -> list[Any]:
        cursor = _Cursor(self._cursor.data, self._cursor.path, lazy.position)
        if lazy.kind == _STRING:
            return [cursor.bytes().decode("utf-8", "surrogateescape") for _ in range(lazy.count)]
        code = _SCALARS[lazy.kind].format[-1]
        packed = struct.Struct(f"<{lazy.count}{code}")
        return list(packed.unpack_from(cursor.data, cursor.skip(packed.size)))

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        return self._decode(value) if isinstance(value, _LazyArray) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def array_length(self, key: str) -> int | None:
        """How many elements an array has, without decoding it; None for scalars and absent keys."""
        value = self._values.get(key)
        return value.count if isinstance(value, _LazyArray) else None


class _Part:
    """One file of a model: its mapping, metadata and tensors."""

    def __init__(self, path: Path, index: int) -> None:
        self.path = path
        self.map = _map(path)
        try:
            cursor = _Cursor(self.map, str(path))
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
        for part in self._parts:
            for tensor in part.tensors:
                if tensor.name in self.tensors:
                    raise BadModelFile(first, f"two tensors are called {tensor.name!r}")
                self.tensors[tensor.name] = tensor

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
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 24:
                raise BadModelFile(path, f"{size} bytes are too few for a GGUF")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadModelFile(path, f"cannot be read: {reason}") from error


def _preamble(cursor: _Cursor) -> tuple[int, int, int]:
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


def _tensor_table(cursor: _Cursor, count: int, metadata: Metadata, part: int) -> Iterator[TensorInfo]:
    entries = [_tensor_entry(cursor) for _ in range(count)]
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment > 1 << 20 or alignment & (alignment - 1):
        raise cursor.fail(f"general.alignment is {alignment!r}, not a power of two")
    base = -(-cursor.position // alignment) * alignment
    for name, type_name, shape, offset, nbytes in entries:
        if base + offset + nbytes > cursor.size:
            raise cursor.fail(
                f"tensor {name!r} lies at bytes {base + offset}..{base + offset + nbytes}, "
                f"but the file has {cursor.size}; the download is probably incomplete"
            )
        yield TensorInfo(name, type_name, shape, base + offset, nbytes, part)


def _tensor_entry(cursor: _Cursor) -> tuple[str, str, tuple[int, ...], int, int]:
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
