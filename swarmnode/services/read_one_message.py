"""Reading one message from a stream, within a time: what identify and peer exchange have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host, Stream
from swarmnode.values.errors import LocalFault, PeerFault, SwarmnodeError, Unavailable

#: A message may take so long, with the opening of its stream.
MESSAGE_SECONDS = 10.0


class Reader(Protocol):
    """What makes a message of bytes; see `protocols.identify`."""

    def feed(self, data: bytes) -> bool:
        """Take bytes; whether the message is complete. Raises `PeerFault`."""

    def finish(self) -> Any:
        """The message. Raises `PeerFault` when it is not complete."""


class OneMessage:
    """A `StreamReceiver` that reads one message; `result` fires with it, or fails with a `SwarmnodeError`.

    A peer that breaks the rules or takes too long has its stream reset.
    """

    def __init__(self, reader: Reader, clock: Clock, what: str) -> None:
        self.result: Deferred[Any] = Deferred()
        self._reader, self._what = reader, what
        self._stream: Stream | None = None
        self._opening: Deferred[Any] | None = None
        self._over = self._keep_open = False
        self._timer = clock.callLater(MESSAGE_SECONDS, self._expired)

    def read_from(self, stream: Stream, *, keep_open: bool = False) -> None:
        """The stream whose receiver this is. keep_open: something is to be written after the message."""
        self._stream, self._opening, self._keep_open = stream, None, keep_open
        if self._over:
            stream.reset()

    def wait_for(self, opening: Deferred[Any], request: bytes) -> None:
        """The stream is still being opened; the request is sent when it is there."""
        self._opening = opening
        opening.addCallbacks(self._opened, self._not_opened, callbackArgs=(request,))

    def _opened(self, stream: Stream, request: bytes) -> None:
        self.read_from(stream)
        if request and not self._over:
            stream.write(request)

    def _not_opened(self, failure: Failure) -> None:
        self._opening = None
        error = failure.value
        if not isinstance(error, SwarmnodeError):
            text = f"{self._what}: {failure.getErrorMessage() or type(error).__name__}"
            error = LocalFault(text, code="internal_error")
        self._finish(error)

    def received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            if self._reader.feed(data):
                self._complete()
        except PeerFault as error:
            self._give_up(error)

    def ended(self) -> None:
        if not self._over:
            self._complete()

    def lost(self, error: SwarmnodeError | None) -> None:
        why = error or Unavailable(f"{self._what}: the stream ended too early", code="stream_ended")
        self._finish(why)

    def drained(self) -> None:
        """What is written here is short."""

    def _complete(self) -> None:
        try:
            message = self._reader.finish()
        except PeerFault as error:
            self._give_up(error)
        else:
            self._finish(message)
            if self._stream is not None and not self._keep_open:
                self._stream.end()

    def _expired(self) -> None:
        opening, self._opening = self._opening, None
        self._give_up(Unavailable(f"{self._what}: no answer in {MESSAGE_SECONDS:g} s", code="timeout"))
        if opening is not None:
            opening.cancel()

    def _give_up(self, error: SwarmnodeError) -> None:
        # First: a reset is also reported as the loss of the stream.
        self._finish(error)
        if self._stream is not None:
            self._stream.reset()

    def _finish(self, result: Any) -> None:
        if self._over:
            return
        self._over = True
        if self._timer.active():
            self._timer.cancel()
        if isinstance(result, SwarmnodeError):
            self.result.errback(Failure(result))
        else:
            self.result.callback(result)


def ask(
    host: Host, clock: Clock, peer: str, protocols: Sequence[str], reader: Reader, request: bytes = b""
) -> Deferred[Any]:
    """Open a stream, send the request and read one message; a Deferred of it."""
    reading = OneMessage(reader, clock, protocols[0])
    reading.wait_for(host.open(peer, protocols, reading), request)
    return reading.result


class Told:
    """A `StreamReceiver` for a stream that we have ended: what comes is not looked at, and a peer that keeps
    its own end open has the stream reset."""

    def __init__(self, stream: Stream, clock: Clock) -> None:
        self._timer = clock.callLater(MESSAGE_SECONDS, stream.reset)

    def received(self, data: bytes) -> None:
        """Not looked at."""

    def ended(self) -> None:
        """As it should be."""

    def lost(self, error: SwarmnodeError | None) -> None:
        if self._timer.active():
            self._timer.cancel()

    def drained(self) -> None:
        """Nothing waits."""
