"""A yamux session: many streams over one pipe (hashicorp/yamux spec.md; libp2p specs, yamux).

Receive windows begin at the 256 KiB of the specification, are opened to `START_WINDOW` with the first frame
of either end, and double for streams that use theirs up quickly, up to `MAX_WINDOW`, as long as all windows
of the session together stay within `WINDOW_BUDGET`. What was announced is what is enforced: a peer that sends
more than its window is cut off.
"""

from __future__ import annotations

from swarmnode.protocols.connection.allowance import Allowance
from swarmnode.protocols.connection.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Arrived,
    Event,
    Finished,
    FrameReader,
    Gone,
    Header,
    Ponged,
    Received,
    WentAway,
    header,
)
from swarmnode.protocols.connection.yamux_sending import MAX_UNACKNOWLEDGED, Sending
from swarmnode.protocols.connection.yamux_stream import INITIAL_WINDOW, YamuxStream
from swarmnode.values.errors import PeerFault, Refused, Unavailable

#: Streams that the peer may have open.
MAX_INBOUND_STREAMS = 512
#: Bytes received and not consumed over all streams; the stream that would exceed it is reset.
MAX_UNREAD = 64 << 20
#: No window is ever this large: the peer's sum of updates is wrong.
MAX_SEND_WINDOW = 1 << 32
#: Frames other than data that may wait for a peer that does not read.
MAX_CONTROL_FRAMES = 4096
MAX_GO_AWAYS = 4
#: An update smaller than `SMALL_UPDATE` to a window larger than `WIDE_WINDOW` is of no use to anybody.
SMALL_UPDATE, WIDE_WINDOW = 1024, 1 << 20
#: At once, and a second. Pings: implementations send one in some seconds.
PING_ALLOWANCE = (100, 10)
#: Streams that the peer resets, or opens beyond what is allowed ("rapid reset").
CHURN_ALLOWANCE = (1000, 100)
#: Frames that change nothing, those for streams that are over included.
USELESS_ALLOWANCE = (2000, 500)


