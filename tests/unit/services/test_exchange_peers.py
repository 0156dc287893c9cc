"""Peer exchange between fake hosts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock

from swarmnode.protocols.identify.messages import Identification
from swarmnode.protocols.identify.peer_exchange import MAX_PEERS, TradedPeer, encode_answer, encode_question
from swarmnode.protocols.identify.peer_record import open_record, seal_record
from swarmnode.services.exchange_peers import ASK_SECONDS, ASK_SPREAD, MAX_ANSWERS, ExchangePeers
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.testing.fake_host import FakeNetwork, fake_key, signer_of
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

PROTOCOL = "/swarmnode/exchange/1"
PEERS = [peer_id(signer_of(fake_key(1000 + n)).public_key) for n in range(40)]


class Node:
    def __init__(self, network: FakeNetwork, clock: Clock, address: str) -> None:
        self.host = network.host(address)
        self.peer = self.host.peer_id
        self.book = PeerBook(self.peer, clock.seconds, self.host.addresses)
        self.host.watch(self.book)
        self.faults: list[tuple[str, str]] = []
        self.found: list[tuple[str, tuple[Multiaddr, ...], str]] = []
        self.exchange = ExchangePeers(
            self.host, self.book, self.note, PROTOCOL, clock, random.Random(1), self.blame
        )

    def note(self, peer: str, addresses: Sequence[Multiaddr], how: str) -> None:
        self.found.append((peer, tuple(addresses), how))

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        self.faults.append((peer, error.code))

    def knows(self, peer: str, *addresses: str) -> None:
        """It was connected to this peer, which named the addresses."""
        self.book.identified(peer, Identification(addresses=tuple(map(Multiaddr.parse, addresses))))
        link = self.host.links(self.host.peers()[0])[0]
        self.book.peer_connected(peer, type(link)(0, peer, link.remote, None, True, "x", 0.0))
        self.book.peer_disconnected(peer, None)


class Bench:
    def __init__(self, ip: str = "10.0.0") -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.alice, self.bob, self.carol = (
            Node(self.network, self.clock, f"/ip4/{ip}.{n}/tcp/{n}") for n in range(1, 4)
        )
        for node in (self.alice, self.bob, self.carol):
            node.exchange.start()

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            self.clock.advance(0.01)

    def join(self, one: Node, other: Node) -> None:
        one.host.connect(other.peer, other.host.listening)
        self.run(ASK_SECONDS + ASK_SPREAD + 0.2)


class Taking:
    def __init__(self) -> None:
        self.got, self.error, self.over = b"", None, False

    def received(self, data: bytes) -> None:
        self.got += data

    def ended(self) -> None: ...

    def drained(self) -> None: ...

    def lost(self, error: Any) -> None:
        self.over, self.error = True, error


def test_a_third_node_is_met_through_the_second() -> None:
    bench = Bench()
    bench.join(bench.alice, bench.bob)
    assert bench.alice.found == bench.bob.found == []
    bench.join(bench.carol, bench.bob)
    assert bench.carol.found == []  # alice came to bob without saying where she listens
    bench.network.part(bench.carol.host, bench.bob.host)
    bench.bob.book.identified(bench.alice.peer, Identification(addresses=bench.alice.host.listening))
    bench.join(bench.carol, bench.bob)
    assert bench.carol.found == [(bench.alice.peer, bench.alice.host.listening, "exchange")]
    assert bench.carol.book.addresses(bench.alice.peer) == bench.alice.host.listening
    facts = bench.carol.book.facts(bench.alice.peer)
    assert facts is not None and facts.addresses[0].is_hearsay
    assert bench.alice.host.streams == bench.bob.host.streams == bench.carol.host.streams == []


def test_a_record_is_passed_on_and_believed() -> None:
    bench = Bench()
    record = seal_record(bench.alice.host.signer, 3, bench.alice.host.listening)
    bench.bob.book.certified(open_record(record), "")
    bench.join(bench.alice, bench.bob)
    bench.join(bench.carol, bench.bob)
    facts = bench.carol.book.facts(bench.alice.peer)
    assert facts is not None and facts.record == record
    assert [(one.address, one.certified) for one in facts.addresses] == [
        (bench.alice.host.listening[0], True)
    ]


def test_no_more_than_twenty_and_nobody_only_heard_of() -> None:
    bench = Bench()
    bench.join(bench.alice, bench.bob)
    for n, peer in enumerate(PEERS):
        bench.bob.knows(peer, f"/ip4/10.1.0.{n + 1}/tcp/1")
    heard_of = peer_id(bytes(32))
    bench.bob.book.heard(heard_of, [Multiaddr.parse("/ip4/10.1.1.1/tcp/1")], "dht")
    bench.join(bench.carol, bench.bob)
    assert len(bench.carol.found) == MAX_PEERS
    assert heard_of not in {peer for peer, _, _ in bench.carol.found}


def test_loopback_addresses_stay_on_this_machine() -> None:
    for ip, expected in (("10.0.0", 1), ("127.0.0", 2)):
        bench = Bench(ip)
        bench.join(bench.alice, bench.bob)
        bench.bob.knows(PEERS[0], "/ip4/127.0.0.1/tcp/9", "/ip4/10.0.0.9/tcp/9")
        bench.join(bench.carol, bench.bob)
        told = {peer: addresses for peer, addresses, _ in bench.carol.found}
        assert len(told[PEERS[0]]) == expected


def liar(answer: bytes) -> Bench:
    bench = Bench()

    def accept(stream: Any) -> Taking:
        stream.write(answer)
        stream.end()
        return Taking()

    bench.bob.host.serve(PROTOCOL, accept)
    bench.join(bench.alice, bench.bob)
    return bench


def test_lies_are_penalised() -> None:
    alice = signer_of(fake_key(0))
    for answer, code in (
        (b"\x05noise", "bad_message"),
        (encode_answer([TradedPeer(PEERS[0], (), b"no record")]), "bad_statement"),
        (encode_answer([TradedPeer(PEERS[0], (), seal_record(alice, 1, ()))]), "bad_message"),
    ):
        bench = liar(answer)
        assert bench.alice.faults == [(bench.bob.peer, code)]
        assert bench.alice.found == [] and PEERS[0] not in bench.alice.book.peers()


def test_we_are_not_a_peer_of_ours() -> None:
    bench = Bench()
    us = bench.alice.peer
    bench = liar(encode_answer([TradedPeer(us, (Multiaddr.parse("/ip4/6.6.6.6/tcp/1"),))]))
    assert bench.alice.found == [] and us not in bench.alice.book.peers()


def test_a_stranger_that_does_not_speak_it_is_left_alone() -> None:
    bench = Bench()
    bench.bob.exchange.stop()
    bench.join(bench.alice, bench.bob)
    assert bench.alice.faults == []


def test_whoever_asks_too_often_gets_nothing() -> None:
    bench = Bench()
    bench.join(bench.alice, bench.bob)
    takers = [Taking() for _ in range(MAX_ANSWERS + 3)]
    for taker in takers:
        bench.alice.host.open(bench.bob.peer, (PROTOCOL,), taker).addCallback(
            lambda stream: (stream.write(encode_question()), stream.end())
        )
        bench.run(0.1)
    # One was answered when they connected.
    assert [bool(taker.got) for taker in takers] == [True] * (MAX_ANSWERS - 1) + [False] * 4


def test_of_two_that_come_together_one_learns_of_the_other() -> None:
    bench = Bench()
    for node in (bench.alice, bench.carol):
        node.host.connect(bench.bob.peer, bench.bob.host.listening)
        bench.bob.book.identified(node.peer, Identification(addresses=node.host.listening))
    bench.run(ASK_SECONDS - 0.1)
    assert bench.alice.host.streams == []
    bench.run(ASK_SPREAD + 0.3)
    assert bench.carol.found == [(bench.alice.peer, bench.alice.host.listening, "exchange")]
    assert bench.alice.found == [(bench.carol.peer, bench.carol.host.listening, "exchange")]


def test_a_peer_that_goes_before_it_is_asked_is_not() -> None:
    bench = Bench()
    bench.alice.host.connect(bench.bob.peer, bench.bob.host.listening)
    bench.run(0.1)
    bench.network.part(bench.alice.host, bench.bob.host)
    assert bench.clock.getDelayedCalls() == []


def test_nothing_is_asked_or_learnt_after_the_end() -> None:
    bench = Bench()
    bench.alice.exchange.stop()
    bench.join(bench.alice, bench.bob)
    bench.bob.knows(PEERS[0], "/ip4/10.0.0.9/tcp/9")
    assert bench.alice.found == [] and PROTOCOL not in bench.alice.host.served()
