"""Whole networks of nodes, joined as in the real one, on a network in memory and one clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from nacl.signing import SigningKey
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from swarmnode.network_stack import NetworkStack, NetworkStores, Surroundings, build_network
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.testing.fake_host import fake_key
from swarmnode.testing.host_bench import PORT, TestLog
from swarmnode.testing.memory_carrier import MemoryCarrier, MemoryNet
from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id

UNIX = 1_800_000_000.0
PROFILE = "cpu-1:kv=f16:residual=f16"


class Identity:
    def __init__(self, number: int) -> None:
        self._key: SigningKey = fake_key(number)
        self.public_key = bytes(self._key.verify_key)
        self.peer_id = peer_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature


class Disk:
    """What outlives a node."""

    def __init__(self) -> None:
        self.known: tuple[Any, ...] = ()
        self.trust: list[Any] = []

    def save(self, peers: Sequence[Any]) -> None:
        self.known = tuple(peers)

    def stores(self) -> NetworkStores:
        return NetworkStores(
            load_known=lambda: self.known,
            save_known=self.save,
            save_trust=lambda changed, gone: self.trust.extend(changed),
        )


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.net = MemoryNet(self.clock)
        self.found: dict[int, Callable[..., None]] = {}
        self.logs: dict[int, TestLog] = {}

    def stack(self, number: int, disk: Disk | None = None, **more: Any) -> NetworkStack:
        """Node 1, 2, ... at 10.0.0.1, 10.0.0.2, ...; not started."""
        ip, rng = f"10.0.0.{number}", random.Random(number)
        identity = Identity(more.pop("key", number))
        profiles, searches = more.pop("profiles", tuple), more.pop("searches", [])
        settings = NetworkSettings(port=PORT, **more)

        def search(host: Any, found: Callable[..., None]) -> Sequence[Any]:
            self.found[number] = found
            return searches

        self.logs[number] = TestLog()
        world = Surroundings(
            clock=self.clock,
            stamp=lambda: UNIX + self.clock.seconds(),
            rng=rng,
            entropy=rng.randbytes,
            log=self.logs[number],
            stores=(disk or Disk()).stores(),
            interfaces=lambda: (ip,),
            searches=search,
            profiles=profiles,
        )
        return build_network(identity, [MemoryCarrier(self.net, identity.peer_id, ip)], settings, world)

    def node(self, number: int, disk: Disk | None = None, **more: Any) -> NetworkStack:
        """The same, started."""
        stack = self.stack(number, disk, **more)
        self.result(stack.start())
        return stack

    def run(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while (calls := self.clock.getDelayedCalls()) and (at := min(c.getTime() for c in calls)) <= end:
            self.clock.advance(max(0.0, at - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    def result(self, deferred: Deferred[Any], seconds: float = 5.0) -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.run(0.0 if results else seconds)
        assert results, "nothing came of it"
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]


def at(number: int, *, named: bool = True) -> Multiaddr:
    address = tcp_address(f"10.0.0.{number}", PORT)
    return address.with_peer(Identity(number).peer_id) if named else address


def connected(*stacks: NetworkStack) -> list[int]:
    return [len(stack.host.peers()) for stack in stacks]


def test_a_greeting_says_in_which_profiles_a_node_computes() -> None:
    bench = Bench()
    a = bench.node(1, profiles=lambda: (PROFILE,))
    b = bench.node(2, bootstrap=(at(1, named=False),))
    bench.run(5)
    facts = b.hello.facts(a.host.peer_id)
    assert facts is not None
    assert facts.hello.profiles == (PROFILE,)
    assert a.hello.features(b.host.peer_id) == frozenset()


def test_a_change_of_what_a_node_can_is_heard_of_without_reconnecting() -> None:
    bench = Bench()
    profiles: list[str] = []
    a = bench.node(1, profiles=lambda: tuple(profiles))
    b = bench.node(2, bootstrap=(at(1),))
    bench.run(10)
    before = b.hello.facts(a.host.peer_id)
    assert before is not None
    assert before.hello.profiles == ()
    (link,) = b.host.links(a.host.peer_id)
    profiles.append(PROFILE)
    bench.run(35)
    facts = b.hello.facts(a.host.peer_id)
    assert facts is not None
    assert facts.hello.profiles == (PROFILE,)
    assert b.host.links(a.host.peer_id) == (link,)


def test_private_networks_have_nothing_to_do_with_one_another() -> None:
    bench = Bench()
    everybody = tuple(at(number, named=False) for number in (1, 2, 3, 4))
    red, also_red = bench.node(1, network_id="red"), bench.node(2, network_id="red", bootstrap=everybody)
    blue, public = bench.node(3, network_id="blue", bootstrap=everybody), bench.node(4, bootstrap=everybody)
    heard: list[Any] = []
    for stack in (red, also_red, blue, public):
        stack.broadcast.on("nickname", lambda sender, heard_of, me=stack: heard.append((me, sender)))
    bench.run(30)
    red.broadcast.publish("nickname", nickname="me")
    public.broadcast.publish("nickname", nickname="you")
    bench.run(300)
    assert connected(red, also_red, blue, public) == [1, 1, 0, 0]
    assert heard == [(also_red, red.host.peer_id)]
    assert [len(s.swarm.members()) for s in (red, also_red, blue, public)] == [1, 1, 0, 0]
    assert [s.dht.facts().peers for s in (red, also_red, blue, public)] == [1, 1, 0, 0]
    assert blue.host.peer_id not in [facts.peer for facts in red.book.all_facts() if facts.last_connected]


def test_in_a_private_network_every_protocol_of_ours_carries_its_tag() -> None:
    bench = Bench()
    stack = bench.node(1, network_id="red")
    tag = protocol_id("", "red").split("/")[2]
    ours = [name for name in stack.host.served() if name.startswith("/swarmnode/")]
    others = stack.host.served() - set(ours)
    assert ours
    assert all(name.startswith(f"/swarmnode/{tag}/") for name in ours)
    assert all(name.startswith(("/ipfs/id/", "/ipfs/ping/", "/meshsub/")) for name in others)


def test_offline_nobody_is_dialled_but_whom_mdns_finds() -> None:
    bench = Bench()
    a = bench.node(1, offline=True, bootstrap=(at(2),))
    b, c = bench.node(2), bench.node(3)
    a.book.heard(b.host.peer_id, (at(2),), "dht")
    a.dht.refresh()
    bench.found[1](b.host.peer_id, (at(2),), "exchange")
    bench.run(120)
    assert connected(a, b) == [0, 0]
    for dial in (lambda: a.host.connect(b.host.peer_id, (at(2),)), lambda: a.host.connect(None, (at(3),))):
        with pytest.raises(Refused) as found:
            bench.result(dial())
        assert found.value.code == "offline_mode"
    bench.found[1](b.host.peer_id, (at(2),), "mdns")
    bench.run(5)
    assert connected(a, b, c) == [1, 1, 0]


def test_offline_a_neighbour_that_was_lost_is_dialled_again() -> None:
    bench, disk = Bench(), Disk()
    a, b = bench.node(1, disk), bench.node(2, offline=True)
    bench.found[1](b.host.peer_id, (at(2),), "mdns")
    bench.run(5)
    bench.result(a.stop())
    bench.run(5)
    again = bench.node(1, disk, offline=True)  # its cache knows b, which does not count
    bench.run(60)
    assert connected(again, b) == [0, 0]
    bench.found[1](b.host.peer_id, (at(2),), "mdns")
    bench.run(5)
    b.host.disconnect(again.host.peer_id)
    bench.run(30)
    assert connected(again, b) == [1, 1]


def test_offline_a_neighbour_that_tells_of_others_leads_to_nobody() -> None:
    bench = Bench()
    a, b = bench.node(1, offline=True), bench.node(2)
    c = bench.node(3, bootstrap=(at(2),))
    bench.found[1](b.host.peer_id, (at(2),), "mdns")
    dials: list[Any] = []
    carrier_dial = MemoryCarrier.dial

    def dial(self: MemoryCarrier, address: Multiaddr, peer: str | None) -> Any:
        dials.append((self.peer, peer))
        return carrier_dial(self, address, peer)

    MemoryCarrier.dial = dial  # type: ignore[method-assign]
    try:
        bench.run(300)
    finally:
        MemoryCarrier.dial = carrier_dial  # type: ignore[method-assign]
    assert [peer for who, peer in dials if who == a.host.peer_id] == []
    assert c.host.peer_id in [member.peer for member in a.swarm.members()]


def test_a_stopped_stack_leaves_nothing_behind() -> None:
    bench = Bench()
    a = bench.node(1)
    b = bench.node(2, bootstrap=(at(1),))
    bench.run(70)
    assert connected(a, b) == [1, 1]
    bench.result(b.stop())
    bench.run(1)
    assert a.swarm.members() == ()
    bench.result(a.stop())
    bench.run(5)
    assert [str(call) for call in bench.clock.getDelayedCalls()] == []
    assert bench.net.listening == {}
    assert bench.logs[1].of("error") == bench.logs[2].of("error") == []


def test_a_restarted_node_finds_its_peers_by_itself() -> None:
    bench, disk = Bench(), Disk()
    a = bench.node(1)
    b = bench.node(2, disk, bootstrap=(at(1),))
    bench.run(10)
    bench.result(b.stop())
    assert [known.peer for known in disk.known] == [a.host.peer_id]
    again = bench.node(2, disk)
    bench.run(10)
    assert again.host.peers() == (a.host.peer_id,)
    with pytest.raises(Refused):
        bench.result(b.start())


def test_a_meeting_point_without_an_id_may_be_set_up_again() -> None:
    bench = Bench()
    first = bench.node(1)
    b = bench.node(2, bootstrap=(at(1, named=False),))
    bench.run(10)
    assert b.host.peers() == (first.host.peer_id,)
    bench.result(first.stop())
    anew = bench.node(1, key=9)
    bench.run(60)
    assert b.host.peers() == (anew.host.peer_id,)


def test_where_the_port_is_taken_nothing_runs() -> None:
    bench = Bench()
    bench.node(1)
    calls = len(bench.clock.getDelayedCalls())
    second = bench.stack(1)
    with pytest.raises(Refused) as found:
        bench.result(second.start())
    assert found.value.code == "port_in_use"
    bench.result(second.stop())
    bench.run(0)
    assert len(bench.clock.getDelayedCalls()) <= calls
    assert second.host.served() == frozenset()


def test_a_search_that_cannot_start_is_done_without() -> None:
    class Broken:
        def start(self) -> None:
            raise OSError("no such device")

    bench = Bench()
    a = bench.node(1, searches=[Broken()])
    b = bench.node(2, bootstrap=(at(1),))
    bench.run(5)
    assert connected(a, b) == [1, 1]
    assert bench.logs[1].of("error") == ["a part did not start"]
