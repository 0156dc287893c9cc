"""The bytes of a GGUF header: a bounds-checked cursor, and the metadata, decoded when asked for.

Source: the GGUF specification (ggml/docs/gguf.md). Every count and length is checked against the
file, and against a bound of its own, before it is believed.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmnode.values.errors import Refused

MAX_KEY_BYTES = 1 << 16
#: Elements of one array of the metadata: the largest vocabularies have 2**18 tokens, 2**20 merges.
MAX_ELEMENTS = 1 << 22
#: Bytes of one text (a template, a licence), and of all texts of a list, or all that are in none.
MAX_TEXT_BYTES = 1 << 24
MAX_TEXTS_BYTES = 1 << 26

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


class BadModelFile(Refused):
    """The file is not a GGUF that can be read; the message names the file and the fault."""

    HINT = "Download the file again, or check that it is a complete GGUF (version 2 or 3)."

    def __init__(self, path: str | os.PathLike[str], fault: str, hint: str = HINT) -> None:
        super().__init__(f"{Path(path).name}: {fault}", code="bad_model_file", hint=hint)


class Cursor:
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

    def bytes(self, limit: int = MAX_TEXT_BYTES) -> bytes:
        length = self.u64()
        if length > limit:
            raise self.fail(f"a text of {length} bytes at byte {self.position} (at most {limit})")
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
        if position - self.position > 8 * count + MAX_TEXTS_BYTES:
            raise self.fail(f"a list of texts takes more than {MAX_TEXTS_BYTES} bytes")
        self.position = position

    def texts(self, count: int) -> list[str]:
        """The texts of a list that `skip_strings` has found to lie in the file."""
        data, position, unpack = self.data, self.position, _U64.unpack_from
        texts = []
        for _ in range(count):
            start = position + 8
            position = start + unpack(data, position)[0]
            if position - start > MAX_TEXT_BYTES:
                raise self.fail(f"a text of {position - start} bytes (at most {MAX_TEXT_BYTES})")
            texts.append(data[start:position].decode("utf-8", "surrogateescape"))
        return texts


@dataclass(frozen=True, slots=True)
class _LazyArray:
    kind: int
    count: int
    position: int


class Metadata(Mapping[str, Any]):
    """The key-value part of the header. Scalars are read at once; arrays when asked for, as lists
    (texts as `str`; bytes that are not UTF-8 become surrogate escapes)."""

    def __init__(self, cursor: Cursor, count: int) -> None:
        self._cursor = cursor
        self._values: dict[str, Any] = {}
        text_bytes = 0
        for _ in range(count):
            key = cursor.bytes(MAX_KEY_BYTES).decode("utf-8", "surrogateescape")
            if key in self._values:
                raise cursor.fail(f"the metadata key {key[:64]!r} occurs twice")
            start = cursor.position
            value = self._values[key] = self._read(cursor.u32())
            text_bytes += cursor.position - start if isinstance(value, str) else 0
            if text_bytes > MAX_TEXTS_BYTES:
                raise cursor.fail(f"the texts of the metadata take more than {MAX_TEXTS_BYTES} bytes")

    def _read(self, kind: int) -> Any:
        cursor = self._cursor
        if kind in _SCALARS:
            return cursor.scalar(kind)
        if kind == _STRING:
            return cursor.bytes().decode("utf-8", "surrogateescape")
        if kind == _ARRAY:
            inner, count = cursor.u32(), cursor.u64()
            lazy = _LazyArray(inner, count, cursor.position)
            if count > MAX_ELEMENTS:
                raise cursor.fail(f"a list of {count} values (at most {MAX_ELEMENTS})")
            if inner == _STRING:
                cursor.skip_strings(count)
            elif inner in _SCALARS:
                cursor.skip(count * _SCALARS[inner].size)
            else:
                raise cursor.fail(f"a list of values of unknown type {inner}")
            return lazy
        raise cursor.fail(f"a value of unknown type {kind} at byte {cursor.position}")

    def _decode(self, lazy: _LazyArray) -> list[Any]:
        cursor = Cursor(self._cursor.data, self._cursor.path, lazy.position)
        if lazy.kind == _STRING:
            return cursor.texts(lazy.count)
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
