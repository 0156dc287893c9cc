"""Nodes that find one another: the real hosts and services, a memory network, one clock, one seed."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from swarmnode.network.host import NetworkHost
from swarmnode.policy.finding import WANTED_PEERS
from swarmnode.protocols.identify.peer_exchange import NAME
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.services.exchange_peers import ExchangePeers
from swarmnode.services.find_peers import FindPeers
from swarmnode.services.identify_peers import IdentifyPeers
from swarmnode.services.keep_known_peers import KeepKnownPeers
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.services.ping_peers import PingPeers
from swarmnode.testing.fake_host import fake_key, signer_of
from swarmnode.testing.host_bench import PORT, TestLog
from swarmnode.testing.memory_carrier import MemoryCarrier, MemoryNet, direct
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import tcp_address
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id


class Node:
    """A node as it is put together, without what a single machine or process needs."""

    def __init__(self, bench: Bench, number: int, bootstrap: tuple[Any, ...], store: list[KnownPeer]) -> None:
        clock, rng = bench.clock, random.Random(number)
        signer = signer_of(fake_key(number))
        self.peer, self.address = peer_id(signer.public_key), tcp_address(f"10.0.0.{number}", PORT)
        settings = NetworkSettings(port=PORT, bootstrap=bootstrap)
        self.log, self.store, self.faults = TestLog(), store, []  # type: ignore[var-annotated]
        self.book = PeerBook(self.peer, clock.seconds, lambda: self.host.addresses())
        ip = str(self.address.host)
        carrier = MemoryCarrier(bench.net, self.peer, ip)
        self.host = NetworkHost(
            SimpleNamespace(peer_id=self.peer),
            [carrier],
            clock,
            rng,
            settings,
            self.book.addresses,
            self.log,
            interfaces=lambda: (ip,),
        )
        self.host.watch(self.book)
        self.find = FindPeers(self.host, self.book, settings, clock, rng, self.log)
        stamp = lambda: 1e9 + clock.seconds()  # noqa: E731
        self.identify = IdentifyPeers(self.host, self.book, clock, signer, stamp, "0.1.0", self.blame)
        self.ping = PingPeers(self.host, clock, rng.randbytes)
        self.exchange = ExchangePeers(
            self.host, self.book, self.find.found, protocol_id(NAME, ""), clock, rng, self.blame
        )
        self.known = KeepKnownPeers(
            self.book, lambda: tuple(store), self.save, self.find.found, clock, stamp, self.log
        )
        self.host.start()
        for part in (self.identify, self.ping, self.exchange, self.find, self.known):
            part.start()

    def save(self, peers: Any) -> None:
        self.store[:] = peers

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        self.faults.append((peer, error.code))

    def stop(self) -> None:
        for part in (self.known, self.find, self.exchange, self.ping, self.identify, self.host):
            part.stop()


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.net = MemoryNet(self.clock, direct)

    def node(self, number: int, *bootstrap: Any, store: list[KnownPeer] | None = None) -> Node:
        return Node(self, number, bootstrap, [] if store is None else store)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)


def test_a_third_node_is_met_through_the_second() -> None:
    bench = Bench()
    first = bench.node(1)
    second, third = bench.node(2, first.address), bench.node(3, first.address)
    bench.run(5)
    for one in (first, second, third):
        assert set(one.host.peers()) == {other.peer for other in (first, second, third)} - {one.peer}
        assert one.faults == [] and one.log.of("error") == one.log.of("warning") == []
    facts = {other: one.book.facts(other.peer) for one, other in ((second, third), (third, second))}
    assert sorted(one.how for one in facts.values() if one is not None) == ["exchange", "inbound"] or all(
        one is not None and one.how == "exchange" for one in facts.values()
    )
    assert all(one is not None and one.agent == "swarmnode/0.1.0" and one.record for one in facts.values())


def test_a_crowd_grows_together_from_one_address() -> None:
    bench = Bench()
    first = bench.node(1)
    nodes = [first, *(bench.node(number, first.address) for number in range(2, 31))]
    bench.run(60)
    # Everybody looks for as many as it wants and no more; the first takes whoever comes.
    assert all(len(node.host.peers()) >= WANTED_PEERS for node in nodes)
    assert sum(len(node.host.peers()) for node in nodes[1:]) < 29 * 29
    assert [node.faults for node in nodes] == [[]] * 30
    reached = {first.peer}
    while more := {p for node in nodes if node.peer in reached for p in node.host.peers()} - reached:
        reached |= more
    assert len(reached) == 30


def test_a_restart_without_bootstrap_finds_the_others_again() -> None:
    bench = Bench()
    first, second = bench.node(1), bench.node(2)
    store: list[KnownPeer] = []
    third = bench.node(3, first.address, second.address, store=store)
    bench.run(5)
    third.stop()
    bench.run(3)
    assert {known.peer for known in store} == {first.peer, second.peer}
    assert third.peer not in first.host.peers()
    third = bench.node(3, store=store)
    bench.run(10)
    assert {first.peer, second.peer} <= set(third.host.peers())


def test_a_bootstrap_peer_that_starts_late_is_met() -> None:
    bench = Bench()
    early = bench.node(1, tcp_address("10.0.0.2", PORT))
    bench.run(30)
    assert early.host.peers() == ()
    assert early.log.of("warning") == ["a bootstrap peer cannot be reached; it is tried again until it can"]
    late = bench.node(2)
    bench.run(60)
    assert early.host.peers() == (late.peer,)


def test_round_trips_are_measured() -> None:
    bench = Bench()
    first = bench.node(1)
    second = bench.node(2, first.address)
    bench.run(2)
    results: list[Any] = []
    second.ping.ping(first.peer, 3).addBoth(results.append)
    bench.run(2)
    assert len(results[0]) == 3


def test_the_same_seed_gives_the_same_history() -> None:
    def history() -> list[Any]:
        bench = Bench()
        first = bench.node(1)
        nodes = [first, *(bench.node(number, first.address) for number in range(2, 16))]
        bench.run(20)
        return [(node.host.peers(), node.log.lines, node.book.peers()) for node in nodes]

    assert history() == history()


@pytest.mark.parametrize("running", [True, False])
def test_stopping_leaves_nothing_behind(running: bool) -> None:
    bench = Bench()
    first = bench.node(1)
    second = bench.node(2, first.address)
    if running:
        bench.run(5)
    for node in (first, second):
        node.stop()
    bench.run(15)
    assert bench.clock.getDelayedCalls() == []
