"""Private networks, wrong clocks, and peers that mean no good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from swarmnode.interfaces.host import Stream
from swarmnode.protocols.gossipsub.messages import make_message
from swarmnode.protocols.gossipsub.rpc import publish_field
from swarmnode.protocols.swarm.ids import protocol_id, topic_name
from swarmnode.protocols.wire.framing import framed
from swarmnode.testing.host_bench import Recorder
from swarmnode.testing.memory_tcp import MemoryReactor
from swarmnode.testing.sim_node import SimNode
from swarmnode.testing.simulation import Simulation
from swarmnode.values.errors import SwarmnodeError

Make = Callable[..., Simulation]
FEW = 10


def crowd(sim: Simulation, size: int = FEW, **options: Any) -> list[SimNode]:
    first = sim.node(**options)
    nodes = [first, *(sim.node([first], **options) for _ in range(size - 1))]
    sim.run_until(lambda: sim.converged(nodes), limit=30)
    return nodes


def troubles(sim: Simulation) -> list[str]:
    logs = (sim.log, *(node.log for node in sim.nodes))
    return [event for log in logs for level in ("error", "exception") for event in log.of(level)]


def publish(node: SimNode, nickname: str) -> None:
    node.stack.broadcast.publish("nickname", peer=node.peer, nickname=nickname)


def listen(nodes: list[SimNode]) -> dict[str, list[str]]:
    """What each hears of nicknames, by its IP address."""
    heard: dict[str, list[str]] = {node.ip: [] for node in nodes}

    def take(into: list[str], sender: str, said: Any) -> None:
        into.append(said.message.nickname)

    for node in nodes:
        node.stack.broadcast.on("nickname", partial(take, heard[node.ip]))
    return heard


# Private networks.


@pytest.mark.parametrize("full", [False, True])
def test_private_networks_never_mix(make: Make, full: bool) -> None:
    sim = make(1, full=full)
    names = ("", "ours", "theirs")
    firsts = {name: sim.node(network_id=name) for name in names}
    groups = {name: [firsts[name]] for name in names}
    for _ in range(4):
        for name in names:
            # Everybody is told of everybody's first node.
            groups[name].append(sim.node(list(firsts.values()), network_id=name))
    heard = listen(sim.nodes)
    sim.run_until(lambda: all(sim.converged(group) for group in groups.values()), limit=60)
    for name, group in groups.items():
        publish(group[2], f"of {name}")
    for _ in range(60):
        sim.run(1)
        for name, group in groups.items():
            among = {node.peer for node in group}
            assert all(node.members() <= among for node in group)
            # A public node takes every connection; private ones end it before anything is said.
            assert not name or all(node.peers() <= among for node in group)
    for name, group in groups.items():
        for node in group:
            assert heard[node.ip] == ([] if node is group[2] else [f"of {name}"])
    assert troubles(sim) == []


# Clocks.


def test_wrong_clocks_are_named_and_kill_nobody(make: Make) -> None:
    sim = make(2)
    first = sim.node()
    right = [first, *(sim.node([first]) for _ in range(6))]
    ahead, behind = sim.node([first], skew=600.0), sim.node([first], skew=-600.0)
    sim.run(120)
    told = {
        (fields["peer"], fields["seconds"])
        for _, event, fields in sim.log.lines
        if event == "the clocks of two nodes differ"
    }
    assert (ahead.peer, 600.0) in told and (behind.peer, -600.0) in told
    # They stay connected, and can be spoken with.
    for node in (ahead, behind):
        assert first.peer in node.peers()
        assert sim.result(first.stack.pings.ping(node.peer, 1))
    assert all(other.peer in node.members() for node in right for other in right if other is not node)
    assert troubles(sim) == []


# Bad peers.


def villain(sim: Simulation, target: SimNode) -> SimNode:
    """A peer with nothing but its host, connected: whoever holds it says what it likes."""
    bad = sim.node(
        without=("swarm", "dht", "gossip", "exchange", "finder", "known", "hello", "pings", "identify")
    )
    sim.result(bad.stack.host.connect(target.peer, (target.address,)))
    return bad


@pytest.fixture
def besieged(make: Make) -> Iterator[tuple[Simulation, list[SimNode]]]:
    """A swarm that must be as well afterwards."""
    sim = make(3, full=True)
    nodes = crowd(sim)
    heard = listen(nodes)
    yield sim, nodes
    everybody = {node.peer for node in nodes}
    assert not any(everybody - {node.peer} - node.members() for node in nodes)
    publish(nodes[3], "still here")
    sim.run(5)
    assert all("still here" in heard[node.ip] for node in nodes if node is not nodes[3])
    assert troubles(sim) == []


def test_slow_handshakes_keep_nobody_out(besieged: tuple[Simulation, list[SimNode]]) -> None:
    sim, nodes = besieged
    target = nodes[0]
    loris = [Dribble(sim, f"10.66.{number}.1", target) for number in range(200)]
    sim.run(2)
    assert sum(each.connected for each in loris) > 0
    late = sim.node([nodes[0]])
    sim.run_until(lambda: target.peer in late.peers(), limit=30)
    sim.run(30)
    assert not any(each.connected for each in loris)
    assert {node.peer for node in nodes[1:]} <= target.peers()


SLOWLY = b"\x13/multistream/1.0.0\n\x07/noise\n"


class Dribble:
    """Opens a connection and sends one byte now and then."""

    noisy = False

    def __init__(self, sim: Simulation, ip: str, target: SimNode) -> None:
        self.sim, self.connected, self.transport, self.sent = sim, False, None, 0
        reactor = MemoryReactor(sim.network, ip, sim.clock)
        reactor.connectTCP(target.ip, 8810, self)

    def buildProtocol(self, address: Any) -> Dribble:
        return self

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.connected = False

    def makeConnection(self, transport: Any) -> None:
        self.transport, self.connected = transport, True
        self.dribble()

    def dribble(self) -> None:
        if self.connected and self.transport is not None:
            self.transport.write(SLOWLY[self.sent : self.sent + 1])
            self.sent += 1
            self.sim.clock.callLater(0.9, self.dribble)

    def dataReceived(self, data: bytes) -> None:
        """It does not listen."""

    def connectionLost(self, reason: Any) -> None:
        self.connected = False


GARBAGE = (b"\xff" * 5000, b"\x80" * 64, b"\x05hello" * 200, b"")


@pytest.mark.parametrize("protocol", ["/meshsub/1.1.0", "/ipfs/ping/1.0.0", "kad/1", "hello/1", "exchange/1"])
def test_garbage_harms_nobody(besieged: tuple[Simulation, list[SimNode]], protocol: str) -> None:
    sim, nodes = besieged
    bad = villain(sim, nodes[0])
    name = protocol if protocol.startswith("/") else protocol_id(protocol, "")

    def say(stream: Stream, what: bytes) -> None:
        stream.write(what)
        stream.end()

    for what in GARBAGE:
        opening = bad.stack.host.open(nodes[0].peer, (name,), Recorder())
        # After enough of it there is no connection any more.
        opening.addCallbacks(say, lambda failure: failure.trap(SwarmnodeError), callbackArgs=(what,))
        sim.run(1)
    assert {node.peer for node in nodes[1:]} <= nodes[0].peers()


@pytest.mark.parametrize("author", ["itself", "somebody else", "with a wrong signature"])
def test_gossip_spam_harms_nobody_but_its_author(
    besieged: tuple[Simulation, list[SimNode]], author: str
) -> None:
    sim, nodes = besieged
    bad, topic = villain(sim, nodes[0]), topic_name("identity", "")
    source = nodes[5].peer if author == "somebody else" else bad.peer
    sign = bad.identity.sign if author != "with a wrong signature" else lambda message: bytes(64)
    opening = bad.stack.host.open(nodes[0].peer, ("/meshsub/1.1.0",), Recorder())
    stream = sim.result(opening)
    for number in range(2000):
        spam = make_message(source, sign, (1 << 60) + number, topic, b"buy now %d" % number)
        stream.write(framed(publish_field(spam.encoded)))
        if number % 100 == 99:
            sim.run(0.2)
    sim.run(2)
    assert {node.peer for node in nodes[1:]} <= nodes[0].peers()
    # Those behind the first one have nothing against it: it passed nothing on.
    assert all(node.stack.trust.score(nodes[0].peer) >= 0.4 for node in nodes[1:])
    assert nodes[0].stack.trust.score(bad.peer) < 0.4
