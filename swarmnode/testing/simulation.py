"""A simulated swarm: real nodes, a network in memory, one clock and one seed.

    sim = Simulation(seed=1)
    first = sim.node()
    others = [sim.node(bootstrap=[first]) for _ in range(9)]
    sim.run(10)
    sim.crash(others[3])
    sim.run_until(lambda: sim.converged(), limit=15)
    sim.digest()

Everything that is drawn comes from the seed and everything that happens goes into the trace, so the same
scenario has the same digest, wherever it runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from swarmnode.testing.memory_network import LinkConditions, MemoryNetwork, Trace
from swarmnode.testing.sim_clock import SimClock, SimFault
from swarmnode.testing.sim_node import PORT, SimIdentity, SimLog, SimNode, SimStore
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings


class Simulation:
    """full: nodes speak TCP, Noise and yamux; without, connections are passed through memory as they are
    and only what runs over them is real. without: parts of the stack that no node starts. keep: keep the
    trace as text, to find where two runs part."""

    def __init__(
        self,
        seed: int,
        *,
        conditions: LinkConditions | None = None,
        full: bool = False,
        keep: bool = False,
        without: Sequence[str] = (),
    ) -> None:
        self.seed, self.full, self._without = seed, full, tuple(without)
        self.rng = random.Random(seed)
        self.clock, self.trace = SimClock(), Trace(keep=keep)
        self.network = MemoryNetwork(
            self.clock, random.Random(self.rng.getrandbits(64)), conditions, self.trace
        )
        self.nodes: list[SimNode] = []
        #: What is logged by nobody in particular.
        self.log = SimLog("-", self.clock, self.trace)

    # Nodes.

    def node(
        self,
        bootstrap: Sequence[SimNode | Multiaddr] = (),
        *,
        ip: str = "",
        lan: str = "",
        mdns: bool = False,
        network_id: str = "",
        skew: float = 0.0,
        bandwidth: float | None = None,
        store: SimStore | None = None,
        settings: NetworkSettings | None = None,
        without: Sequence[str] | None = None,
        start: bool = True,
    ) -> SimNode:
        """A new node on a machine of its own. lan: the local network on which mDNS reaches others.
        without: in place of the simulation's."""
        number = len(self.nodes) + 1
        ip = ip or address_of(number)
        self.network.machine(ip, lan=lan, bandwidth=bandwidth)
        addresses = tuple(one.address if isinstance(one, SimNode) else one for one in bootstrap)
        settings = replace(
            settings or NetworkSettings(),
            port=PORT,
            bootstrap=addresses,
            enable_mdns=mdns,
            network_id=network_id,
        )
        node = SimNode(
            self.clock,
            self.network,
            SimIdentity.of(self.seed, number),
            ip,
            settings,
            random.Random(self.rng.getrandbits(64)),
            full=self.full,
            skew=skew,
            store=store,
            without=self._without if without is None else without,
        )
        self.nodes.append(node)
        if start:
            self.start(node)
        return node

    def start(self, node: SimNode) -> None:
        """Start it, or start it again."""
        self._happens("start", node)
        with self._logs():
            node.start()

    def stop(self, node: SimNode) -> None:
        """It takes leave and ends."""
        self._happens("stop", node)
        with self._logs():
            node.stop()

    def crash(self, node: SimNode, *, silently: bool = False) -> None:
        """It is killed; silently: its machine loses power."""
        self._happens("crash", node)
        node.crash(silently=silently)

    def hang(self, node: SimNode) -> None:
        """It does nothing from now on; what comes piles up."""
        self._happens("hang", node)
        node.hang()

    def go_on(self, node: SimNode) -> None:
        """It does, and finds all that came meanwhile."""
        self._happens("go on", node)
        node.go_on()

    def partition(self, *groups: Iterable[SimNode]) -> None:
        """Nothing passes between these groups; nodes in none of them are one more."""
        self.trace.note(self.clock.seconds(), "partition")
        self.network.partition(*([node.ip for node in group] for group in groups))

    def heal(self) -> None:
        """Everything passes again."""
        self.trace.note(self.clock.seconds(), "heal")
        self.network.heal()

    # Time.

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.clock.seconds()

    def run(self, seconds: float) -> None:
        """So much time passes."""
        with self._logs():
            self.clock.advance(seconds)

    def run_until(self, predicate: Callable[[], bool], limit: float, *, step: float = 0.1) -> float:
        """Time passes until it is true; the seconds that it took. Raises `SimFault` after `limit` seconds."""
        with self._logs():
            return self.clock.run_until(predicate, limit, step=step)

    def result(self, deferred: Deferred[Any], limit: float = 60.0) -> Any:
        """What comes of it; raises what it fails with."""
        outcome: list[Any] = []
        deferred.addBoth(outcome.append)
        self.run_until(lambda: bool(outcome), limit)
        if hasattr(outcome[0], "raiseException"):
            outcome[0].raiseException()
        return outcome[0]

    def close(self) -> None:
        """End all nodes, so that nothing of them is left."""
        for node in self.nodes:
            if node.process is not None and not node.process.dead:
                node.crash()

    # What can be seen.

    @property
    def running(self) -> list[SimNode]:
        """The nodes that run, or hang."""
        return [node for node in self.nodes if node.running]

    def wrong_views(self, nodes: Iterable[SimNode] | None = None) -> dict[str, tuple[int, int]]:
        """Of those nodes (default: all that run) that do not see exactly each other: how many they miss, and
        how many they see too many."""
        among = list(self.running if nodes is None else nodes)
        everybody = frozenset(node.peer for node in among)
        wrong = {}
        for node in among:
            missing, extra = everybody - {node.peer} - node.members(), node.members() - everybody
            if missing or extra:
                wrong[node.ip] = (len(missing), len(extra))
        return wrong

    def converged(self, nodes: Iterable[SimNode] | None = None) -> bool:
        """Whether these see exactly each other."""
        return not self.wrong_views(nodes)

    def note(self, what: str) -> None:
        """Put something into the trace."""
        self.trace.note(self.clock.seconds(), what)

    def digest(self) -> str:
        """BLAKE3 of everything so far, views included."""
        for node in self.running:
            self.note(f"view {node.ip} {sorted(node.members())} {node.stack.host.peers()}")
        return self.trace.digest()

    def _happens(self, what: str, node: SimNode) -> None:
        self.trace.note(self.clock.seconds(), f"{what} {node.ip} {node.peer}")

    @contextmanager
    def _logs(self) -> Iterator[None]:
        """Parts that have a log of their own say things into the simulation's, not to the terminal."""
        before = structlog.get_config()
        structlog.configure(processors=[self._heard], wrapper_class=structlog.BoundLogger)
        globalLogPublisher.addObserver(self._failure)  # type: ignore[arg-type]
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(self._failure)  # type: ignore[arg-type]
            structlog.configure(**before)

    def _failure(self, event: Any) -> None:
        # Not in the trace: when a Deferred that nobody watches is found depends on the garbage collector.
        failure = event.get("log_failure")
        if failure is not None:
            self.log.lines.append(("error", failure.getErrorMessage(), {"traceback": failure.getTraceback()}))

    def _heard(self, logger: Any, level: str, event: Any) -> Any:
        self.log.say(level, str(event.pop("event", "")), dict(event))
        raise structlog.DropEvent


def address_of(number: int) -> str:
    """The machine of the n-th node. Each is in a /24 of its own: too many of one are taken for one owner."""
    if not 0 < number < 1 << 16:
        raise SimFault(f"there is no room for node {number}")
    return f"10.{number & 255}.{number >> 8}.1"
