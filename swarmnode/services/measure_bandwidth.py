"""Measuring how fast bytes come from a peer and go to it, by a short transfer each way, and answering others
who do so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import HIGH_WATER, Host, Stream, StreamReceiver
from swarmnode.policy.rate_limit import TokenBuckets
from swarmnode.protocols.swarm.bandwidth import (
    COUNT_BYTES,
    MAX_BYTES,
    NAME,
    REQUEST_BYTES,
    Transfer,
    decode_transfer,
    encode_transfer,
)
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.values.errors import LocalFault, PeerFault, SwarmnodeError, Unavailable

#: What is sent each way, bytes, and how long each way may take, seconds: a slow link is measured by what got
#: through.
SIZE, SECONDS = MAX_BYTES, 5.0
CHUNK = bytes(64 << 10)
#: Transfers that others may have going at once; that one of them may ask for in a minute, and all together:
#: bytes cost whoever asks for them nothing.
MAX_SERVING, TRANSFERS_A_MINUTE, ALL_A_MINUTE = 4, 8, 32
#: How long others may take over one.
SERVE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes a second."""

    down: float
    up: float


class MeasureBandwidth:
    """penalise: told when a peer broke the rules."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        network: str = "",
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
    ) -> None:
        self._host, self._clock, self._penalise = host, clock, penalise
        self._protocol = protocol_id(NAME, network)
        self._askers, self._all = TokenBuckets(TRANSFERS_A_MINUTE), TokenBuckets(ALL_A_MINUTE)
        self._serving = 0

    def start(self) -> None:
        """Answer from now on."""
        self._host.serve(self._protocol, self._accept)

    def stop(self) -> None:
        """Answer no more."""
        self._host.unserve(self._protocol)

    @inlineCallbacks
    def measure(self, peer: str, size: int = SIZE) -> Any:
        """A Deferred of the `Bandwidth` to the peer. Fails with a `SwarmnodeError`."""
        down = yield self._ask(peer, Transfer(False, size))
        up = yield self._ask(peer, Transfer(True, size))
        return Bandwidth(down, up)

    def _ask(self, peer: str, transfer: Transfer) -> Deferred[float]:
        asking = _Asking(transfer, self._clock)
        opening: Deferred[Stream] = self._host.open(peer, (self._protocol,), asking)
        opening.addCallbacks(asking.begin, asking.failed)
        return asking.result

    def _accept(self, stream: Stream) -> StreamReceiver:
        now = self._clock.seconds()
        crowded = self._serving >= MAX_SERVING or self._askers.take(stream.peer, now)
        if crowded or self._all.take("", now):
            raise Unavailable("Too many transfers are being measured", code="too_many_requests")
        self._serving += 1
        return _Serving(stream, self._clock, self._penalise, self._over)

    def _over(self) -> None:
        self._serving -= 1


class _Sending:
    """Writes so many bytes as fast as the peer takes them."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream, self._left = stream, size

    def go_on(self) -> None:
        """Write until enough waits; called again when less does."""
        while self._left and self._stream.waiting < HIGH_WATER:
            chunk = CHUNK[: min(len(CHUNK), self._left)]
            self._left -= len(chunk)
            self._stream.write(chunk)
            if not self._left:
                self._stream.end()


