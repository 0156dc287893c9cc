"""Hosts on a network in memory, on one `task.Clock`: for tests of whatever runs on a host."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from swarmnode.interfaces.host import Gate, Stream
from swarmnode.network.host import NetworkHost
from swarmnode.testing.memory_carrier import MemoryCarrier, MemoryNet, Way, direct
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.network import LinkInfo, NetworkSettings
from swarmnode.values.peer_id import peer_id

PORT = 8810


@dataclass
class TestLog:
    """Keeps what is logged."""

    __test__ = False
    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **fields: self.lines.append((level, event, fields))

    def of(self, level: str) -> list[str]:
        """The events of one level."""
        return [event for at, event, _ in self.lines if at == level]


@dataclass
class Witness:
    """A `HostWatcher` that remembers."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        self.told.append(("connected", peer))

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        self.told.append(("disconnected", peer, error.code if error else None))

    def peer_quiet(self, peer: str, seconds: float) -> None:
        self.told.append(("quiet", peer))

    def peer_alive(self, peer: str, rtt: float) -> None:
        self.told.append(("alive", peer))

    def changes(self) -> list[tuple[Any, ...]]:
        """Who came and went."""
        return [each for each in self.told if each[0] in ("connected", "disconnected")]


class Recorder:
    """A `StreamReceiver` that remembers. echo: it sends back what comes, and ends when the peer does."""

    def __init__(self, stream: Stream | None = None, *, echo: bool = False) -> None:
        self.stream, self.echo = stream, echo
        self.data = bytearray()
        self.has_ended = False
        self.losses: list[SwarmnodeError | None] = []
        self.drains = 0

    def received(self, data: bytes) -> None:
        assert not self.losses
        self.data += data
        if self.echo and self.stream is not None:
            self.stream.write(data)

    def ended(self) -> None:
        assert not self.losses
        self.has_ended = True
        if self.echo and self.stream is not None:
            self.stream.end()

    def lost(self, error: SwarmnodeError | None) -> None:
        self.losses.append(error)

    def drained(self) -> None:
        self.drains += 1


@dataclass(frozen=True)
class TestIdentity:
    """Who a host is; the number makes the key."""

    __test__ = False
    number: int

    @property
    def peer_id(self) -> str:
        return peer_id(self.number.to_bytes(32, "big"))


@dataclass
class Node:
    """One host and what belongs to it."""

    host: NetworkHost
    carrier: MemoryCarrier
    address: Multiaddr
    log: TestLog
    witness: Witness
    accepted: list[Recorder] = field(default_factory=list)

    @property
    def peer(self) -> str:
        return self.host.peer_id

    def echo(self, protocol: str) -> None:
        """Serve a protocol that sends everything back."""

        def accept(stream: Stream) -> Recorder:
            self.accepted.append(Recorder(stream, echo=True))
            return self.accepted[-1]

        self.host.serve(protocol, accept)


class HostBench:
    """Nodes 1, 2, 3 ... at 10.0.0.1, 10.0.0.2, 10.0.0.3 ..."""

    def __init__(self, way: Way = direct) -> None:
        self.clock = Clock()
        self.net = MemoryNet(self.clock, way)
        self.nodes: dict[int, Node] = {}

    def node(
        self,
        number: int,
        settings: NetworkSettings | None = None,
        *,
        gate: Gate | None = None,
        book: dict[str, tuple[Multiaddr, ...]] | None = None,
        start: bool = True,
        resolve: Any = None,
    ) -> Node:
        """A new one, listening."""
        identity, ip = TestIdentity(number), f"10.0.{number >> 8}.{number & 255}"
        carrier, log, witness = MemoryCarrier(self.net, identity.peer_id, ip), TestLog(), Witness()
        host = NetworkHost(
            identity,
            [carrier],
            self.clock,
            random.Random(number),
            replace(settings or NetworkSettings(), port=PORT),
            lambda peer: (book or {}).get(peer, ()),
            log,
            gate=gate,
            resolve=resolve,
            interfaces=lambda: (ip, "127.0.0.1"),
        )
        host.watch(witness)
        node = self.nodes[number] = Node(host, carrier, tcp_address(ip, PORT), log, witness)
        if start:
            self.result(host.start())
        return node

    def run(self, seconds: float, step: float = 0.01) -> None:
        """Time passes, in small steps, so that what happens meanwhile happens in its order."""
        for _ in range(max(1, round(seconds / step))):
            self.clock.advance(step)

    def result(self, deferred: Deferred[Any], seconds: float = 1.0) -> Any:
        """What the Deferred fires with within so long; raises what it fails with."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        waited = 0.0
        while not results and waited < seconds:
            self.run(0.01)
            waited += 0.01
        assert results, "nothing came of it"
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]
