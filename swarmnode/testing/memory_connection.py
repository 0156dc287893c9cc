"""A connection in memory: streams, back-pressure, keep-alive and loss, without sockets or encryption."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import ConnectionOwner, Stream, StreamReceiver
from swarmnode.testing.memory_pipe import Pipe
from swarmnode.testing.memory_stream import FRAME_BYTES, MemoryStream
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.network import LinkInfo

#: As connections over TCP do: a ping after so much silence; quiet after so much more; gone after so much.
PING_SECONDS, QUIET_SECONDS, SILENT_SECONDS = 3.0, 1.5, 10.0
REPEAT_SECONDS = 1.0
#: The shortest wait for the next look.
LEAST_SECONDS = 0.001


class MemoryConnection:
    """One end (`interfaces.host.Connection`). Its first segment calls `arrived`, if there is one; the others
    wait until it is attended."""

    def __init__(self, clock: Clock, info: LinkInfo, *, first_stream: int) -> None:
        self.clock, self.info = clock, info
        self.pipe: Pipe | None = None
        self.arrived: Callable[[], None] | None = None
        self._owner: ConnectionOwner | None = None
        self._held: deque[tuple[str, int, Any]] = deque()
        self._streams: dict[int, MemoryStream] = {}
        self._next = first_stream
        self.over = self._told = False
        self._error: SwarmnodeError | None = None
        self._heard = clock.seconds()
        self._pinged: float | None = None
        self._timer: DelayedCall | None = None
        self._handlers: dict[str, Callable[[int, Any], None]] = {
            "open": self._on_open,
            "agreed": self._on_agreed,
            "refused": self._on_refused,
            "ping": lambda number, sent: self.send("pong", 0, sent, FRAME_BYTES),
            "pong": self._on_pong,
            "close": lambda number, _: self._finish(None),
            "abort": lambda number, _: self._finish(_broken()),
        }

    # What the host does.

    def attend(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        if self.over:
            self.soon(self._tell_end)
            return
        self._ping()
        self._arm(PING_SECONDS)
        while self._held and not self.over:
            self._handle(*self._held.popleft())

    def open(self, protocols: Sequence[str], receiver: StreamReceiver, opened: Callable[[], None]) -> Stream:
        number, self._next = self._next, self._next + 2
        stream = MemoryStream(self, number, protocols[0], receiver, opened)
        if self.over:
            stream.lost_in(_broken())
        else:
            self._streams[number] = stream
            self.send("open", number, tuple(protocols), FRAME_BYTES + sum(map(len, protocols)))
        return stream

    def close(self, error: SwarmnodeError | None) -> None:
        if not self.over:
            self.send("close", 0, None, FRAME_BYTES)
            self._finish(error)

    def abort(self) -> None:
        if not self.over:
            self.send("abort", 0, None, FRAME_BYTES)
            self._finish(Unavailable("This side dropped the connection", code="connection_aborted"))

    def vanish(self, *, silently: bool) -> None:
        """This end is no more, and tells nobody here. The other end hears of it, as a system says when a
        process is killed, unless the whole machine went silently."""
        if not silently:
            self.send("abort", 0, None, FRAME_BYTES)
        self.over, self._owner = True, None
        self._streams.clear()
        self._stop_timer()
        if silently and self.pipe is not None:
            self.pipe.stop()

    # What streams need.

    def send(self, kind: str, number: int, value: Any, size: int) -> None:
        if self.pipe is not None and not self.over:
            self.pipe.send((kind, number, value), size)

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)

    def soon(self, function: Callable[..., None], *arguments: Any) -> None:
        self.clock.callLater(0, function, *arguments)

    # What comes from the other end.

    def deliver(self, segment: tuple[str, int, Any]) -> None:
        """A segment arrived."""
        if self.over:
            return
        self._heard = self.clock.seconds()
        arrived, self.arrived = self.arrived, None
        if arrived is not None:
            arrived()
        elif self._owner is None or self._held:
            self._held.append(segment)
        else:
            self._handle(*segment)

    def _handle(self, kind: str, number: int, value: Any) -> None:
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(number, value)
            return
        stream = self._streams.get(number)
        if stream is None:
            return
        if kind == "data":
            stream.data_in(value)
        elif kind == "end":
            stream.ended_in()
        elif kind == "consumed":
            stream.credit_in(value)
        elif kind == "reset":
            stream.lost_in(Unavailable("The peer gave up the stream", code="stream_reset"))

    def _on_open(self, number: int, protocols: tuple[str, ...]) -> None:
        owner = self._owner
        if owner is None:
            return
        served = owner.serves()
        protocol = next((each for each in protocols if each in served), None)
        if protocol is None:
            self.send("refused", number, protocols, FRAME_BYTES)
            return
        stream = self._streams[number] = MemoryStream(self, number, protocol)
        self.send("agreed", number, protocol, FRAME_BYTES + len(protocol))
        try:
            stream.receiver = owner.stream_opened(self, stream)
        except Exception:
            stream.reset()

    def _on_agreed(self, number: int, protocol: str) -> None:
        stream = self._streams.get(number)
        if stream is not None and stream.opened is not None:
            stream.protocol = protocol
            stream.opened()

    def _on_refused(self, number: int, protocols: tuple[str, ...]) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            names = ", ".join(protocols)
            stream.lost_in(Refused(f"The peer does not speak {names}", code="protocol_unsupported"))

    # Life and death.

    def _ping(self) -> None:
        self._pinged = self.clock.seconds()
        self.send("ping", 0, self._pinged, FRAME_BYTES)

    def _on_pong(self, number: int, sent: float) -> None:
        self._pinged = None
        if self._owner is not None:
            self._owner.alive(self, self.clock.seconds() - sent)

    def _check(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        silence = now - self._heard
        if silence >= SILENT_SECONDS:
            seconds = f"{SILENT_SECONDS:.0f} s"
            self._finish(Unavailable(f"The peer said nothing for {seconds}", code="peer_silent"))
            return
        if silence < PING_SECONDS:
            self._pinged = None
            self._arm(PING_SECONDS - silence)
            return
        if self._pinged is None:
            self._ping()
            self._arm(QUIET_SECONDS)
            return
        if silence >= PING_SECONDS + QUIET_SECONDS and self._owner is not None:
            self._owner.quiet(self, silence)
        self._arm(REPEAT_SECONDS)

    def _arm(self, seconds: float) -> None:
        if not self.over:
            # A wait that rounds to nothing would be over and begin again for ever.
            self._timer = self.clock.callLater(max(LEAST_SECONDS, seconds), self._check)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _finish(self, error: SwarmnodeError | None) -> None:
        if self.over:
            return
        self.over, self._error = True, error
        self._stop_timer()
        self._held.clear()
        for stream in tuple(self._streams.values()):
            stream.lost_in(error or _broken())
        self.soon(self._tell_end)

    def _tell_end(self) -> None:
        if self._owner is not None and not self._told:
            self._told = True
            self._owner.closed(self, self._error)


def _broken() -> Unavailable:
    return Unavailable("The connection is over", code="connection_lost")