class Yamux(Sending):
    """One end. Frames come in by `receive`, and go out by `take`. initiator: this end dialled."""

    __slots__ = (
        "_body_fin",
        "_body_left",
        "_churn",
        "_go_aways",
        "_highest",
        "_pings",
        "_reader",
        "_useless",
    )

    def __init__(self, initiator: bool) -> None:
        super().__init__(initiator)
        self._highest = 0  # of the peer's streams
        self._reader = FrameReader()
        self._body_left, self._body_fin = 0, False
        self._go_aways = 0
        self._pings = Allowance(*PING_ALLOWANCE, "pings", "ping_flood")
        self._churn = Allowance(*CHURN_ALLOWANCE, "streams that are reset or refused", "reset_flood")
        self._useless = Allowance(*USELESS_ALLOWANCE, "frames that say nothing", "empty_frame_flood")

    def receive(self, chunks: list[bytes], now: float) -> list[Event]:
        """Take plaintext. Raises `PeerFault` when the peer breaks the rules: the end of the session."""
        events: list[Event] = []
        for chunk in chunks:
            for item in self._reader.cut(chunk):
                if isinstance(item, bytes):
                    self._data(item, events)
                else:
                    self._frame(item, now, events)
        if len(self._control) > MAX_CONTROL_FRAMES:
            raise _fault("it does not read the answers to what it sends", "peer_not_reading")
        return events

    def _data(self, piece: bytes, events: list[Event]) -> None:
        stream = self._body
        self._body_left -= len(piece)
        if stream is None:
            return
        stream.unread += len(piece)
        self.unread += len(piece)
        events.append(Received(stream.id, piece))
        if self._body_fin and not self._body_left:
            self._finished(stream, events)

    def _frame(self, head: Header, now: float, events: list[Event]) -> None:
        version, kind, flags, number, length = head
        if version or kind > GO_AWAY or (kind <= WINDOW_UPDATE) != bool(number):
            raise _fault(f"a frame of version {version}, type {kind}, stream {number}", "bad_frame")
        if kind == PING:
            self._pinged(flags, length, now, events)
        elif kind == GO_AWAY:
            self._went_away(length, events)
        else:
            self._stream_frame(kind, flags, number, length, now, events)

    def _pinged(self, flags: int, value: int, now: float, events: list[Event]) -> None:
        if flags & SYN:
            self._pings.spend(now)
            self._control.append(header(PING, ACK, 0, value))
        elif value == self._ping:
            self._ping = None
            events.append(Ponged())
        else:
            self._useless.spend(now)

    def _went_away(self, code: int, events: list[Event]) -> None:
        self._go_aways += 1
        if self._go_aways > MAX_GO_AWAYS:
            raise _fault(f"it says more than {MAX_GO_AWAYS} times that it goes away", "go_away_storm")
        self._is_left = True
        if self._go_aways == 1:
            events.append(WentAway(code))

    def _stream_frame(
        self, kind: int, flags: int, number: int, length: int, now: float, events: list[Event]
    ) -> None:
        stream = self._streams.get(number)
        if flags & SYN:
            stream = self._arrived(number, now, events)
        elif stream is None:
            self._check_known(number)
        if kind == DATA:
            self._body, self._body_left, self._body_fin = None, length, False
        if stream is None:
            self._frame_for_nobody(kind, length, now)
            return
        if flags & ACK and stream.outbound and not stream.acked:
            self._acknowledged(stream)
        if kind == WINDOW_UPDATE:
            self._widen(stream, flags, length, now)
        elif length:
            self._expect(stream, length, now, events)
        elif not flags:
            self._useless.spend(now)
        if flags & RST:
            self._reset_by_peer(stream, now, events)
        elif flags & FIN and stream.id in self._streams:
            if kind == DATA and length:
                self._body_fin = True
            else:
                self._finished(stream, events)

    def _arrived(self, number: int, now: float, events: list[Event]) -> YamuxStream | None:
        if number % 2 == self._next % 2:
            raise _fault(f"it opens stream {number}, a number of this end", "bad_stream_id")
        if number in self._streams:
            raise _fault(f"it opens stream {number} a second time", "bad_stream_id")
        self._highest = max(self._highest, number)
        if self._inbound >= MAX_INBOUND_STREAMS or self._unaccepted >= MAX_UNACKNOWLEDGED:
            self._churn.spend(now)
            self._control.append(header(WINDOW_UPDATE, RST, number, 0))
            self._stale += INITIAL_WINDOW
            return None
        stream = self._streams[number] = YamuxStream(number, False, now)
        self._windows += stream.window
        self._inbound += 1
        self._unaccepted += 1
        events.append(Arrived(number))
        return stream

    def _check_known(self, number: int) -> None:
        ours = number % 2 == self._next % 2
        if number >= self._next if ours else number > self._highest:
            raise _fault(f"a frame for stream {number}, which nobody opened", "bad_stream_id")

    def _frame_for_nobody(self, kind: int, length: int, now: float) -> None:
        """Late frames for a stream that was reset here are in order, as far as its window went."""
        if kind == DATA and length:
            self._stale -= length
            if self._stale < 0:
                raise _fault("data for streams that are over", "data_on_closed_stream")
        else:
            self._useless.spend(now)

    def _widen(self, stream: YamuxStream, flags: int, delta: int, now: float) -> None:
        is_small = not delta or (delta < SMALL_UPDATE and stream.send_window > WIDE_WINDOW)
        if is_small and not flags:
            self._useless.spend(now)
        stream.send_window += delta
        if stream.send_window > MAX_SEND_WINDOW:
            raise _fault(f"a window of {stream.send_window} bytes", "bad_window")
        self._schedule(stream)

    def _expect(self, stream: YamuxStream, length: int, now: float, events: list[Event]) -> None:
        if stream.fin_received:
            raise _fault("data after the end of a stream", "data_after_fin")
        if length > stream.receive_window:
            raise _fault(f"{length} bytes for a window of {stream.receive_window}", "window_overrun")
        stream.receive_window -= length
        if self.unread + length <= MAX_UNREAD:
            self._body = stream
            return
        self.reset(stream.id, now)
        error = Unavailable(
            f"{self.unread} bytes of the connection's streams are not read yet (at most {MAX_UNREAD})",
            code="too_much_unread",
            hint="Readers are slower than the peer; the stream can be opened again.",
        )
        events.append(Gone(stream.id, error))

    def _finished(self, stream: YamuxStream, events: list[Event]) -> None:
        if stream.fin_received:
            return
        stream.fin_received = True
        events.append(Finished(stream.id))
        if stream.fin_sent:
            self._drop(stream)
            events.append(Gone(stream.id, None))

    def _reset_by_peer(self, stream: YamuxStream, now: float, events: list[Event]) -> None:
        self._churn.spend(now)
        if stream.id in self._streams:
            self._drop(stream)
            error = Refused("The peer reset the stream", code="stream_reset")
            events.append(Gone(stream.id, error))


def _fault(what: str, code: str) -> PeerFault:
    return PeerFault(
        f"The peer breaks the rules of yamux: {what}", code=code, hint="It is broken or means harm."
    )
