"""Measuring round-trip times, and letting others measure them (libp2p specs, ping)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, Driver
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.protocols.ping.machine import PROTOCOL, Echo, PingMachine
from swarmnode.protocols.ping.vocabulary import Failed, Gone, Measured, Opened, Received, Write
from swarmnode.services.read_one_message import Told
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable

#: Streams on which one peer may ping us at once (the specification's two).
MAX_STREAMS_A_PEER = 2
#: Bytes of a peer's pings that wait to go back; it does not read them.
MAX_WAITING_BYTES = 64 * 1024
#: Measurements of one peer that wait for the one under way: only one stream may be open to it.
MAX_QUEUED = 16


class PingPeers:
    """entropy(n): n random bytes."""

    def __init__(self, host: Host, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._host, self._clock, self._entropy = host, clock, entropy
        self._serving: dict[str, int] = {}
        self._queues: dict[str, deque[_Measurement]] = {}

    def start(self) -> None:
        """Answer pings."""
        self._host.serve(PROTOCOL, self._accept)

    def stop(self) -> None:
        """Answer none any more, and give up what is being measured."""
        self._host.unserve(PROTOCOL)
        gone = Unavailable("The node stops", code="stopping")
        queues, self._queues = self._queues, {}
        for measurement in [one for queue in queues.values() for one in queue]:
            measurement.give_up(gone)

    def ping(self, peer: str, count: int = 1) -> Deferred[list[float]]:
        """Measure `count` round trips, one after the other; a Deferred of them, seconds. Fails with
        `Unavailable`, `Refused` or `PeerFault`."""
        queue = self._queues.setdefault(peer, deque())
        if len(queue) > MAX_QUEUED:
            return fail(Unavailable(f"{peer} is being pinged too often", code="too_many_pings"))
        measurement = _Measurement(peer, count, lambda: self._done(peer))
        queue.append(measurement)
        if len(queue) == 1:
            self._begin(measurement)
        return measurement.result

    def _begin(self, measurement: _Measurement) -> None:
        measurement.begin(self._host, self._clock, self._entropy)

    def _done(self, peer: str) -> None:
        """The stream of the first measurement in the queue is gone, or others were given up."""
        queue = self._queues.get(peer, deque())
        while queue and queue[0].is_gone:
            queue.popleft()
        if not queue:
            self._queues.pop(peer, None)
        elif not queue[0].begun:
            self._begin(queue[0])

    def _accept(self, stream: Stream) -> StreamReceiver:
        count = self._serving.get(stream.peer, 0)
        if count >= MAX_STREAMS_A_PEER:
            raise Refused(f"{MAX_STREAMS_A_PEER} ping streams are open already", code="too_many_streams")
        self._serving[stream.peer] = count + 1
        return _Echoing(stream, self._gone)

    def _gone(self, peer: str) -> None:
        self._serving[peer] -= 1
        if not self._serving[peer]:
            del self._serving[peer]


class _Echoing:
    """The answering side of one stream."""

    def __init__(self, stream: Stream, gone: Callable[[str], None]) -> None:
        self._stream, self._gone, self._echo = stream, gone, Echo()

    def received(self, data: bytes) -> None:
        if self._stream.waiting > MAX_WAITING_BYTES:
            self._stream.reset()
        elif back := self._echo.feed(data):
            self._stream.write(back)

    def ended(self) -> None:
        self._stream.end()

    def drained(self) -> None:
        """Nothing was held back."""

    def lost(self, error: SwarmnodeError | None) -> None:
        self._gone(self._stream.peer)


class _Measurement:
    """One `ping`: a machine on a stream. begun: a stream was asked for. done: called when that is gone."""

    def __init__(self, peer: str, count: int, done: Callable[[], None]) -> None:
        self.result: Deferred[list[float]] = Deferred(self._cancelled)
        self.begun = False
        self._peer, self._count, self._done = peer, count, done
        self._over = False
        self._driver: Driver | None = None
        self._stream: Stream | None = None
        self._opening: Any = None
        self._told: Told | None = None

    @property
    def is_gone(self) -> bool:
        """It has a result and its stream is no more."""
        return self._over and self._stream is None and self._opening is None

    def begin(self, host: Host, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        """Open the stream and measure."""
        self.begun = True
        machine = PingMachine(self._count, entropy, clock.seconds())
        effects: dict[type, Callable[[Any], None]] = {
            Write: self._write,
            Measured: lambda effect: self._measured(list(effect.rtts), clock),
            Failed: lambda effect: self.give_up(effect.error),
        }
        self._driver = Driver("ping", machine, clock, effects, self.give_up)
        self._opening = host.open(self._peer, (PROTOCOL,), self)
        self._opening.addCallbacks(self._opened, self._not_opened)
        self._post(None)

    def _post(self, event: Any) -> None:
        if self._driver is not None:
            self._driver.post(event)

    def _opened(self, stream: Stream) -> None:
        self._stream, self._opening = stream, None
        if self._over:
            stream.reset()
        self._post(Opened())

    def _not_opened(self, failure: Failure) -> None:
        self._opening = None
        error = failure.value
        if not isinstance(error, SwarmnodeError):
            error = Unavailable(failure.getErrorMessage(), code="ping_failed")
        self._post(Gone(error))
        self._finished()

    def _write(self, effect: Write) -> None:
        if self._stream is not None:
            self._stream.write(effect.data)

    def received(self, data: bytes) -> None:
        self._post(Received(data))

    def ended(self) -> None:
        self._post(Gone(None))

    def lost(self, error: SwarmnodeError | None) -> None:
        self._stream = None
        if self._told is not None:
            self._told.lost(error)
        self._post(Gone(error))
        self._finished()

    def drained(self) -> None:
        """A ping is short."""

    def _cancelled(self, _: Any) -> None:
        self.give_up(Unavailable("The ping was given up", code="ping_cancelled"))

    def _measured(self, rtts: list[float], clock: Clock) -> None:
        self._over = True
        self.result.callback(rtts)
        if self._stream is not None:
            self._stream.end()
            self._told = Told(self._stream, clock) if self._stream is not None else None

    def give_up(self, error: SwarmnodeError) -> None:
        """End it with an error."""
        if self._over:
            return
        self._over = True
        if self._driver is not None:
            self._driver.stop()
        self.result.errback(Failure(error))
        if self._stream is not None:
            self._stream.reset()
        elif self._opening is not None:
            self._opening.cancel()
        self._finished()

    def _finished(self) -> None:
        if self.is_gone:
            self._done()
