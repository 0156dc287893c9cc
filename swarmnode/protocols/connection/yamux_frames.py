"""yamux frames (hashicorp/yamux spec.md; libp2p specs, yamux): 12 bytes of header, and bytes behind those of
data frames.

    version u8 (0) | type u8 | flags u16 | stream u32 | length u32        big-endian
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from swarmnode.values.errors import SwarmnodeError

PROTOCOL = "/yamux/1.0.0"
HEADER_BYTES = 12

DATA, WINDOW_UPDATE, PING, GO_AWAY = 0, 1, 2, 3
SYN, ACK, FIN, RST = 1, 2, 4, 8
#: What the length of a go-away frame says.
NORMAL, PROTOCOL_ERROR, INTERNAL_ERROR = 0, 1, 2

_HEADER = struct.Struct(">BBHII")

#: version, type, flags, stream, length.
Header = tuple[int, int, int, int, int]


def header(kind: int, flags: int, stream: int, length: int) -> bytes:
    """The header of a frame; the whole of it unless it is a data frame."""
    return _HEADER.pack(0, kind, flags, stream, length)


class FrameReader:
    """Cuts plaintext into headers and pieces of data. Data are passed on as they come, so that nothing but a
    part of a header is ever kept."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def cut(self, data: bytes) -> list[Header | bytes]:
        """Headers, each data header followed by the pieces of its data (by later calls, if need be)."""
        items: list[Header | bytes] = []
        if self._head:
            data, self._head = self._head + data, b""
        position, end = 0, len(data)
        while position < end:
            if self._left:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                items.append(piece)
            elif end - position < HEADER_BYTES:
                self._head = data[position:]
                break
            else:
                head = _HEADER.unpack_from(data, position)
                position += HEADER_BYTES
                if head[1] == DATA:
                    self._left = head[4]
                items.append(head)
        return items


# What a yamux session tells.


@dataclass(frozen=True, slots=True)
class Arrived:
    """The peer opened a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes on a stream; to be consumed."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The peer will send no more on the stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The stream is over. error: None when both sides finished it."""

    stream: int
    error: SwarmnodeError | None


@dataclass(frozen=True, slots=True)
class Ponged:
    """The peer answered the ping that was under way."""


@dataclass(frozen=True, slots=True)
class WentAway:
    """The peer takes no more streams. code: NORMAL, PROTOCOL_ERROR or INTERNAL_ERROR."""

    code: int


Event = Arrived | Received | Finished | Gone | Ponged | WentAway
