"""Greeting each peer that connects, and keeping what it said while it stays.

Whoever dialled says hello; the other one does too when nothing is heard for a while, so that one lost
greeting leaves nobody a stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from structlog import get_logger
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.protocols.swarm.hello import MAX_HELLO_BYTES, NAME, Hello, decode_hello, encode_hello, skew
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.protocols.wire.framing import Frames
from swarmnode.services.read_one_message import OneMessage, ask
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.network import LinkInfo

log = get_logger("hello")

#: Seconds after which the side that was dialled asks by itself, and after which a failure is tried again.
PATIENCE = 5.0
RETRY = 30.0
#: Seconds between two greetings that are heard of one peer.
MIN_INTERVAL = 1.0
#: Tries at one peer, while it stays connected.
MAX_TRIES = 5
#: Peers that facts are kept of: those connected, and never more.
MAX_PEERS = 1024
#: A clock that is further off than this many seconds is told of in the log: signed messages will be refused.
SKEW_WORTH_TELLING = 15.0


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """What a connected peer said of itself. skew: seconds its clock is ahead of ours; skew_error: how far off
    that may be. since: monotonic seconds of the greeting."""

    peer: str
    hello: Hello
    skew: float
    skew_error: float
    since: float


#: Told when a peer has said hello, or is gone: its id and facts, or None.
HelloListener = Callable[[str, PeerFacts | None], None]


class SayHello:
    """ours: makes our greeting as it is now, of its `stamp_ms`. stamp: Unix seconds. penalise: told when a
    peer broke the rules."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        stamp: Callable[[], float],
        ours: Callable[[int], Hello],
        network: str = "",
        *,
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
    ) -> None:
        self._host, self._clock, self._stamp, self._ours = host, clock, stamp, ours
        self._protocol = protocol_id(NAME, network)
        self._penalise = penalise
        self._facts: dict[str, PeerFacts] = {}
        self._timers: dict[str, DelayedCall] = {}
        self._tries: dict[str, int] = {}
        self._listeners: list[HelloListener] = []
        self._started = False

    def start(self) -> None:
        """Greet from now on."""
        self._started = True
        self._host.serve(self._protocol, self._answer)
        self._host.watch(self)
        for peer in self._host.peers():
            self._ask(peer)

    def stop(self) -> None:
        """Greet nobody more."""
        self._started = False
        self._host.unserve(self._protocol)
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def facts(self, peer: str) -> PeerFacts | None:
        """What a connected peer said; None while it has said nothing."""
        return self._facts.get(peer)

    def features(self, peer: str) -> frozenset[str] | None:
        """What a peer has said it can; None while it has said nothing."""
        facts = self._facts.get(peer)
        return None if facts is None else facts.hello.features

    def all_facts(self) -> Iterable[PeerFacts]:
        """Of all connected peers that have said hello."""
        return tuple(self._facts.values())

    def skew(self) -> float | None:
        """By how much our clock seems to be behind those of others, seconds: the median, so that one wrong
        clock does not count. None while nobody has said hello."""
        known = sorted(facts.skew for facts in self._facts.values())
        return known[len(known) // 2] if known else None

    def ask_again(self, peer: str) -> None:
        """What it said may have changed, as a change of its claim in the swarm tells."""
        facts = self._facts.get(peer)
        if facts is not None and self._clock.seconds() - facts.since >= MIN_INTERVAL:
            self._ask(peer)

    def watch(self, listener: HelloListener) -> None:
        """Tell this one of greetings, and of peers that go."""
        self._listeners.append(listener)

    # As `HostWatcher`.

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        """Greet, or wait to be greeted."""
        if not self._started:
            return
        if link.inbound:
            self._later(peer, PATIENCE)
        else:
            self._ask(peer)

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """Forget what it said."""
        self._settle(peer)
        self._tries.pop(peer, None)
        if self._facts.pop(peer, None) is not None:
            self._tell(peer, None)

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Not our concern."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Not our concern."""

    def _ask(self, peer: str) -> None:
        self._tries[peer] = self._tries.get(peer, 0) + 1
        sent = self._clock.seconds()
        reading = ask(self._host, self._clock, peer, (self._protocol,), HelloReader(), self._greeting())
        reading.addCallbacks(
            lambda hello: self._heard(peer, hello, self._clock.seconds() - sent),
            lambda failure: self._failed(peer, failure),
        )

    def _answer(self, stream: Stream) -> StreamReceiver:
        facts = self._facts.get(stream.peer)
        if facts is not None and self._clock.seconds() - facts.since < MIN_INTERVAL:
            raise Unavailable("A peer says hello again and again", code="too_many_requests")
        reading = OneMessage(HelloReader(), self._clock, self._protocol)
        reading.read_from(stream, keep_open=True)
        reading.result.addCallbacks(
            lambda hello: self._greeted(stream, hello),
            lambda failure: self._failed(stream.peer, failure),
        )
        return reading

    def _greeted(self, stream: Stream, hello: Hello) -> None:
        stream.write(self._greeting())
        stream.end()
        # Its words took half a round trip, or a little more where the stream was opened with them.
        self._heard(stream.peer, hello, self._host.rtt(stream.peer) or 0.0)

    def _heard(self, peer: str, hello: Hello, rtt: float) -> None:
        known = self._facts.get(peer)
        if not self._started or peer not in self._host.peers():
            return
        if known is None and len(self._facts) >= MAX_PEERS:
            log.warning("too many peers to keep what they say", peer=peer, limit=MAX_PEERS)
            return
        self._settle(peer)
        ahead = skew(hello.stamp_ms, 0.0, rtt, self._stamp())
        self._facts[peer] = PeerFacts(peer, hello, ahead, rtt / 2, self._clock.seconds())
        if abs(ahead) > SKEW_WORTH_TELLING:
            log.warning("the clocks of two nodes differ", peer=peer, seconds=round(ahead, 1))
        self._tell(peer, self._facts[peer])

    def _failed(self, peer: str, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, SwarmnodeError):
            log.error("a greeting failed", peer=peer, error=failure.getErrorMessage())
            return
        log.debug("a greeting failed", peer=peer, code=error.code, reason=error.message)
        if isinstance(error, PeerFault):
            self._penalise(peer, error)
        elif self._tries.get(peer, 0) < MAX_TRIES and peer not in self._facts:
            self._later(peer, RETRY)

    def _later(self, peer: str, seconds: float) -> None:
        if self._started and peer in self._host.peers():
            self._settle(peer)
            self._timers[peer] = self._clock.callLater(seconds, self._again, peer)

    def _again(self, peer: str) -> None:
        self._timers.pop(peer, None)
        if peer not in self._facts:
            self._ask(peer)

    def _settle(self, peer: str) -> None:
        timer = self._timers.pop(peer, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _greeting(self) -> bytes:
        return encode_hello(self._ours(int(self._stamp() * 1000)))

    def _tell(self, peer: str, facts: PeerFacts | None) -> None:
        for listener in self._listeners:
            try:
                listener(peer, facts)
            except Exception as error:
                log.error("a listener to greetings failed", exc_info=error)


class HelloReader:
    """Reads one greeting."""

    def __init__(self) -> None:
        self._frames = Frames(MAX_HELLO_BYTES, "A hello")
        self._message: bytes | None = None

    def feed(self, data: bytes) -> bool:
        """Take bytes; whether the greeting is complete. Raises `PeerFault`."""
        for message in self._frames.feed(data):
            if self._message is not None:
                raise PeerFault("A peer says hello twice on one stream", code="bad_message")
            self._message = message
        return self._message is not None

    def finish(self) -> Any:
        """The `Hello`. Raises `PeerFault` when there is none, or it is of another version."""
        if self._message is None:
            raise PeerFault("A hello ended before it was complete", code="bad_message")
        return decode_hello(self._message)
