"""Telling peers who we are and asking who they are (libp2p specs, identify and identify/push).

Each newly connected peer is asked once. When what we would answer changes, those that listen to pushes are
told, a second later, so that a start with many changes makes one push.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.policy.observed import MAX_VOTERS, SeenAs, Sighting, seen_as
from swarmnode.protocols.identify.messages import (
    MAX_ADDRESSES,
    PROTOCOL,
    PUSH_PROTOCOL,
    Identification,
    IdentificationReader,
    check_public_key,
    encode_identification,
)
from swarmnode.protocols.identify.peer_record import open_record, seal_record
from swarmnode.protocols.identity.handover import Signer
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.services.read_one_message import OneMessage, Told, ask
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo
from swarmnode.values.peer_id import encode_public_key

PROTOCOL_VERSION = "swarmnode/1"
#: Changes within this many seconds are pushed together.
PUSH_DELAY = 1.0
#: How often to look whether our addresses have changed: the system does not say so by itself.
LOOK_SECONDS = 10.0
#: Pushes that a peer may send in so many seconds.
MAX_PUSHES, PUSH_WINDOW = 10, 60.0


class IdentifyPeers:
    """signer: our key. stamp: Unix seconds, for the sequence of our records. version: of the software.
    penalise(peer, error): told of every `PeerFault`."""

    def __init__(
        self,
        host: Host,
        book: PeerBook,
        clock: Clock,
        signer: Signer,
        stamp: Callable[[], float],
        version: str,
        penalise: Callable[[str, SwarmnodeError], None],
    ) -> None:
        self._host, self._book, self._clock = host, book, clock
        self._signer, self._stamp = signer, stamp
        self._agent = f"swarmnode/{version}"
        self._penalise = penalise
        self._public_key = encode_public_key(signer.public_key)
        self._told: tuple[tuple[Multiaddr, ...], tuple[str, ...]] | None = None
        self._record, self._sequence = b"", 0
        self._recorded: tuple[Multiaddr, ...] = ()
        self._sightings: dict[str, Sighting] = {}
        self._pushes: dict[str, tuple[float, int]] = {}
        self._look: DelayedCall | None = None
        self._push: DelayedCall | None = None
        self._started = False

    def start(self) -> None:
        """Answer and ask from now on."""
        self._started = True
        self._host.serve(PROTOCOL, self._answer)
        self._host.serve(PUSH_PROTOCOL, self._pushed_to)
        self._host.watch(self)
        for peer in self._host.peers():
            self._ask(peer)
        self._told = self._state()
        self._look = self._clock.callLater(LOOK_SECONDS, self._look_again)

    def stop(self) -> None:
        """Neither answer nor ask any more."""
        self._started = False
        self._host.unserve(PROTOCOL)
        self._host.unserve(PUSH_PROTOCOL)
        for timer in (self._look, self._push):
            if timer is not None and timer.active():
                timer.cancel()

    def changed(self) -> None:
        """Our addresses or protocols may have changed."""
        waiting = self._push is not None and self._push.active()
        if self._started and not waiting and self._state() != self._told:
            self._push = self._clock.callLater(PUSH_DELAY, self._push_now)

    def seen_as(self) -> tuple[SeenAs, ...]:
        """Where the network sees this node."""
        return seen_as(self._sightings.values(), self._clock.seconds())

    def record(self) -> bytes:
        """Our signed peer record as of now, to be passed on by anybody."""
        addresses = self._state()[0]
        if not self._record or addresses != self._recorded:
            # Higher than any before, also than those of the last run.
            self._sequence = max(self._sequence + 1, int(self._stamp() * 1000))
            self._record = seal_record(self._signer, self._sequence, addresses)
            self._recorded = addresses
        return self._record

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        if self._started:
            self._ask(peer)

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        self._pushes.pop(peer, None)

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Nothing to do."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Nothing to do."""

    def _state(self) -> tuple[tuple[Multiaddr, ...], tuple[str, ...]]:
        return tuple(self._host.addresses())[:MAX_ADDRESSES], tuple(sorted(self._host.served()))

    def _identification(self, observed: Multiaddr | None) -> Identification:
        record = self.record()
        addresses, protocols = self._state()
        return Identification(
            self._public_key, addresses, protocols, observed, PROTOCOL_VERSION, self._agent, record
        )

    def _answer(self, stream: Stream) -> StreamReceiver:
        stream.write(encode_identification(self._identification(stream.link.remote)))
        stream.end()
        return Told(stream, self._clock)

    def _ask(self, peer: str) -> None:
        asked = ask(self._host, self._clock, peer, (PROTOCOL,), IdentificationReader())
        asked.addCallback(lambda said: self._learn(peer, said, is_answer=True))
        asked.addErrback(self._failed, peer)

    def _pushed_to(self, stream: Stream) -> StreamReceiver:
        peer, now = stream.peer, self._clock.seconds()
        since, count = self._pushes.get(peer, (now, 0))
        since, count = (now, 0) if now - since >= PUSH_WINDOW else (since, count)
        self._pushes[peer] = (since, count + 1)
        if count >= MAX_PUSHES:
            error = PeerFault(
                f"identify: more than {MAX_PUSHES} pushes in {PUSH_WINDOW:g} s", code="push_flood"
            )
            self._penalise(peer, error)
            raise error
        reading = OneMessage(IdentificationReader(), self._clock, PUSH_PROTOCOL)
        reading.read_from(stream)
        reading.result.addCallback(lambda said: self._learn(peer, said, is_answer=False))
        reading.result.addErrback(self._failed, peer).addBoth(lambda _: stream.end())
        return reading

    def _learn(self, peer: str, said: Identification, *, is_answer: bool) -> None:
        check_public_key(said, peer)
        if said.record:
            self._learn_record(peer, said.record)
        self._book.identified(peer, said)
        links = self._host.links(peer)
        if is_answer and said.observed is not None and links:
            if len(self._sightings) >= MAX_VOTERS and peer not in self._sightings:
                del self._sightings[next(iter(self._sightings))]
            self._sightings[peer] = Sighting(
                links[0].remote, said.observed, links[0].inbound, self._clock.seconds()
            )

    def _learn_record(self, peer: str, envelope: bytes) -> None:
        try:
            record = open_record(envelope)
        except PeerFault as error:
            if error.code == "bad_public_key":
                return  # a kind of key that cannot be checked here: its addresses stay claims
            raise
        if record.peer != peer:
            raise PeerFault(f"identify: {peer} shows a peer record of somebody else", code="wrong_identity")
        self._book.certified(record, "")

    def _failed(self, failure: Failure, peer: str) -> None:
        failure.trap(SwarmnodeError)
        error = failure.value
        if isinstance(error, PeerFault):
            self._penalise(peer, error)
            if error.code in ("wrong_identity", "bad_signature"):
                self._host.disconnect(peer, error)

    def _look_again(self) -> None:
        self.changed()
        self._look = self._clock.callLater(LOOK_SECONDS, self._look_again)

    def _push_now(self) -> None:
        self._told = self._state()
        data = encode_identification(self._identification(None))
        for peer in self._host.peers():
            facts = self._book.facts(peer)
            if facts is not None and PUSH_PROTOCOL in facts.protocols:
                self._push_to(peer, data)

    def _push_to(self, peer: str, data: bytes) -> None:
        receiver = _Pushing(self._clock)
        opening: Any = self._host.open(peer, (PUSH_PROTOCOL,), receiver)
        receiver.begin(opening, data)


class _Pushing:
    """The sending end of a push. A peer that does not take it does without."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._over = clock, False
        self._told: Told | None = None

    def begin(self, opening: Any, data: bytes) -> None:
        opening.addCallback(self._opened, data).addErrback(lambda failure: failure.trap(SwarmnodeError))

    def _opened(self, stream: Stream, data: bytes) -> None:
        stream.write(data)
        stream.end()
        self._told = None if self._over else Told(stream, self._clock)

    def received(self, data: bytes) -> None:
        """Nothing is to be said to a push."""

    def ended(self) -> None:
        """As it should be."""

    def drained(self) -> None:
        """A push is short."""

    def lost(self, error: SwarmnodeError | None) -> None:
        self._over = True
        if self._told is not None:
            self._told.lost(error)
