"""mDNS as a discovery method, with a link in place of sockets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from swarmnode.interfaces.discovery import ISearch
from swarmnode.network.find_by_mdns import LOOK_SECONDS, FindByMdns
from swarmnode.testing.fake_host import FakeHost, FakeNetwork
from swarmnode.testing.host_bench import TestLog
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings


class Link:
    """Hands every packet to everybody, the sender included."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sockets: list[Socket] = []


class Socket:
    def __init__(self, link: Link, *, works: bool = True) -> None:
        self.link, self.works = link, works
        self.refreshed, self.stopped = 0, False
        self.received: Callable[[bytes], None] = lambda packet: None

    def start(self, received: Callable[[bytes], None]) -> bool:
        if self.works:
            self.received = received
            self.link.sockets.append(self)
        return self.works

    def refresh(self) -> None:
        self.refreshed += 1

    def send(self, packet: bytes) -> None:
        for other in self.link.sockets:
            self.link.clock.callLater(0.001, other.received, packet)

    def stop(self) -> None:
        self.stopped = True
        if self in self.link.sockets:
            self.link.sockets.remove(self)


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.link = Link(self.clock)
        self.network = FakeNetwork(self.clock)
        self.found: list[tuple[str, str, tuple[Multiaddr, ...], str]] = []

    def search(self, host: FakeHost, network_id: str = "", *, works: bool = True) -> FindByMdns:
        def found(peer: str, addresses: Sequence[Multiaddr], how: str) -> None:
            self.found.append((host.peer_id, peer, tuple(addresses), how))

        return FindByMdns(
            host,
            found,
            NetworkSettings(network_id=network_id),
            self.clock,
            rng=random.Random(host.peer_id),
            socket=Socket(self.link, works=works),
            log=TestLog(),
        )

    def run(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while (calls := self.clock.getDelayedCalls()) and (at := min(c.getTime() for c in calls)) <= end:
            self.clock.advance(max(0.0, at - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))


def test_two_nodes_find_each_other() -> None:
    bench = Bench()
    alice, bob = bench.network.host("/ip4/10.0.0.1/tcp/1"), bench.network.host("/ip4/10.0.0.2/tcp/2")
    first, second = bench.search(alice), bench.search(bob)
    verifyObject(ISearch, first)
    first.start()
    bench.run(20)
    assert bench.found == []
    second.start()
    bench.run(5)
    assert set(bench.found) == {
        (alice.peer_id, bob.peer_id, bob.listening, "mdns"),
        (bob.peer_id, alice.peer_id, alice.listening, "mdns"),
    }


def test_private_networks_are_apart() -> None:
    bench = Bench()
    for number, network in enumerate(("", "home", "home")):
        bench.search(bench.network.host(f"/ip4/10.0.0.{number + 1}/tcp/1"), network).start()
    bench.run(5)
    ids = [host.peer_id for host in bench.network.hosts]
    assert {(one, other) for one, other, _, _ in bench.found} == {(ids[1], ids[2]), (ids[2], ids[1])}


def test_a_change_of_addresses_is_announced() -> None:
    bench = Bench()
    alice, bob = bench.network.host("/ip4/10.0.0.1/tcp/1"), bench.network.host("/ip4/10.0.0.2/tcp/2")
    for host in (alice, bob):
        bench.search(host).start()
    bench.run(5)
    bob.listening = (Multiaddr.parse("/ip4/10.0.0.3/tcp/3"),)
    bench.found.clear()
    bench.run(LOOK_SECONDS + 1)
    assert (alice.peer_id, bob.peer_id, bob.listening, "mdns") in bench.found
    assert all(socket.refreshed >= 2 for socket in bench.link.sockets)


def test_without_sockets_nothing_runs() -> None:
    bench = Bench()
    search = bench.search(bench.network.host("/ip4/10.0.0.1/tcp/1"), works=False)
    search.start()
    assert bench.clock.getDelayedCalls() == []
    search.stop()


def test_it_takes_leave_and_stops() -> None:
    bench = Bench()
    search = bench.search(bench.network.host("/ip4/10.0.0.1/tcp/1"))
    search.start()
    bench.run(5)
    sent: list[Any] = []
    socket = bench.link.sockets[0]
    socket.send = sent.append  # type: ignore[method-assign]
    search.stop()
    assert len(sent) == 1 and socket.stopped
    bench.run(1)
    assert bench.clock.getDelayedCalls() == []


def test_the_listening_address_is_obeyed() -> None:
    clock = Clock()
    host = FakeNetwork(clock).host("/ip4/127.0.0.2/tcp/8810")
    search = FindByMdns(host, lambda *found: None, NetworkSettings("127.0.0.2"), clock, log=TestLog())
    assert all(interface.is_loopback for interface in search._socket._look())
    assert search._socket._versions == (4,)
