"""Messages as frames, and frames as messages (no sockets here).

    frame   := u32 length | u8 lane | u8 flags | body          length counts what follows it
    flags   := 1 the message begins here, 2 it ends here
    message := u16 header bytes | u32 payload bytes | header | payload, over the bodies of its frames

A frame has at most `MAX_FRAME` bytes. Each lane carries one message at a time; between two frames of a
long message those of a more urgent lane go first. The first frame holds the whole header, so a message
that is too large for its kind is refused before a byte of it is kept.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Any

from swarmnode.protocols.worker.messages import (
    KINDS,
    MAX_HEADER,
    MIB,
    Kind,
    Lane,
    LinkFault,
    Message,
    header_bytes,
    parse_header,
)

MAX_FRAME = 256 << 10
#: What one end may have waiting to be sent, over all lanes.
MAX_QUEUED_BYTES = 1024 * MIB
MAX_QUEUED_MESSAGES = 1 << 16

_FRAME = struct.Struct(">IBB")
_MESSAGE = struct.Struct(">HI")
_FIRST, _LAST = 1, 2
_ROOM = MAX_FRAME - _FRAME.size


class _Outgoing:
    """A message on its way out: how much of it has been cut into frames."""

    def __init__(self, message: Message) -> None:
        header = header_bytes(message)
        payload = memoryview(message.payload).cast("B")
        kind = KINDS[message.kind]
        if len(payload) > kind.limit:
            raise LinkFault(f"a {kind.name} message of {len(payload)} bytes (at most {kind.limit})")
        self.lane = kind.lane
        self._prefix = _MESSAGE.pack(len(header), len(payload)) + header
        self._payload = payload
        self._sent = 0
        self.size = len(self._prefix) + len(payload)

    def cut(self) -> tuple[bytes, bool]:
        """The next frame, and whether it was the last."""
        prefix, self._prefix = self._prefix, b""
        part = self._payload[self._sent : self._sent + _ROOM - len(prefix)]
        self._sent += len(part)
        last = self._sent == len(self._payload)
        flags = (_FIRST if prefix else 0) | (_LAST if last else 0)
        head = _FRAME.pack(2 + len(prefix) + len(part), self.lane, flags)
        return b"".join((head, prefix, part)), last


class Outbox:
    """Messages waiting to be sent, the most urgent lane first."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[_Outgoing], ...] = tuple(deque() for _ in Lane)
        self._bytes = 0

    def push(self, message: Message) -> None:
        """Queue a message. Raises `LinkFault` when it, or all that waits, is too large."""
        outgoing = _Outgoing(message)
        waiting = sum(map(len, self._lanes))
        if self._bytes + outgoing.size > MAX_QUEUED_BYTES or waiting >= MAX_QUEUED_MESSAGES:
            raise LinkFault(f"{self._bytes} bytes in {waiting} messages wait for a reader that does not read")
        self._lanes[outgoing.lane].append(outgoing)
        self._bytes += outgoing.size

    def pop(self) -> bytes | None:
        """The next frame to send; None when nothing waits."""
        for lane in self._lanes:
            if lane:
                outgoing = lane[0]
                frame, last = outgoing.cut()
                if last:
                    lane.popleft()
                    self._bytes -= outgoing.size
                return frame
        return None

    def __bool__(self) -> bool:
        return any(self._lanes)

    @property
    def queued_bytes(self) -> int:
        """The size of all messages that are not wholly cut yet."""
        return self._bytes


class _Incoming:
    """A message of which some frames have come."""

    def __init__(self, kind: Kind, header: dict[str, Any], expected: int) -> None:
        self._kind, self._header, self._expected = kind, header, expected
        self._payload = bytearray()

    def add(self, part: memoryview, last: bool) -> Message | None:
        if len(self._payload) + len(part) > self._expected:
            raise LinkFault(f"a {self._kind.name} message is longer than it said")
        self._payload += part
        if not last:
            return None
        if len(self._payload) != self._expected:
            raise LinkFault(f"a {self._kind.name} message is shorter than it said")
        return Message(self._kind.name, self._header, self._payload)


class FrameDecoder:
    """Bytes in any portions become messages. `sender` is who may speak here: `N` or `W`.

    After a fault nothing more is taken: every later `feed` raises the same error.
    """

    def __init__(self, sender: str) -> None:
        self._sender = sender
        self._buffer = bytearray()
        self._lanes: list[_Incoming | None] = [None] * len(Lane)
        self._fault: LinkFault | None = None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete. Raises `LinkFault`."""
        if self._fault:
            raise self._fault
        self._buffer += data
        try:
            return self._take_all()
        except LinkFault as fault:
            self._fault = fault
            self._buffer = bytearray()  # the old one may still be looked at by the error
            raise

    def _take_all(self) -> list[Message]:
        messages: list[Message] = []
        position = 0
        with memoryview(self._buffer) as view:
            while (end := self._frame_end(view, position)) is not None:
                message = self._frame(view[position:end])
                if message is not None:
                    messages.append(message)
                position = end
        del self._buffer[:position]
        return messages

    @staticmethod
    def _frame_end(view: memoryview, position: int) -> int | None:
        if len(view) - position < _FRAME.size:
            return None
        length = int.from_bytes(view[position : position + 4], "big")
        if not 2 <= length <= MAX_FRAME - 4:
            raise LinkFault(f"a frame of {length} bytes (2 to {MAX_FRAME - 4})")
        end = position + 4 + length
        return end if end <= len(view) else None

    def _frame(self, frame: memoryview) -> Message | None:
        _length, lane, flags = _FRAME.unpack_from(frame)
        body = frame[_FRAME.size :]
        if lane >= len(Lane) or flags > (_FIRST | _LAST):
            raise LinkFault(f"a frame with lane {lane} and flags {flags}")
        incoming = self._lanes[lane]
        if bool(flags & _FIRST) != (incoming is None):
            raise LinkFault(f"a frame of lane {lane} is out of order")
        if incoming is None:
            incoming, body = self._begin(lane, body)
        message = incoming.add(body, bool(flags & _LAST))
        self._lanes[lane] = None if flags & _LAST else incoming
        return message

    def _begin(self, lane: int, body: memoryview) -> tuple[_Incoming, memoryview]:
        if len(body) < _MESSAGE.size:
            raise LinkFault("the first frame of a message is too short")
        header_size, payload_size = _MESSAGE.unpack_from(body)
        end = _MESSAGE.size + header_size
        if header_size > MAX_HEADER or end > len(body):
            raise LinkFault(f"a header of {header_size} bytes (at most {MAX_HEADER}, in the first frame)")
        kind, header = parse_header(bytes(body[_MESSAGE.size : end]))
        if kind.lane != lane or self._sender not in kind.senders:
            raise LinkFault(f"a {kind.name} message may not come this way")
        if payload_size > kind.limit:
            raise LinkFault(f"a {kind.name} message of {payload_size} bytes (at most {kind.limit})")
        return _Incoming(kind, header, payload_size), body[end:]
