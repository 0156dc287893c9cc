"""The DHT on the real host, identification and peer book: a memory network, one clock, one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from swarmnode.network.host import NetworkHost
from swarmnode.protocols.kademlia.distance import provider_key
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.services.identify_peers import IdentifyPeers
from swarmnode.services.keep_dht import Dht
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.testing.fake_host import fake_key, signer_of
from swarmnode.testing.host_bench import PORT, TestLog
from swarmnode.testing.memory_carrier import MemoryCarrier, MemoryNet, direct
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import tcp_address
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id

NODES = 12
KEY = "/swarmnode/test"


class Node:
    def __init__(self, net: MemoryNet, clock: Clock, number: int, network: str = "") -> None:
        signer, ip = signer_of(fake_key(number)), f"10.0.0.{number}"
        self.peer, self.address = peer_id(signer.public_key), tcp_address(ip, PORT)
        self.faults: list[tuple[str, str]] = []
        self.log = TestLog()
        self.book = PeerBook(self.peer, clock.seconds, lambda: self.host.addresses())
        self.host = NetworkHost(
            SimpleNamespace(peer_id=self.peer),
            [MemoryCarrier(net, self.peer, ip)],
            clock,
            random.Random(number),
            NetworkSettings(port=PORT),
            self.book.addresses,
            self.log,
            interfaces=lambda: (ip,),
        )
        self.host.watch(self.book)
        stamp = lambda: 1.7e9 + clock.seconds()  # noqa: E731
        self.identify = IdentifyPeers(self.host, self.book, clock, signer, stamp, "0.1.0", self.blame)
        self.dht = Dht(
            self.host,
            clock,
            random.Random(number),
            stamp,
            protocol_id("kad/1", network),
            addresses_of=self.book.addresses,
            add_addresses=lambda peer, addresses: self.book.heard(peer, addresses, "dht"),
            public_key=signer.public_key,
            sign=signer.sign,
            penalise=self.blame,
        )
        self.book.watch(self.tell)
        self.host.start()
        self.identify.start()
        self.dht.start()

    def tell(self, peer: str) -> None:
        facts = self.book.facts(peer)
        if facts is not None and facts.connected and facts.protocols:
            self.dht.identified(peer, facts.protocols)

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        self.faults.append((peer, error.code))

    def stop(self) -> None:
        self.dht.stop()
        self.identify.stop()
        self.host.stop()


class World:
    """Nodes in a line: each dials the one before it, and the DHT does the rest."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.net = MemoryNet(self.clock, direct)
        self.nodes: list[Node] = []
        for number in range(1, NODES + 1):
            self.nodes.append(Node(self.net, self.clock, number))
            if number > 1:
                before = self.nodes[-2]
                self.nodes[-1].host.connect(before.peer, (before.address,))
            self.run(1.0)
        self.run(90.0)

    def run(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def got(self, deferred: Deferred[Any]) -> Any:
        outcome: list[Any] = []
        deferred.addBoth(outcome.append)
        for _ in range(1300):
            if outcome:
                return getattr(outcome[0], "value", outcome[0])
            self.clock.advance(0.05)
        raise AssertionError("no result in time")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    yield world
    for node in world.nodes:
        node.stop()


def test_nodes_in_a_line_all_come_to_know_one_another(world: World) -> None:
    assert [node.dht.facts().peers for node in world.nodes] == [NODES - 1] * NODES


def test_put_and_get(world: World) -> None:
    stored = world.got(world.nodes[0].dht.put(KEY, b"hello"))
    assert set(stored.holders) == {node.peer for node in world.nodes[1:]}
    for node in world.nodes:
        found = world.got(node.dht.get(KEY))
        assert (found.payload, found.signer) == (b"hello", world.nodes[0].peer)


def test_provide_and_find(world: World) -> None:
    key = provider_key(b"a model")
    world.got(world.nodes[3].dht.provide(key))
    for node in world.nodes:
        (provider,) = world.got(node.dht.find_providers(key, 1))
        assert (provider.peer, provider.addresses) == (world.nodes[3].peer, (world.nodes[3].address,))


def test_a_newcomer_finds_a_peer_it_was_never_told_of(world: World) -> None:
    newcomer = Node(world.net, world.clock, NODES + 1)
    newcomer.host.connect(world.nodes[0].peer, (world.nodes[0].address,))
    world.run(5.0)
    target = world.nodes[-1]
    found = world.got(newcomer.dht.find_peer(target.peer))
    assert target.address in found.addresses
    assert world.got(newcomer.host.connect(target.peer, found.addresses)) == target.peer
    newcomer.stop()
    world.run(5.0)


def test_another_networks_dht_has_nothing_to_say_to_this_one(world: World) -> None:
    other = Node(world.net, world.clock, NODES + 2, network="ours alone")
    other.host.connect(world.nodes[0].peer, (world.nodes[0].address,))
    world.run(5.0)
    error = world.got(other.dht.get(KEY))
    assert isinstance(error, Unavailable) and error.code == "no_dht_peers"
    assert all(other.peer not in node.dht._machine.table for node in world.nodes)
    other.stop()
    world.run(5.0)


def test_nobody_was_blamed_and_nothing_broke(world: World) -> None:
    world.run(600.0, step=1.0)
    assert not any(node.faults for node in world.nodes)
    assert not any(node.log.of("error") for node in world.nodes)
    assert [node.dht.facts().peers for node in world.nodes] == [NODES - 1] * NODES
