"""The sending half of a yamux session: the table of its streams, their windows, and what goes out in which
order. Streams with data and window take turns, a frame each; frames without data go before.
"""

from __future__ import annotations

from collections import deque

from swarmnode.protocols.connection.vocabulary import Bytes
from swarmnode.protocols.connection.yamux_frames import ACK, PING, RST, SYN, WINDOW_UPDATE, header
from swarmnode.protocols.connection.yamux_stream import LOW_WATER, YamuxStream
from swarmnode.values.errors import LocalFault, Unavailable

#: Streams of one session, both ways.
MAX_STREAMS = 1024
#: Streams opened by one end that the other has not acknowledged (libp2p specs, yamux, "ACK backlog").
MAX_UNACKNOWLEDGED = 256
START_WINDOW = 1 << 20
MAX_WINDOW = 16 << 20
#: All receive windows together, beyond which none is opened wider.
WINDOW_BUDGET = 64 << 20
#: Bytes waiting to be sent over all streams; the stream that would exceed it is reset.
MAX_WAITING = 256 << 20
#: A window grows when half of it was used within four round trips, or this many seconds.
GROWTH_ROUND_TRIPS, GROWTH_SECONDS = 4, 0.04


class Sending:
    """Of the session: unread: bytes received and not consumed; waiting: bytes to be sent; rtt: seconds."""

    __slots__ = (
        "_body",
        "_control",
        "_inbound",
        "_is_left",
        "_next",
        "_over",
        "_ping",
        "_ready",
        "_stale",
        "_streams",
        "_unaccepted",
        "_unacknowledged",
        "_unsent",
        "_windows",
        "rtt",
        "unread",
        "waiting",
    )

    def __init__(self, initiator: bool) -> None:
        self._next = 1 if initiator else 2
        self._streams: dict[int, YamuxStream] = {}
        self._inbound = self._unaccepted = 0  # streams of the peer, and those not acknowledged to it
        self._unacknowledged = 0  # streams of ours that the peer knows of
        self._unsent: deque[YamuxStream] = deque()  # and those beyond the backlog, which it does not
        self._ready: deque[YamuxStream] = deque()
        self._control: list[Bytes] = []
        self._over: list[int] = []
        self._windows = 0
        self._stale = 0  # bytes that may still come for streams that were reset here
        self._body: YamuxStream | None = None  # whose data the reader is in
        self._ping: int | None = None
        self._is_left = False  # the peer takes no more streams
        self.rtt = 0.0
        self.unread = self.waiting = 0

    def open(self, now: float) -> int:
        """Open a stream; its number. Raises `Unavailable`."""
        if self._is_left:
            raise Unavailable("The peer takes no more streams on this connection", code="peer_went_away")
        if len(self._streams) >= MAX_STREAMS:
            raise Unavailable(
                f"The connection has {MAX_STREAMS} streams already",
                code="too_many_streams",
                hint="Streams must be ended when they are done with.",
            )
        stream = YamuxStream(self._next, True, now)
        self._next += 2
        self._streams[stream.id] = stream
        self._windows += stream.window
        if self._unacknowledged < MAX_UNACKNOWLEDGED:
            self._announce(stream)
        else:
            self._unsent.append(stream)
        return stream.id

    def accept(self, number: int) -> None:
        """Acknowledge a stream that the peer opened."""
        stream = self._streams.get(number)
        if stream is not None and not stream.outbound and not stream.acked:
            stream.acked = True
            self._unaccepted -= 1
            self._update_window(stream, ACK, self._starting_room(stream))

    def send(self, number: int, data: Bytes) -> None:
        """Let bytes wait for the peer's window. Raises `LocalFault` when too much waits. The bytes must not
        be changed afterwards."""
        stream = self._streams.get(number)
        size = len(data)
        if stream is None or stream.fin_wanted or not size:
            return
        if self.waiting + size > MAX_WAITING:
            raise LocalFault(
                f"{self.waiting} bytes wait to be sent on the connection (at most {MAX_WAITING})",
                code="too_much_waiting",
                hint="A writer has to wait for `drained`.",
            )
        stream.put(data, size)
        self.waiting += size
        self.accept(number)
        self._schedule(stream)

    def finish(self, number: int) -> None:
        """Send no more on the stream once what waits is sent."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.fin_wanted = True
            self._schedule(stream)

    def reset(self, number: int, now: float) -> None:
        """Give the stream up."""
        stream = self._streams.get(number)
        if stream is None:
            return
        self._stale += stream.receive_window
        if stream.syn_sent:
            self._control.append(header(WINDOW_UPDATE, RST, stream.id, 0))
        self._drop(stream)

    def consumed(self, number: int, size: int, now: float) -> None:
        """Bytes received are done with. Gives the peer window when half of it is used up."""
        stream = self._streams.get(number)
        if stream is None:
            return
        size = min(size, stream.unread)
        stream.unread -= size
        self.unread -= size
        stream.credit += size
        if stream.credit * 2 < stream.window or stream.fin_received:
            return
        room = stream.window if self._is_fast(stream, now) and stream.window < MAX_WINDOW else 0
        if self._windows + room > WINDOW_BUDGET:
            room = 0
        self._update_window(stream, 0, room)
        stream.epoch = now

    def ping(self, value: int) -> None:
        """Ask for a sign of life; `Ponged` is the answer to the latest."""
        self._ping = value
        self._control.append(header(PING, SYN, 0, value))

    def queued(self, number: int) -> int:
        """Bytes waiting on the stream."""
        stream = self._streams.get(number)
        return 0 if stream is None else stream.queued

    @property
    def has_output(self) -> bool:
        """Whether `take` has something to give."""
        return bool(self._control or self._ready)

    def take(self, limit: int) -> tuple[list[Bytes], list[Bytes], list[int], list[int]]:
        """What goes out now: control frames, then frames of data, `limit` bytes or one frame more; streams
        where little waits again; streams that are over now."""
        control, self._control = self._control, []
        data: list[Bytes] = []
        drained: list[int] = []
        ready, size = self._ready, 0
        while ready and size < limit:
            stream = ready.popleft()
            if not stream.can_send:
                stream.is_scheduled = False
                continue
            sent = stream.cut(data)
            self.waiting -= sent
            size += sent
            if stream.was_high and stream.queued <= LOW_WATER:
                stream.was_high = False
                drained.append(stream.id)
            if stream.can_send:
                ready.append(stream)
                continue
            stream.is_scheduled = False
            if stream.fin_sent and stream.fin_received:
                self._drop(stream)
                self._over.append(stream.id)
        over, self._over = self._over, []
        return control, data, drained, over

    def _announce(self, stream: YamuxStream) -> None:
        stream.syn_sent = True
        self._unacknowledged += 1
        self._update_window(stream, SYN, self._starting_room(stream))
        self._schedule(stream)

    def _acknowledged(self, stream: YamuxStream) -> None:
        stream.acked = True
        self._unacknowledged -= 1
        self._open_waiting()

    def _open_waiting(self) -> None:
        while self._unsent and self._unacknowledged < MAX_UNACKNOWLEDGED:
            stream = self._unsent.popleft()
            if stream.id in self._streams:
                self._announce(stream)

    def _starting_room(self, stream: YamuxStream) -> int:
        room = START_WINDOW - stream.window
        # Half of the budget is left to those that turn out to need it.
        return room if self._windows + room <= WINDOW_BUDGET // 2 else 0

    def _update_window(self, stream: YamuxStream, flags: int, room: int) -> None:
        delta = stream.credit + room
        stream.credit = 0
        stream.window += room
        self._windows += room
        stream.receive_window += delta
        self._control.append(header(WINDOW_UPDATE, flags, stream.id, delta))

    def _is_fast(self, stream: YamuxStream, now: float) -> bool:
        return now - stream.epoch <= max(GROWTH_SECONDS, GROWTH_ROUND_TRIPS * self.rtt)

    def _schedule(self, stream: YamuxStream) -> None:
        if not stream.is_scheduled and stream.can_send:
            stream.is_scheduled = True
            self._ready.append(stream)

    def _drop(self, stream: YamuxStream) -> None:
        del self._streams[stream.id]
        self._windows -= stream.window
        self.unread -= stream.unread
        self.waiting -= stream.queued
        stream.queue, stream.queued = None, 0
        stream.fin_sent = True  # whatever still holds it sends nothing
        if self._body is stream:
            self._body = None
        if not stream.outbound:
            self._inbound -= 1
            self._unaccepted -= not stream.acked
        elif stream.syn_sent and not stream.acked:
            self._unacknowledged -= 1
            self._open_waiting()