class _Asking:
    """The asking end of one transfer. result: a Deferred of bytes a second."""

    def __init__(self, transfer: Transfer, clock: Clock) -> None:
        self.result: Deferred[float] = Deferred(lambda _: self._finish(None))
        self._transfer, self._clock = transfer, clock
        self._stream: Stream | None = None
        self._sending: _Sending | None = None
        self._answer, self._received, self._begun, self._over = b"", 0, clock.seconds(), False
        self._timer = clock.callLater(SECONDS, self._late)

    def begin(self, stream: Stream) -> None:
        """The stream is there."""
        self._stream = stream
        if self._over:
            stream.reset()
            return
        self._begun = self._clock.seconds()
        stream.write(encode_transfer(self._transfer))
        if self._transfer.upwards:
            self._sending = _Sending(stream, self._transfer.size)
            self._sending.go_on()
        else:
            stream.end()

    def failed(self, failure: Failure) -> None:
        """There is none."""
        error = failure.value
        if not isinstance(error, SwarmnodeError):
            error = LocalFault(f"Measuring failed: {failure.getErrorMessage()}", code="internal_error")
        self._finish(error)

    def received(self, data: bytes) -> None:
        self._received += len(data)
        if self._transfer.upwards:
            self._answer += data[: COUNT_BYTES + 1]
            if len(self._answer) >= COUNT_BYTES:
                self._counted(int.from_bytes(self._answer[:COUNT_BYTES], "big"))
        elif self._received >= self._transfer.size:
            self._counted(self._received)

    def ended(self) -> None:
        self._finish(_too_early())

    def lost(self, error: SwarmnodeError | None) -> None:
        self._stream = None
        self._finish(error or _too_early())

    def drained(self) -> None:
        if self._sending is not None:
            self._sending.go_on()

    def _counted(self, count: int) -> None:
        if count != self._transfer.size:
            self._finish(PeerFault(f"{count} bytes came of {self._transfer.size}", code="bad_message"))
            return
        self._done(count)

    def _late(self) -> None:
        if self._transfer.upwards or not self._received:
            text = f"The transfer was not over within {SECONDS:.0f} s"
            self._finish(Unavailable(text, code="timeout", hint="The link is slow, or busy."))
        else:
            self._done(self._received)

    def _done(self, count: int) -> None:
        # A clock that stands still, as in tests, is not a link without end.
        speed = count / max(self._clock.seconds() - self._begun, 1e-6)
        if self._settle():
            self.result.callback(speed)

    def _finish(self, error: SwarmnodeError | None) -> None:
        if self._settle() and error is not None:
            self.result.errback(Failure(error))

    def _settle(self) -> bool:
        if self._over:
            return False
        self._over = True
        if self._timer.active():
            self._timer.cancel()
        if self._stream is not None:
            self._stream.reset()
        return True


class _Serving:
    """The answering end of one transfer."""

    def __init__(
        self,
        stream: Stream,
        clock: Clock,
        penalise: Callable[[str, SwarmnodeError], None],
        over: Callable[[], None],
    ) -> None:
        self._stream, self._penalise, self._over = stream, penalise, over
        self._head, self._count = b"", 0
        self._transfer: Transfer | None = None
        self._sending: _Sending | None = None
        self._timer = clock.callLater(SERVE_SECONDS, stream.reset)

    def received(self, data: bytes) -> None:
        try:
            self._take(data)
        except PeerFault as error:
            self._penalise(self._stream.peer, error)
            self._stream.reset()

    def ended(self) -> None:
        if self._transfer is None:
            self._stream.reset()
        elif self._transfer.upwards:
            self._stream.write(self._count.to_bytes(COUNT_BYTES, "big"))
            self._stream.end()

    def lost(self, error: SwarmnodeError | None) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._over()

    def drained(self) -> None:
        if self._sending is not None:
            self._sending.go_on()

    def _take(self, data: bytes) -> None:
        if self._transfer is None:
            missing = REQUEST_BYTES - len(self._head)
            self._head, data = self._head + data[:missing], data[missing:]
            if len(self._head) < REQUEST_BYTES:
                return
            self._transfer = decode_transfer(self._head)
            if not self._transfer.upwards:
                self._sending = _Sending(self._stream, self._transfer.size)
                self._sending.go_on()
        self._count += len(data)
        if self._count > (self._transfer.size if self._transfer.upwards else 0):
            raise PeerFault("More bytes came than were announced", code="bad_message")


def _too_early() -> Unavailable:
    return Unavailable("The peer ended the transfer too early", code="stream_ended")
