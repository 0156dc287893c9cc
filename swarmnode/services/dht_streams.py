"""The DHT's streams: one for each request of ours, and those on which others ask.

A stream of ours carries one request. It is ended when the answer is there, not before: some peers take the
end of the request for the end of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import Host, Stream
from swarmnode.protocols.kademlia.messages import MAX_MESSAGE_BYTES
from swarmnode.protocols.kademlia.vocabulary import Asked, Reply, Rpc, RpcFailed
from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.values.errors import LocalFault, PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr

#: Seconds that a peer has to end a stream whose answer is there.
LINGER_SECONDS = 5.0
#: Seconds without a request after which a peer's stream is reset.
IDLE_SECONDS = 60.0
#: Requests on one stream that wait for their answers, and bytes of answers that a peer may leave unread.
MAX_PIPELINED = 16
MAX_UNREAD_BYTES = 4 * MAX_MESSAGE_BYTES
#: How a stream ends that the peer has reset.
RESET = "stream_reset"

Post = Callable[[Any], None]


class OutboundRequest:
    """One request of ours, from connecting to its answer: exactly one `Reply` or `RpcFailed` is posted,
    none after `cancel`."""

    def __init__(
        self, rpc: Rpc, protocol: str, clock: Clock, post: Post, over: Callable[[int], None]
    ) -> None:
        self._rpc, self._protocol, self._clock = rpc, protocol, clock
        self._post, self._over = post, over
        self._frames = Frames(MAX_MESSAGE_BYTES, "A DHT answer")
        self._opening: Any = None
        self._stream: Stream | None = None
        self._done = False
        self._ended = False
        self._linger: DelayedCall | None = None

    def begin(self, host: Host, addresses: Sequence[Multiaddr]) -> None:
        """Connect where needed, open a stream, ask. addresses: where the peer may be."""
        peer, protocols = self._rpc.peer, [self._protocol]
        if peer in host.peers() or not addresses:
            self._opening = host.open(peer, protocols, self)
        else:
            self._opening = host.connect(peer, addresses)
            self._opening.addCallback(lambda _: host.open(peer, protocols, self))
        self._opening.addCallbacks(self._opened, self._not_opened)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._done:
            return
        self._done = True
        if self._stream is not None:
            self._stream.reset()
        elif self._opening is not None:
            self._opening.cancel()

    def received(self, data: bytes) -> None:
        if self._done:
            return
        try:
            messages = self._frames.feed(data)
        except PeerFault as fault:
            self._fail(fault)
            return
        if messages:
            self._succeed(messages[0])

    def ended(self) -> None:
        self._ended = True
        if self._done:
            self._stop_lingering()
        elif self._rpc.answered:
            self._fail(Unavailable("The peer ended the stream without an answer", code="no_answer"))
        else:
            self._succeed(b"")

    def lost(self, error: SwarmnodeError | None) -> None:
        self._ended = True
        self._stop_lingering()
        if self._done:
            return
        if not self._rpc.answered and (error is None or error.code == RESET):
            # js-libp2p takes the request down and then resets the stream, because no other one follows.
            self._succeed(b"")
        else:
            self._fail(error or Unavailable("The stream ended without an answer", code="no_answer"))

    def drained(self) -> None:
        pass

    def _opened(self, stream: Stream) -> None:
        self._stream = stream
        if self._done:
            stream.reset()
            return
        stream.write(framed(self._rpc.data))
        if not self._rpc.answered:
            stream.end()

    def _not_opened(self, failure: Failure) -> None:
        if self._done:
            failure.trap(CancelledError, SwarmnodeError)
            return
        error = failure.value
        if not isinstance(error, SwarmnodeError):
            error = LocalFault(f"Opening a DHT stream failed: {error!r}", code="open_failed")
        self._fail(error)

    def _succeed(self, data: bytes) -> None:
        self._done = True
        self._over(self._rpc.rpc)
        stream = self._stream
        remote = stream.link.remote if stream is not None else None
        if stream is not None and self._rpc.answered:
            stream.end()
        if stream is not None and not self._ended:
            self._linger = self._clock.callLater(LINGER_SECONDS, stream.reset)
        self._post(Reply(self._rpc.rpc, data, remote))

    def _fail(self, error: SwarmnodeError) -> None:
        self._done = True
        self._over(self._rpc.rpc)
        if self._stream is not None:
            self._stream.reset()
        self._post(RpcFailed(self._rpc.rpc, error))

    def _stop_lingering(self) -> None:
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self._linger = None


class InboundRequests:
    """One stream on which a peer asks, several times if it likes."""

    def __init__(
        self,
        stream: Stream,
        clock: Clock,
        ask: Callable[[InboundRequests, Asked], None],
        fault: Callable[[str, PeerFault], None],
        over: Callable[[InboundRequests], None],
        number: Callable[[], int],
    ) -> None:
        self.stream = stream
        self._clock, self._ask, self._fault, self._over, self._number = clock, ask, fault, over, number
        self._frames = Frames(MAX_MESSAGE_BYTES, "A DHT request")
        self._waiting = 0
        self._ended = False
        self._lost = False
        self._idle = clock.callLater(IDLE_SECONDS, stream.reset)

    def received(self, data: bytes) -> None:
        if self._lost:
            return
        try:
            messages = self._frames.feed(data)
        except PeerFault as fault:
            self._fault(self.stream.peer, fault)
            self.stream.reset()
            return
        if messages:
            self._restart_idle()
        for message in messages:
            if self._lost:
                return
            if self._waiting >= MAX_PIPELINED or self.stream.waiting > MAX_UNREAD_BYTES:
                self.stream.reset()
                return
            self._waiting += 1
            self._ask(self, Asked(self._number(), self.stream.peer, message, self.stream.link.remote))

    def answer(self, data: bytes | None) -> None:
        """The answer to the oldest request that waits for one."""
        self._waiting -= 1
        if self._lost:
            return
        if data is not None:
            self.stream.write(framed(data))
        self._end_if_done()

    def reject(self) -> None:
        """There is no answer: give the stream up (kad-dht: "on any error, the stream is reset")."""
        self._waiting -= 1
        if not self._lost:
            self.stream.reset()

    def ended(self) -> None:
        self._ended = True
        self._end_if_done()

    def lost(self, error: SwarmnodeError | None) -> None:
        self._lost = True
        if self._idle.active():
            self._idle.cancel()
        self._over(self)

    def drained(self) -> None:
        pass

    def _end_if_done(self) -> None:
        if self._ended and not self._waiting:
            self.stream.end()

    def _restart_idle(self) -> None:
        if self._idle.active():
            self._idle.cancel()
        self._idle = self._clock.callLater(IDLE_SECONDS, self.stream.reset)
