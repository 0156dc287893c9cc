"""The transport phase of Noise: a stream of bytes in sealed frames (libp2p specs, noise, "Wire format").

A frame is two bytes of length, big-endian, and a ChaCha20-Poly1305 ciphertext with its tag.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from swarmnode.protocols.connection.noise_pattern import MAX_MESSAGE_BYTES, NONCE, TAG_BYTES
from swarmnode.values.errors import PeerFault

Buffer = bytes | bytearray | memoryview

LENGTH_BYTES = 2
#: The most that one frame carries.
MAX_PLAIN_BYTES = MAX_MESSAGE_BYTES - TAG_BYTES
#: The most that is kept of a frame that is not complete.
MAX_FRAME_BYTES = LENGTH_BYTES + MAX_MESSAGE_BYTES


class Channel:
    """Seals what goes and opens what comes, in order. send_key, receive_key: 32 bytes each."""

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._sealer, self._opener = ChaCha20Poly1305(send_key), ChaCha20Poly1305(receive_key)
        self._sent = self._opened = 0
        self._partial = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._partial)

    def seal(self, chunks: Sequence[Buffer]) -> list[bytes]:
        """The chunks, one behind the other, as pieces of frames to be written in order. Frames are as full
        as possible; no bytes at all make no frame."""
        plain = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        out: list[bytes] = []
        for start in range(0, len(plain), MAX_PLAIN_BYTES):
            sealed = self._sealer.encrypt(
                NONCE.pack(self._sent), plain[start : start + MAX_PLAIN_BYTES], None
            )
            self._sent += 1
            out += (len(sealed).to_bytes(LENGTH_BYTES, "big"), sealed)
        return out

    def open(self, data: Buffer) -> list[bytes]:
        """What the frames hold that are complete now, each as it was sealed. Raises
        `PeerFault(code='bad_record')` for a frame that is forged, out of order or empty; the channel is of
        no use after that."""
        view, out = memoryview(data), []
        if self._partial:
            view = self._fill(view, LENGTH_BYTES)
            if len(self._partial) < LENGTH_BYTES:
                return []
            size = LENGTH_BYTES + self._size(self._partial)
            view = self._fill(view, size)
            if len(self._partial) < size:
                return []
            frame, self._partial = self._partial, bytearray()
            out.append(self._open(memoryview(frame)[LENGTH_BYTES:]))
        position, end = 0, len(view)
        while end - position >= LENGTH_BYTES:
            stop = position + LENGTH_BYTES + self._size(view[position : position + LENGTH_BYTES])
            if stop > end:
                break
            out.append(self._open(view[position + LENGTH_BYTES : stop]))
            position = stop
        self._partial += view[position:]
        return out

    def _fill(self, view: memoryview, size: int) -> memoryview:
        """Bring the partial frame up to `size` bytes, as far as there are any; what is left of the view."""
        missing = max(0, size - len(self._partial))
        self._partial += view[:missing]
        return view[missing:]

    def _size(self, head: bytearray | memoryview) -> int:
        size = head[0] << 8 | head[1]
        if size <= TAG_BYTES:
            raise _bad(f"a frame of {size} bytes is announced, which holds nothing")
        return size

    def _open(self, sealed: memoryview) -> bytes:
        try:
            plain = self._opener.decrypt(NONCE.pack(self._opened), sealed, None)
        except InvalidTag as error:
            raise _bad(f"frame {self._opened} is forged, damaged or out of order") from error
        self._opened += 1
        return plain


def _bad(fault: str) -> PeerFault:
    return PeerFault(
        f"The secured connection broke: {fault}",
        code="bad_record",
        hint="Something between the two nodes may change what they send; dial again.",
    )
