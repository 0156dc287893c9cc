"""Frames of our streams: control messages and raw bytes, each with a tag and a cap of its own.

    frame := u32 length | u8 tag | body        big-endian; length counts what follows it

A reader keeps nothing but what has arrived, in steps of at most 1 MiB: a frame that announces 128 MiB
costs nothing before they come, and one that announces more than its tag allows ends the stream at once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from swarmnode.values.errors import PeerFault

#: The longest piece of a frame handed on at once, bytes.
STEP = 1 << 20
HEAD_BYTES = 5

_HEAD = struct.Struct(">IB")


class Tag(IntEnum):
    """What a frame holds."""

    CONTROL = 0x00
    TENSOR = 0x01
    PACKED_TENSOR = 0x02
    BULK = 0x03
    PREFIX_KV = 0x04
    SEALED = 0x10


#: The longest body of each, bytes. Activations: 4,096 positions of 8,192 float32 numbers. Bulk: pieces of
#: 8 MiB and what names them. Sealed: what a third node carries for others.
LIMITS: Mapping[Tag, int] = {
    Tag.CONTROL: 4 << 20,
    Tag.TENSOR: 128 << 20,
    Tag.PACKED_TENSOR: 128 << 20,
    Tag.BULK: (8 << 20) + 4096,
    Tag.PREFIX_KV: 128 << 20,
    Tag.SEALED: 32 << 20,
}


@dataclass(frozen=True, slots=True)
class FramePart:
    """Consecutive bytes of one frame's body. size: of the whole body; offset: of the first of these."""

    tag: Tag
    size: int
    offset: int
    data: bytes

    @property
    def last(self) -> bool:
        """Whether the frame is complete with it."""
        return self.offset + len(self.data) == self.size


def head(tag: Tag, size: int) -> bytes:
    """What comes before a body of `size` bytes. Raises `ValueError` above the tag's limit."""
    if not 0 <= size <= LIMITS[tag]:
        raise ValueError(f"a {tag.name} frame of {size} bytes; {LIMITS[tag]} are allowed")
    return _HEAD.pack(size + 1, tag)


def frame(tag: Tag, body: bytes) -> bytes:
    """The frame with this body."""
    return head(tag, len(body)) + body


class FrameReader:
    """Cuts a stream into parts of frames, keeping at most an incomplete head. limits: of the tags that
    may come here; others are faults."""

    def __init__(self, limits: Mapping[Tag, int] = LIMITS) -> None:
        self._limits = limits
        self._head = b""
        self._tag = Tag.CONTROL
        self._size = self._offset = 0
        self._inside = False

    def feed(self, data: bytes) -> list[FramePart]:
        """What these bytes complete. Raises `PeerFault` (`bad_frame`, `frame_too_large`); the stream is of
        no use after that."""
        parts: list[FramePart] = []
        position = 0
        while position < len(data) or (self._inside and not self._size):
            if not self._inside:
                position = self._read_head(data, position)
                continue
            take = min(self._size - self._offset, STEP, len(data) - position)
            parts.append(FramePart(self._tag, self._size, self._offset, data[position : position + take]))
            position += take
            self._offset += take
            self._inside = self._offset < self._size
        return parts

    @property
    def at_boundary(self) -> bool:
        """Whether the stream may end here."""
        return not self._inside and not self._head

    def _read_head(self, data: bytes, position: int) -> int:
        take = HEAD_BYTES - len(self._head)
        self._head += data[position : position + take]
        if len(self._head) == HEAD_BYTES:
            length, tag = _HEAD.unpack(self._head)
            self._begin(length, tag)
            self._head = b""
        return min(position + take, len(data))

    def _begin(self, length: int, number: int) -> None:
        if number not in self._limits:
            raise PeerFault(f"A frame with the tag {number:#04x} came where none belongs", code="bad_frame")
        self._tag = Tag(number)
        limit = self._limits[self._tag]
        if not 1 <= length <= limit + 1:
            raise PeerFault(
                f"A {self._tag.name} frame of {length} bytes is announced; 1 to {limit + 1} are allowed",
                code="frame_too_large" if length else "bad_frame",
            )
        self._size, self._offset, self._inside = length - 1, 0, True
