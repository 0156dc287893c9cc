"""The streams of a connection: each agrees on its protocol (multistream-select) and is known to the owner by
a handle, to the peer by a yamux number."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from swarmnode.protocols.connection.multistream import Answer, Offer
from swarmnode.protocols.connection.vocabulary import (
    Bytes,
    DataIn,
    Drained,
    StreamEnded,
    StreamLost,
    StreamOpened,
)
from swarmnode.protocols.connection.yamux import Yamux
from swarmnode.protocols.connection.yamux_frames import Arrived, Event, Finished, Gone, Received
from swarmnode.protocols.connection.yamux_sending import MAX_WAITING
from swarmnode.values.errors import LocalFault, PeerFault, Refused, SwarmnodeError, Unavailable

#: How long a stream's protocol may stay open, seconds: the peer's streams, and ours.
INBOUND_NEGOTIATION_SECONDS, OUTBOUND_NEGOTIATION_SECONDS = 10.0, 30.0
#: What the answer to the peer's offer and the end of the stream are at least apart, seconds: js-libp2p (3.3)
#: does not notice an end that comes together with the answer, and waits for it for ever.
LINGER_SECONDS = 0.05


class _Stream:
    """handle: the owner's name. number: yamux'. talk: the negotiation, until it is over. is_open: the owner
    knows the protocol, since agreed_at. held: what is sent when the protocol is agreed on; None once that may
    go at once. ends: the owner sends no more."""

    __slots__ = ("agreed_at", "ends", "handle", "held", "held_size", "inbound", "is_open", "number", "talk")

    def __init__(self, handle: int, number: int, talk: Offer | Answer, inbound: bool) -> None:
        self.handle, self.number, self.inbound = handle, number, inbound
        self.talk: Offer | Answer | None = talk
        self.is_open = False
        self.held: list[Bytes] | None = None
        self.held_size = 0
        self.ends = False
        self.agreed_at = 0.0


class Streams:
    """Over one yamux session. serves: the protocols that the peer may ask for. Effects are appended to the
    list that is given; all errors of a single stream end in its `StreamLost`."""

    __slots__ = ("_by_handle", "_by_number", "_deadlines", "_lingering", "_next", "_serves", "_yamux")

    def __init__(self, yamux: Yamux, serves: Callable[[], Collection[str]]) -> None:
        self._yamux, self._serves = yamux, serves
        self._by_handle: dict[int, _Stream] = {}
        self._by_number: dict[int, _Stream] = {}
        self._next = 1
        # When negotiations have to be over, by handle (ours, the peer's); all of a kind may take as long, so
        # they are in the order of time.
        self._deadlines: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self._lingering: dict[int, float] = {}  # when streams are ended that have to wait for that

    def __len__(self) -> int:
        return len(self._by_handle)

    @property
    def deadline(self) -> float | None:
        """When `expire` wants to be called."""
        all_of_them = (*self._deadlines, self._lingering)
        firsts = [next(iter(deadlines.values())) for deadlines in all_of_them if deadlines]
        return min(firsts) if firsts else None

    def waiting(self, handle: int) -> int:
        """Bytes sent on a stream that the peer has not let go yet."""
        stream = self._by_handle.get(handle)
        return 0 if stream is None else self._yamux.queued(stream.number) + stream.held_size

    # What the owner wants.

    def open(self, handle: int, protocols: tuple[str, ...], now: float, out: list[Any]) -> None:
        """Open a stream for the first of the protocols that the peer speaks."""
        try:
            if not protocols or handle in self._by_handle:
                raise LocalFault(f"Stream {handle} cannot be opened for {protocols}", code="bad_stream")
            number = self._yamux.open(now)
        except SwarmnodeError as error:
            if handle not in self._by_handle:
                out.append(StreamLost(handle, error))
            return
        offer = Offer(protocols, lazy=len(protocols) == 1)
        stream = _Stream(handle, number, offer, inbound=False)
        stream.held = None if len(protocols) == 1 else []
        self._add(stream)
        self._deadlines[0][handle] = now + OUTBOUND_NEGOTIATION_SECONDS
        self._yamux.send(number, offer.begin())

    def send(self, handle: int, data: Bytes, now: float, out: list[Any]) -> None:
        """Bytes for the peer."""
        stream = self._by_handle.get(handle)
        if stream is None or stream.ends:
            return
        try:
            if stream.held is None:
                self._yamux.send(stream.number, data)
            else:
                self._hold(stream, data)
        except SwarmnodeError as error:
            self._give_up(stream, error, now, out)

    def end(self, handle: int, now: float) -> None:
        """No more will be sent."""
        stream = self._by_handle.get(handle)
        if stream is None or stream.ends:
            return
        stream.ends = True
        if stream.talk is not None:
            return  # js-libp2p resets a stream that ends before its protocol is agreed on
        if stream.inbound and now < stream.agreed_at + LINGER_SECONDS:
            self._lingering[handle] = now + LINGER_SECONDS
        else:
            self._yamux.finish(stream.number)

    def reset(self, handle: int, now: float, out: list[Any]) -> None:
        """Give it up."""
        stream = self._by_handle.get(handle)
        if stream is not None:
            error = Refused("The stream was given up by this end", code="stream_given_up")
            self._give_up(stream, error, now, out)

    def consumed(self, handle: int, size: int, now: float) -> None:
        """Received bytes are done with."""
        stream = self._by_handle.get(handle)
        if stream is not None:
            self._yamux.consumed(stream.number, size, now)

    def _hold(self, stream: _Stream, data: Bytes) -> None:
        assert stream.held is not None
        if stream.held_size + len(data) > MAX_WAITING:
            raise LocalFault(f"{stream.held_size} bytes wait for a protocol", code="too_much_waiting")
        stream.held.append(data)
        stream.held_size += len(data)

    # What yamux tells.

    def take(self, events: list[Event], now: float, out: list[Any]) -> None:
        """Arrived, Received, Finished and Gone."""
        for event in events:
            if isinstance(event, Received):
                stream = self._by_number.get(event.stream)
                if stream is None:
                    continue
                if stream.talk is None:
                    out.append(DataIn(stream.handle, event.data))
                else:
                    self._negotiate(stream, event.data, now, out)
            elif isinstance(event, Arrived):
                self._arrived(event.stream, now)
            elif isinstance(event, Finished):
                self._finished(event.stream, now, out)
            elif isinstance(event, Gone):
                self.over(event.stream, event.error, out)

    def over(self, number: int, error: SwarmnodeError | None, out: list[Any]) -> None:
        """The stream is gone from the session."""
        stream = self._by_number.get(number)
        if stream is not None:
            self._lose(stream, error, out)

    def drained(self, number: int, out: list[Any]) -> None:
        """Little waits on the stream again."""
        stream = self._by_number.get(number)
        if stream is not None:
            out.append(Drained(stream.handle))

    def expire(self, now: float, out: list[Any]) -> None:
        """End what has lingered, and give up negotiations that take too long."""
        while self._lingering and (due := next(iter(self._lingering.items())))[1] <= now:
            del self._lingering[due[0]]
            self._yamux.finish(self._by_handle[due[0]].number)
        for deadlines in self._deadlines:
            while deadlines and (first := next(iter(deadlines.items())))[1] <= now:
                error = Unavailable(
                    "No protocol was agreed on for a stream in time", code="negotiation_timeout"
                )
                self._give_up(self._by_handle[first[0]], error, now, out)

    def lose_all(self, error: SwarmnodeError, out: list[Any]) -> None:
        """The connection ends."""
        for stream in list(self._by_handle.values()):
            self._lose(stream, error, out)

    def _arrived(self, number: int, now: float) -> None:
        stream = _Stream(self._next, number, Answer(self._serves), inbound=True)
        self._next += 2
        self._add(stream)
        self._deadlines[1][stream.handle] = now + INBOUND_NEGOTIATION_SECONDS

    def _negotiate(self, stream: _Stream, data: bytes, now: float, out: list[Any]) -> None:
        talk = stream.talk
        assert talk is not None
        try:
            said = talk.feed(data)
        except SwarmnodeError as error:
            self._give_up(stream, error, now, out)
            return
        if said:
            self._yamux.accept(stream.number)
            self._yamux.send(stream.number, said)
        if talk.agreed is None:
            self._yamux.consumed(stream.number, len(data), now)
            return
        self._yamux.consumed(stream.number, max(0, len(data) - len(talk.rest)), now)
        stream.agreed_at = now
        self._agreed(stream, talk.agreed, talk.rest, out)

    def _agreed(self, stream: _Stream, protocol: str, rest: bytes, out: list[Any]) -> None:
        stream.talk, stream.is_open = None, True
        self._deadlines[stream.inbound].pop(stream.handle, None)
        held, stream.held, stream.held_size = stream.held, None, 0
        for data in held or ():
            self._yamux.send(stream.number, data)
        if stream.ends:
            self._yamux.finish(stream.number)
        out.append(StreamOpened(stream.handle, protocol, stream.inbound))
        if rest:
            out.append(DataIn(stream.handle, rest))

    def _finished(self, number: int, now: float, out: list[Any]) -> None:
        stream = self._by_number.get(number)
        if stream is None:
            return
        if stream.talk is None:
            out.append(StreamEnded(stream.handle))
            return
        error = PeerFault("The peer ended a stream before a protocol was agreed on", code="bad_negotiation")
        self._give_up(stream, error, now, out)

    # The table.

    def _add(self, stream: _Stream) -> None:
        self._by_handle[stream.handle] = stream
        self._by_number[stream.number] = stream

    def _give_up(self, stream: _Stream, error: SwarmnodeError, now: float, out: list[Any]) -> None:
        self._yamux.reset(stream.number, now)
        self._lose(stream, error, out)

    def _lose(self, stream: _Stream, error: SwarmnodeError | None, out: list[Any]) -> None:
        del self._by_handle[stream.handle]
        del self._by_number[stream.number]
        self._deadlines[stream.inbound].pop(stream.handle, None)
        self._lingering.pop(stream.handle, None)
        # The owner never heard of an inbound stream whose protocol is not agreed on.
        if stream.is_open or not stream.inbound:
            out.append(StreamLost(stream.handle, error))
