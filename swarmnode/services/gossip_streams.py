"""The two one-way streams of gossipsub to one peer, and what waits to be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import HIGH_WATER, Host, Stream
from swarmnode.protocols.gossipsub.parameters import MAX_RPC_BYTES, PROTOCOLS
from swarmnode.protocols.gossipsub.queue import RpcQueue
from swarmnode.protocols.gossipsub.vocabulary import Urgency
from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.network import LinkInfo

#: Seconds between two attempts to open a stream to a peer that refuses.
RETRY_SECONDS = 60.0
#: Seconds until the next attempt after a stream that worked was lost, or when the peer opens one itself;
#: twice as long each time that the next does not last.
SOON_SECONDS = 1.0
#: Seconds after which a stream counts as one that worked.
STEADY_SECONDS = 10.0


class Speaking:
    """Our stream to one peer, opened again when it is lost.

    opened: called with the link each time the stream is there. Nothing is read from it.
    """

    def __init__(self, host: Host, peer: str, clock: Clock, opened: Callable[[LinkInfo], None]) -> None:
        self._host, self._peer, self._clock, self._opened = host, peer, clock, opened
        self.queue = RpcQueue()
        self._stream: Stream | None = None
        self._receiver: _Outbound | None = None
        self._opening: Any = None
        self._again: DelayedCall | None = None
        self._since = float("-inf")
        self._pause = SOON_SECONDS
        self._over = False

    @property
    def open(self) -> bool:
        """Whether the stream is there."""
        return self._stream is not None

    def begin(self) -> None:
        """Open it now."""
        if self._over or self._stream is not None or self._opening is not None:
            return
        self._cancel_retry()
        self._since = self._clock.seconds()
        receiver = _Outbound(self)
        # Set before the call: the Deferred may have fired already.
        self._opening = receiver
        deferred = self._host.open(self._peer, PROTOCOLS, receiver)
        if self._opening is receiver:
            self._opening = deferred
        deferred.addCallbacks(lambda stream: self._agreed(stream, receiver), lambda _: self._refused())

    def hurry(self) -> None:
        """The peer speaks gossipsub after all: do not wait out the whole pause."""
        if self._again is not None:
            self._retry(max(0.0, self._since + SOON_SECONDS - self._clock.seconds()))

    def send(self, data: bytes, urgency: Urgency) -> None:
        """One RPC, now or when the peer lets it go."""
        if not self.queue.put(data, urgency):
            self._give_up()
        self.pump()

    def pump(self) -> None:
        """Write what the stream takes."""
        while self._stream is not None and self._stream.waiting < HIGH_WATER:
            data = self.queue.pop()
            if data is None:
                return
            self._stream.write(framed(data))

    def close(self) -> None:
        """For good."""
        self._over = True
        self._cancel_retry()
        self.queue.clear()
        opening, self._opening = self._opening, None
        if opening is not None and not isinstance(opening, _Outbound):
            opening.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            # What was written last, as that this node goes, is still to arrive.
            stream.end()

    def lost(self, receiver: _Outbound) -> None:
        """The stream is over."""
        if self._stream is None or receiver is not self._receiver:
            return
        self._stream = None
        steady = self._clock.seconds() - self._since >= STEADY_SECONDS
        self._pause = SOON_SECONDS if steady else min(2 * self._pause, RETRY_SECONDS)
        self._retry(self._pause)

    def _agreed(self, stream: Stream, receiver: _Outbound) -> None:
        self._opening = None
        if self._over or receiver.over:
            stream.reset()
            if not self._over:
                self._retry(RETRY_SECONDS)
            return
        self._stream, self._receiver = stream, receiver
        self._opened(stream.link)
        self.pump()

    def _refused(self) -> None:
        self._opening = None
        self._retry(RETRY_SECONDS)

    def _give_up(self) -> None:
        """The peer takes nothing: begin anew, with a clean slate."""
        self.queue.clear()
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.reset()
            self._retry(RETRY_SECONDS)

    def _retry(self, delay: float) -> None:
        self._cancel_retry()
        if not self._over:
            self._again = self._clock.callLater(delay, self._retry_now)

    def _retry_now(self) -> None:
        self._again = None
        self.begin()

    def _cancel_retry(self) -> None:
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = None


class _Outbound:
    """Receives on our own stream, where nothing is due."""

    def __init__(self, speaking: Speaking) -> None:
        self._speaking = speaking
        self.over = False

    def received(self, data: bytes) -> None:
        """Nobody should write here; whoever does gains nothing."""

    def ended(self) -> None:
        """As it should be: the stream is one-way."""

    def lost(self, error: SwarmnodeError | None) -> None:
        self.over = True
        self._speaking.lost(self)

    def drained(self) -> None:
        self._speaking.pump()


class Listening:
    """A stream that the peer opened. rpc: called with each RPC; fault: once, when the peer broke the framing;
    over: when the stream is."""

    def __init__(
        self,
        stream: Stream,
        rpc: Callable[[bytes], None],
        fault: Callable[[PeerFault], None],
        over: Callable[[Listening], None],
    ) -> None:
        self._stream, self._rpc, self._fault, self._over = stream, rpc, fault, over
        self._frames: Frames | None = Frames(MAX_RPC_BYTES, "A gossip stream")

    def received(self, data: bytes) -> None:
        if self._frames is None:
            return
        try:
            messages = self._frames.feed(data)
        except PeerFault as error:
            self._frames = None
            self._fault(error)
            return
        for message in messages:
            if self._frames is not None:
                self._rpc(message)

    def ended(self) -> None:
        self._stream.end()

    def lost(self, error: SwarmnodeError | None) -> None:
        self._frames = None
        self._over(self)

    def drained(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """Listen no more."""
        self._frames = None
        self._stream.reset()
