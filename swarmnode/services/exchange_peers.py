"""Peer exchange: every newly connected peer is asked once whom it knows, and may ask us."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.policy.addresses import is_loopback
from swarmnode.policy.peer_exchange import Chance, tellable, worth_telling
from swarmnode.protocols.identify.peer_exchange import (
    AnswerReader,
    QuestionReader,
    TradedPeer,
    encode_answer,
    encode_question,
)
from swarmnode.protocols.identify.peer_record import open_record
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.services.read_one_message import OneMessage, ask
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo

HOW = "exchange"
#: Answers that one peer gets in so many seconds.
MAX_ANSWERS, ANSWER_WINDOW = 3, 60.0
#: Seconds from the connection to the question, and up to as many more by chance. Of two nodes that came to a
#: third one at the same time, one at least is then known there when the other asks.
ASK_SECONDS, ASK_SPREAD = 1.0, 1.0

Found = Callable[[str, Sequence[Multiaddr], str], None]


class ExchangePeers:
    """protocol: `protocol_id(peer_exchange.NAME, network)`. found(peer, addresses, how): told of each peer
    learnt. penalise(peer, error): told of every `PeerFault`."""

    def __init__(
        self,
        host: Host,
        book: PeerBook,
        found: Found,
        protocol: str,
        clock: Clock,
        rng: Chance,
        penalise: Callable[[str, SwarmnodeError], None],
    ) -> None:
        self._host, self._book, self._found, self._protocol = host, book, found, protocol
        self._clock, self._rng, self._penalise = clock, rng, penalise
        self._answered: dict[str, tuple[float, int]] = {}
        self._asking: dict[str, DelayedCall] = {}
        self._running = False

    def start(self) -> None:
        """Ask and answer from now on."""
        self._running = True
        self._host.serve(self._protocol, self._accept)
        self._host.watch(self)
        for peer in self._host.peers():
            self._ask_soon(peer)

    def stop(self) -> None:
        """Neither ask nor answer any more."""
        self._running = False
        self._host.unserve(self._protocol)
        for call in self._asking.values():
            call.cancel()
        self._asking.clear()

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        if self._running:
            self._ask_soon(peer)

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        self._answered.pop(peer, None)
        if (call := self._asking.pop(peer, None)) is not None:
            call.cancel()

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Nothing to do."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Nothing to do."""

    def _ask_soon(self, peer: str) -> None:
        if peer not in self._asking:
            delay = ASK_SECONDS + ASK_SPREAD * self._rng.random()
            self._asking[peer] = self._clock.callLater(delay, self._ask, peer)

    def _ask(self, peer: str) -> None:
        del self._asking[peer]
        asked = ask(self._host, self._clock, peer, (self._protocol,), AnswerReader(), encode_question())
        # A peer that does not speak this protocol is none the worse for it.
        asked.addCallback(self._learn).addErrback(self._failed, peer)

    def _learn(self, peers: Sequence[TradedPeer]) -> None:
        if not self._running:
            return
        for traded in peers:
            if traded.peer != self._host.peer_id:
                self._learn_one(traded)

    def _learn_one(self, traded: TradedPeer) -> None:
        addresses = traded.addresses
        if traded.record:
            record = open_record(traded.record)
            if record.peer != traded.peer:
                raise PeerFault("peer exchange: a record is of another peer than said", code="bad_message")
            addresses = record.addresses
            self._book.certified(record, HOW)
        else:
            self._book.heard(traded.peer, addresses, HOW)
        self._found(traded.peer, addresses, HOW)

    def _failed(self, failure: Failure, peer: str) -> None:
        failure.trap(SwarmnodeError)
        if isinstance(failure.value, PeerFault):
            self._penalise(peer, failure.value)

    def _accept(self, stream: Stream) -> StreamReceiver:
        peer, now = stream.peer, self._clock.seconds()
        since, count = self._answered.get(peer, (now, 0))
        since, count = (now, 0) if now - since >= ANSWER_WINDOW else (since, count)
        self._answered[peer] = (since, count + 1)
        if count >= MAX_ANSWERS:
            raise Refused(f"{peer} asks for peers too often", code="too_many_questions")
        reading = OneMessage(QuestionReader(), self._clock, self._protocol)
        reading.read_from(stream, keep_open=True)
        reading.result.addCallback(lambda limit: self._answer(stream, limit)).addErrback(self._failed, peer)
        return reading

    def _answer(self, stream: Stream, limit: int) -> None:
        same_machine = is_loopback(stream.link.remote)
        chosen = worth_telling(self._book.all_facts(), stream.peer, limit, self._rng, self._clock.seconds())
        told = []
        for facts in chosen:
            addresses = tellable(self._book.addresses(facts.peer), same_machine=same_machine)
            if addresses:
                told.append(TradedPeer(facts.peer, addresses, facts.record))
        stream.write(encode_answer(told))
        stream.end()
