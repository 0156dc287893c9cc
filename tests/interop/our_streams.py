"""What our node serves and opens in these tests besides libp2p's own protocols; js/streams.mjs says what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from bulk_pattern import COUNT, ECHO, SINK, SOURCE, pattern_blocks
from twisted.internet.defer import Deferred

from swarmnode.interfaces.host import HIGH_WATER, Host, Stream, StreamReceiver
from swarmnode.values.errors import SwarmnodeError


class _Receiver:
    """Nothing happens, on anything."""

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def drained(self) -> None: ...

    def lost(self, error: SwarmnodeError | None) -> None: ...


def serve_streams(host: Host) -> None:
    """Serve the four protocols."""
    host.serve(ECHO, _Echo)
    host.serve(SINK, lambda stream: _Sink(stream, hashed=True))
    host.serve(COUNT, lambda stream: _Sink(stream, hashed=False))
    host.serve(SOURCE, _Source)


class _Echo(_Receiver):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def received(self, data: bytes) -> None:
        self._stream.write(bytes(data))

    def ended(self) -> None:
        self._stream.end()


class _Sink(_Receiver):
    def __init__(self, stream: Stream, *, hashed: bool) -> None:
        self._stream, self._bytes = stream, 0
        self._hash = hashlib.sha256() if hashed else None

    def received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._hash is not None:
            self._hash.update(data)

    def ended(self) -> None:
        digest = self._hash.hexdigest() if self._hash is not None else None
        self._stream.write(json.dumps({"bytes": self._bytes, "sha256": digest}).encode())
        self._stream.end()


class _Pouring:
    """Writes the pattern as fast as the stream takes it, and ends."""

    def __init__(self, total: int, *, hashed: bool) -> None:
        self._blocks = pattern_blocks(total)
        self.hash = hashlib.sha256() if hashed else None

    def pour(self, stream: Stream) -> bool:
        """Go on; whether all is written."""
        while stream.waiting < HIGH_WATER:
            block = next(self._blocks, None)
            if block is None:
                stream.end()
                return True
            if self.hash is not None:
                self.hash.update(block)
            stream.write(block)
        return False


class _Source(_Receiver):
    def __init__(self, stream: Stream) -> None:
        self._stream, self._asked = stream, b""
        self._pouring: _Pouring | None = None

    def received(self, data: bytes) -> None:
        self._asked += bytes(data)

    def ended(self) -> None:
        self._pouring = _Pouring(int.from_bytes(self._asked, "big"), hashed=False)
        self.drained()

    def drained(self) -> None:
        if self._pouring is not None and self._pouring.pour(self._stream):
            self._pouring = None


class Collecting(_Receiver):
    """Say something, end, and take everything that comes."""

    def __init__(self, said: bytes, protocol: str = ECHO, *, keep: bool = True) -> None:
        self._said, self._protocol, self._keep = said, protocol, keep
        self._data, self._bytes, self._hash = bytearray(), 0, hashlib.sha256()
        self._done: Deferred[Any] = Deferred()

    @classmethod
    def bulk(cls, total: int) -> Collecting:
        """Ask for `total` bytes."""
        return cls(total.to_bytes(8, "big"), SOURCE, keep=False)

    def begin(self, host: Host, peer: str) -> Deferred[Any]:
        """A Deferred of what came: in hexadecimal, or its number and checksum."""
        host.open(peer, (self._protocol,), self).addCallbacks(self._opened, self._done.errback)
        return self._done

    def _opened(self, stream: Stream) -> None:
        stream.write(self._said)
        stream.end()

    def received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._keep:
            self._data += data
        else:
            self._hash.update(data)

    def lost(self, error: SwarmnodeError | None) -> None:
        if error is not None:
            self._done.errback(error)
        elif self._keep:
            self._done.callback(bytes(self._data).hex())
        else:
            self._done.callback({"bytes": self._bytes, "sha256": self._hash.hexdigest()})


class BulkSending(_Receiver):
    """Send `total` bytes and take the answer."""

    def __init__(self, total: int, hashed: bool) -> None:
        self._pouring = _Pouring(total, hashed=hashed)
        self._protocol = SINK if hashed else COUNT
        self._stream: Stream | None = None
        self._answer = b""
        self._done: Deferred[Any] = Deferred()

    def begin(self, host: Host, peer: str, seconds: Callable[[], float]) -> Deferred[Any]:
        """A Deferred of {seconds, sha256, answer}."""
        self._seconds = seconds
        self._begun = seconds()
        host.open(peer, (self._protocol,), self).addCallbacks(self._opened, self._done.errback)
        return self._done

    def _opened(self, stream: Stream) -> None:
        self._stream = stream
        self._pouring.pour(stream)

    def drained(self) -> None:
        if self._stream is not None:
            self._pouring.pour(self._stream)

    def received(self, data: bytes) -> None:
        self._answer += bytes(data)

    def lost(self, error: SwarmnodeError | None) -> None:
        if error is not None:
            self._done.errback(error)
            return
        digest = self._pouring.hash.hexdigest() if self._pouring.hash is not None else None
        self._done.callback(
            {
                "seconds": self._seconds() - self._begun,
                "sha256": digest,
                "answer": json.loads(self._answer),
            }
        )


#: Checked by mypy where it looks at tests.
_: type[StreamReceiver] = _Receiver
