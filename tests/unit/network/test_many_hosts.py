"""Many hosts that dial one another at the same moments, on ways of all lengths."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.services.prove_network import NetworkProof
from swarmnode.testing.host_bench import HostBench, Node

COUNT = 8


def swarm(seed: int, *, private: bool) -> HostBench:
    chance = random.Random(seed)
    delays: dict[tuple[str, str], float] = {}

    def way(source: str, target: str, size: int) -> float | None:
        pair = (source, target)
        if pair not in delays:
            delays[pair] = chance.choice((0.0, 0.001, 0.02, 0.15))
        return None if chance.random() < 0.02 else delays[pair]

    bench = HostBench(way)
    for number in range(1, COUNT + 1):
        bench.node(number, gate=NetworkProof("home", bench.clock) if private else None)
    return bench


def pairs(bench: HostBench) -> Iterator[tuple[Node, Node]]:
    nodes = list(bench.nodes.values())
    for place, a in enumerate(nodes):
        for b in nodes[place + 1 :]:
            yield a, b


def trace(bench: HostBench) -> list[Any]:
    return [node.witness.told for node in bench.nodes.values()]


def dial_all(bench: HostBench, seed: int) -> None:
    """Everybody dials everybody, most of them nearly at once."""
    chance = random.Random(seed)
    for a, b in pairs(bench):
        for caller, called in ((a, b), (b, a)):
            caller_host = caller.host

            def dial(host: Any = caller_host, node: Node = called) -> None:
                host.connect(node.peer, [node.address]).addErrback(lambda _: None)

            bench.clock.callLater(chance.choice((0.0, 0.0, 0.01, 0.3)), dial)


def check_settled(bench: HostBench) -> None:
    """Every two have one connection, which both see, and had no other peer-wide event than that."""
    for a, b in pairs(bench):
        ours, theirs = a.host.links(b.peer), b.host.links(a.peer)
        assert len(ours) == len(theirs) == 1
        assert ours[0].handshake_hash == theirs[0].handshake_hash
    for node in bench.nodes.values():
        assert len(node.witness.changes()) == COUNT - 1
        assert all(level != "error" for level, *_ in node.log.lines)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_everybody_ends_with_one_connection_to_everybody(seed: int, private: bool) -> None:
    bench = swarm(seed, private=private)
    dial_all(bench, seed)
    bench.run(20, 0.02)
    check_settled(bench)
    bench.run(30, 0.1)
    check_settled(bench)
    for node in bench.nodes.values():
        bench.result(node.host.stop(), 5)
    bench.run(1)
    assert bench.clock.getDelayedCalls() == []


def test_the_same_seed_runs_the_same_way() -> None:
    told = []
    for _ in range(2):
        bench = swarm(5, private=False)
        dial_all(bench, 5)
        bench.run(5, 0.02)
        told.append(trace(bench))
    assert told[0] == told[1]
    assert any(told[0])


def test_a_peer_that_restarts_is_met_again() -> None:
    bench = HostBench(lambda source, target, size: 0.02)
    a, b = bench.node(1), bench.node(2)
    bench.result(a.host.connect(b.peer, [b.address]))
    bench.run(12)
    # Its machine loses power, and it comes back before anybody has noticed.
    b.carrier.crash(silently=True)
    bench.run(1)
    again = bench.node(2)
    bench.result(again.host.connect(a.peer, [a.address]))
    bench.run(20)
    assert len(a.host.links(b.peer)) == len(again.host.links(a.peer)) == 1
    assert a.host.links(b.peer)[0].handshake_hash == again.host.links(a.peer)[0].handshake_hash
    assert a.witness.changes() == [("connected", b.peer)]
