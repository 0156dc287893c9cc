"""Opening a stream: connecting where needed, agreeing on a protocol, giving up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from swarmnode.interfaces.host import Stream, StreamReceiver
from swarmnode.network.link import Link, as_error
from swarmnode.values.errors import SwarmnodeError, Unavailable


class Opening:
    """A stream that is being opened. Until then it takes what comes on it; the receiver knows nothing yet."""

    def __init__(self, protocols: Sequence[str], receiver: StreamReceiver) -> None:
        self._protocols, self._receiver = tuple(protocols), receiver
        self._stream: Stream | None = None
        self._connecting: Deferred[Any] | None = None
        self._live = self._agreed = False
        self.deferred: Deferred[Stream] | None = Deferred(self._cancelled)

    def begin(self, connecting: Deferred[Any], choose: Callable[[], Link | None]) -> Deferred[Stream]:
        """Go on when the peer is connected. choose: the connection to use then."""
        deferred = self.deferred
        assert deferred is not None
        self._connecting = connecting
        connecting.addCallbacks(lambda _: self._connected(choose()), self._failed)
        return deferred

    def _connected(self, link: Link | None) -> None:
        self._connecting = None
        if self.deferred is None:
            return
        if link is None:
            self._fail(Unavailable("The connection is gone again", code="connection_lost"))
            return
        try:
            stream = link.open(self._protocols, self, self._opened)
        except Exception as error:
            self._fail(as_error(error, "Opening a stream failed"))
            return
        if self.deferred is None:
            return
        self._stream = stream
        if self._agreed or len(self._protocols) == 1:
            self._succeed(stream)

    def _opened(self) -> None:
        self._agreed = True
        if self._stream is not None and not self._live:
            self._succeed(self._stream)

    def _succeed(self, stream: Stream) -> None:
        deferred, self.deferred = self.deferred, None
        self._live = True
        if deferred is not None:
            deferred.callback(stream)

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if not failure.check(CancelledError):
            self._fail(as_error(failure.value, "Connecting failed"))

    def _fail(self, error: SwarmnodeError) -> None:
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(error)

    def _cancelled(self, deferred: Deferred[Stream]) -> None:
        # Twisted fails a cancelled Deferred itself.
        self.deferred = None
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        elif self._stream is not None:
            self._stream.reset()

    # What comes on the stream.

    def received(self, data: bytes) -> None:
        if self._live:
            self._receiver.received(data)

    def ended(self) -> None:
        if self._live:
            self._receiver.ended()

    def drained(self) -> None:
        if self._live:
            self._receiver.drained()

    def lost(self, error: SwarmnodeError | None) -> None:
        if self._live:
            self._receiver.lost(error)
        else:
            self._fail(error or Unavailable("The peer closed the stream at once", code="stream_lost"))
