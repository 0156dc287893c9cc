"""A connection once its peer is proven: streams over a sealed channel, and a watch on whether the peer lives.

What goes out gathers until `Flush` (the end of a reactor turn), is sealed together and leaves as `BytesOut`,
at most `WRITE_BATCH` at a time, so that a slow pipe holds little and streams take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from swarmnode.protocols.connection.liveness import Finding, Liveness
from swarmnode.protocols.connection.noise import Channel
from swarmnode.protocols.connection.streams import Streams
from swarmnode.protocols.connection.vocabulary import (
    Alive,
    Bytes,
    BytesIn,
    BytesOut,
    Close,
    Closed,
    Consumed,
    EndWrite,
    Flush,
    Lost,
    OpenStream,
    PipeFull,
    Quiet,
    ResetStream,
    Send,
)
from swarmnode.protocols.connection.yamux import Yamux
from swarmnode.protocols.connection.yamux_frames import (
    GO_AWAY,
    INTERNAL_ERROR,
    NORMAL,
    PROTOCOL_ERROR,
    Event,
    Ponged,
    WentAway,
    header,
)
from swarmnode.values.errors import LocalFault, PeerFault, SwarmnodeError, Unavailable

#: What is written at once while the pipe takes it.
WRITE_BATCH = 256 << 10
#: What is written at most when the connection is closed in order.
CLOSE_BATCH = 16 << 20
#: How long streams may go on when the peer has said that it goes away.
LEAVING_SECONDS = 10.0
_MAX_PING = 1 << 32
#: With more data than this, control frames are sealed apart, so that frames of data fill messages exactly.
_LARGE = 32 << 10


class Session:
    """One end. Effects are appended to the list that is given; faults of the peer are raised, and `end` must
    then be called."""

    __slots__ = (
        "_channel",
        "_full",
        "_leaving",
        "_liveness",
        "_more",
        "_pings",
        "_streams",
        "_yamux",
        "is_over",
    )

    def __init__(
        self,
        initiator: bool,
        channel: Channel,
        serves: Callable[[], Collection[str]],
        full: bool,
        now: float,
    ) -> None:
        self._channel = channel
        self._yamux = Yamux(initiator)
        self._streams = Streams(self._yamux, serves)
        self._liveness = Liveness(now, dialled=initiator)
        self._full, self._more = full, False
        self._leaving: float | None = None  # until when a peer that goes away is waited for
        self._pings = 0
        self.is_over = False

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        if self._more and not self._full:
            return 0.0  # as soon as others had their turn
        deadline = self._liveness.deadline
        for other in (self._streams.deadline, self._leaving):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def waiting(self, stream: int) -> int:
        """Bytes sent on a stream that have to wait for the peer's window or for the pipe."""
        return self._streams.waiting(stream)

    def handle(self, event: Any, now: float, out: list[Any]) -> None:
        """Take an event of the vocabulary."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event, now, out)

    def plain(self, chunks: list[bytes], now: float, out: list[Any]) -> None:
        """Take what the peer said, opened."""
        events = self._yamux.receive(chunks, now)
        self._streams.take(events, now, out)
        for event in events:
            if isinstance(event, Ponged | WentAway):
                self._spoke(event, now, out)

    def end(self, error: SwarmnodeError | None, out: list[Any], gathered: int = 0) -> None:
        """Say so to the peer, behind at most so many bytes that have gathered, and end everything."""
        control, data, _, over = self._yamux.take(gathered)
        for number in over:
            self._streams.over(number, None, out)
        data.append(header(GO_AWAY, 0, 0, _code(error)))
        out.append(BytesOut(tuple(_sealed(self._channel, control, data))))
        self._stop(error or Unavailable("The connection was closed", code="connection_closed"), out)
        out.append(Closed(error))

    def tick(self, now: float, out: list[Any]) -> None:
        """The deadline has passed."""
        if self._leaving is not None and now >= self._leaving and not self.is_over:
            self.end(None, out)
        if not self.is_over:
            self._streams.expire(now, out)
            self.look(now, out)
            self._write(out)

    def look(self, now: float, out: list[Any]) -> None:
        """Watch over the peer."""
        if now < self._liveness.deadline:
            return
        finding = self._liveness.look(now)
        if finding is Finding.PING:
            self._pings = (self._pings + 1) % _MAX_PING
            self._yamux.ping(self._pings)
            self._write(out)
        elif finding is Finding.QUIET:
            out.append(Quiet(self._liveness.silence(now)))
        elif finding is Finding.DEAD:
            raise Unavailable(
                f"The peer has said nothing for {self._liveness.silence(now):.1f} seconds",
                code="peer_silent",
                hint="It has stopped, or the network between is cut.",
            )

    # The pipe.

    def _bytes_in(self, event: BytesIn, now: float, out: list[Any]) -> None:
        self._liveness.heard(now)
        self.plain(self._channel.open(event.data), now, out)

    def _spoke(self, event: Event, now: float, out: list[Any]) -> None:
        if isinstance(event, Ponged):
            rtt = self._liveness.answered(now)
            if rtt is not None:
                self._yamux.rtt = rtt
                out.append(Alive(rtt))
        elif isinstance(event, WentAway):
            if event.code == PROTOCOL_ERROR:
                raise Unavailable("The peer says that this node broke the rules", code="peer_protocol_error")
            if event.code != NORMAL:
                raise Unavailable(f"The peer goes away (code {event.code})", code="peer_internal_error")
            self._leaving = now + LEAVING_SECONDS
            self._leave_if_done(out)

    def _leave_if_done(self, out: list[Any]) -> None:
        """A peer that goes away in order is let go when the last stream is over."""
        if self._leaving is not None and not self.is_over and not len(self._streams):
            self.end(None, out)

    def _pipe_full(self, event: PipeFull, now: float, out: list[Any]) -> None:
        self._full = event.full
        self._write(out)

    def _flush(self, event: Flush, now: float, out: list[Any]) -> None:
        self._write(out)

    def _write(self, out: list[Any]) -> None:
        if self._full or self.is_over:
            return
        control, data, drained, over = self._yamux.take(WRITE_BATCH)
        if control or data:
            out.append(BytesOut(tuple(_sealed(self._channel, control, data))))
        for number in drained:
            self._streams.drained(number, out)
        for number in over:
            self._streams.over(number, None, out)
        self._more = self._yamux.has_output
        self._leave_if_done(out)

    def _lost(self, event: Lost, now: float, out: list[Any]) -> None:
        error = Unavailable(f"The connection was lost: {event.reason}", code="connection_lost")
        self._stop(error, out)
        out.append(Closed(error if self._leaving is None else None))

    def _close(self, event: Close, now: float, out: list[Any]) -> None:
        self.end(event.error, out, CLOSE_BATCH)

    def _stop(self, why: SwarmnodeError, out: list[Any]) -> None:
        self.is_over = True
        self._streams.lose_all(why, out)

    # Streams.

    def _open(self, event: OpenStream, now: float, out: list[Any]) -> None:
        self._streams.open(event.stream, event.protocols, now, out)

    def _send(self, event: Send, now: float, out: list[Any]) -> None:
        self._streams.send(event.stream, event.data, now, out)

    def _end_write(self, event: EndWrite, now: float, out: list[Any]) -> None:
        self._streams.end(event.stream, now)

    def _reset(self, event: ResetStream, now: float, out: list[Any]) -> None:
        self._streams.reset(event.stream, now, out)

    def _consumed(self, event: Consumed, now: float, out: list[Any]) -> None:
        self._streams.consumed(event.stream, event.size, now)


def _sealed(channel: Channel, control: list[Bytes], data: list[Bytes]) -> list[bytes]:
    if control and sum(map(len, data)) > _LARGE:
        return channel.seal(control) + channel.seal(data)
    return channel.seal(control + data)


def _code(error: SwarmnodeError | None) -> int:
    if isinstance(error, PeerFault):
        return PROTOCOL_ERROR
    return INTERNAL_ERROR if isinstance(error, LocalFault) else NORMAL


_HANDLERS: dict[type, Callable[[Session, Any, float, list[Any]], None]] = {
    BytesIn: Session._bytes_in,
    PipeFull: Session._pipe_full,
    Flush: Session._flush,
    Close: Session._close,
    Lost: Session._lost,
    OpenStream: Session._open,
    Send: Session._send,
    EndWrite: Session._end_write,
    ResetStream: Session._reset,
    Consumed: Session._consumed,
}
