"""Messages in a stream of bytes, each after its length as an unsigned varint (libp2p's usual framing).

Varints as in multiformats/unsigned-varint: base 128, the low end first, at most 63 bits, the shortest form.
"""

from __future__ import annotations

from swarmnode.protocols.identity.fields import MAX_VARINT_BYTES, encode_varint
from swarmnode.values.errors import PeerFault


def framed(message: bytes) -> bytes:
    """The message with its length before it."""
    return encode_varint(len(message)) + message


class Frames:
    """Cuts a stream into its messages. limit: the longest message, bytes; what is kept between two calls is
    at most that and one length. name: what the stream is, for errors."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises `PeerFault` for one that is too long, as soon as its
        length is known; the stream is of no use after that."""
        self._buffer += data
        messages: list[bytes] = []
        while (head := self._head()) is not None:
            start, size = head
            if len(self._buffer) < start + size:
                break
            messages.append(bytes(self._buffer[start : start + size]))
            del self._buffer[: start + size]
        return messages

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)

    def _head(self) -> tuple[int, int] | None:
        size = 0
        for index, byte in enumerate(self._buffer[:MAX_VARINT_BYTES]):
            size |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if index and not byte:
                    raise self._fault("a length is written longer than needed")
                if size > self._limit:
                    raise self._fault(f"a message of {size} bytes is announced, {self._limit} are allowed")
                return index + 1, size
        if len(self._buffer) >= MAX_VARINT_BYTES:
            raise self._fault("a length has no end")
        return None

    def _fault(self, what: str) -> PeerFault:
        return PeerFault(f"{self._name}: {what}", code="bad_frame")
