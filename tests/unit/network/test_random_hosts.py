"""Whatever hosts do to one another, nobody is left waiting, and every receiver loses its stream once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from swarmnode.services.prove_network import NetworkProof
from swarmnode.testing.host_bench import HostBench, Recorder
from swarmnode.values.errors import PeerFault
from swarmnode.values.network import NetworkSettings

ECHO, OTHER = "/test/echo/1", "/test/other/1"
COUNT = 4
ACTS = (
    *("connect", "open", "cancel", "write", "end", "reset", "pause", "resume"),
    *("drop", "fault", "slow", "cut", "heal", "wait"),
)
STEPS = st.tuples(
    st.sampled_from(ACTS),
    st.integers(1, COUNT),
    st.integers(1, COUNT),
    st.integers(0, 30),
)


class Story:
    """Four hosts and what was asked of them."""

    def __init__(self, private: bool) -> None:
        self.bench = HostBench()
        book: dict[str, Any] = {}
        for number in range(1, COUNT + 1):
            gate = NetworkProof("home", self.bench.clock) if private else None
            node = self.bench.node(number, NetworkSettings(max_peers=2), gate=gate, book=book)
            book[node.peer] = (node.address,)
            node.echo(ECHO)
        self.asked: list[tuple[Deferred[Any], list[Any]]] = []
        self.streams: list[tuple[Any, Recorder]] = []
        self.receivers: list[tuple[Recorder, list[Any]]] = []

    def ask(self, deferred: Deferred[Any]) -> list[Any]:
        results: list[Any] = []
        self.asked.append((deferred, results))
        deferred.addBoth(lambda result: results.append(result))
        return results

    def open(self, host: Any, peer: str, protocols: list[str]) -> None:
        receiver = Recorder()
        opening = host.open(peer, protocols, receiver)
        opening.addCallback(lambda stream: self.streams.append((stream, receiver)) or stream)
        self.receivers.append((receiver, self.ask(opening)))

    def take(self, step: tuple[str, int, int, int]) -> None:
        what, first, second, number = step
        node, other = self.bench.nodes[first], self.bench.nodes[second]
        stream = self.streams[number % len(self.streams)][0] if self.streams else None
        if what == "connect":
            addresses = [other.address, self.bench.nodes[number % COUNT + 1].address]
            self.ask(node.host.connect(None if number % 3 == 0 else other.peer, addresses[: number % 3]))
        elif what == "open":
            self.open(node.host, other.peer, [[ECHO], [OTHER], [OTHER, ECHO]][number % 3])
        elif what == "cancel" and self.asked:
            self.asked[number % len(self.asked)][0].cancel()
        elif what == "write" and stream is not None:
            stream.write(bytes(number * 20_000))
        elif what in ("end", "reset", "pause", "resume") and stream is not None:
            getattr(stream, what)()
        elif what in ("drop", "fault"):
            node.host.disconnect(other.peer, PeerFault("it lies", code="lie") if what == "fault" else None)
        elif what == "slow":
            self.bench.net.way = lambda source, target, size: number / 100
        elif what == "cut":
            self.bench.net.way = lambda source, target, size: None if source == f"10.0.0.{first}" else 0.0
        elif what == "heal":
            self.bench.net.way = lambda source, target, size: 0.0
        else:
            self.bench.run(number * number / 50, 0.1)

    def end(self) -> None:
        for node in self.bench.nodes.values():
            self.ask(node.host.stop())
        self.bench.run(40, 0.1)


@settings(max_examples=120, deadline=None)
@given(st.lists(STEPS, min_size=20, max_size=60), st.booleans())
def test_nobody_is_left_waiting(steps: list[tuple[str, int, int, int]], private: bool) -> None:
    story = Story(private)
    for step in steps:
        story.take(step)
        for node in story.bench.nodes.values():
            assert len(node.host.peers()) <= 2
            assert node.peer not in node.host.peers()
    story.end()
    assert all(len(results) == 1 for _, results in story.asked)
    opened = {id(receiver) for _, receiver in story.streams}
    for receiver, _ in story.receivers:
        assert len(receiver.losses) == (id(receiver) in opened)
    for node in story.bench.nodes.values():
        assert all(len(receiver.losses) == 1 for receiver in node.accepted)
        came = Counter(kind for kind, *_ in node.witness.changes())
        assert came["connected"] == came["disconnected"]
        assert not node.log.of("error")
        assert not node.host._links
    assert story.bench.clock.getDelayedCalls() == []
