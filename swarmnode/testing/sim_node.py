"""One simulated node: the same network as in the real node (`network_stack`), on a simulated machine."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from nacl.signing import SigningKey

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host
from swarmnode.network.find_by_mdns import FindByMdns
from swarmnode.network.tcp import TcpCarrier
from swarmnode.network_stack import NetworkStack, NetworkStores, Surroundings, build_network
from swarmnode.protocols.identity.handover import Signer
from swarmnode.testing.memory_carrier import MemoryCarrier
from swarmnode.testing.memory_network import MemoryNetwork, Trace
from swarmnode.testing.memory_tcp import MemoryPort, MemoryReactor
from swarmnode.testing.sim_clock import ProcessClock, SimClock, SimFault
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id

PORT = 8810
#: The wall clock when a simulation begins, Unix seconds.
UNIX = 1_700_000_000.0
#: Lines of one node's log that are kept.
MAX_LINES = 10_000


class Carrying(Protocol):
    """A node's way into the network, and how it is cut off."""

    def crash(self, *, silently: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class SimIdentity:
    """Who a node is. The same number and seed make the same key."""

    peer_id: str
    public_key: bytes
    key: SigningKey

    @classmethod
    def of(cls, seed: int, number: int) -> SimIdentity:
        """The identity of a node of a simulation."""
        key = SigningKey(sha256(b"simulated node %d %d" % (seed, number)).digest())
        public = bytes(key.verify_key)
        return cls(peer_id(public), public, key)

    def sign(self, message: bytes) -> bytes:
        """Ed25519, 64 bytes."""
        return bytes(self.key.sign(message).signature)

    @property
    def signer(self) -> Signer:
        """The same, as machines want it."""
        return Signer(self.public_key, self.sign)


@dataclass(slots=True)
class SimLog:
    """What a node logs: warnings and errors are kept, and all of it is in the trace."""

    ip: str
    clock: Clock
    trace: Trace
    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __getattr__(self, level: str) -> Callable[..., None]:
        if level.startswith("_"):
            raise AttributeError(level)
        return lambda event, **fields: self.say(level, event, fields)

    def say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """One line."""
        told = " ".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "exc_info")
        self.trace.note(self.clock.seconds(), f"log {self.ip} {level} {event} {told}")
        if level in ("warning", "error", "exception") and len(self.lines) < MAX_LINES:
            self.lines.append((level, event, fields))

    def of(self, level: str) -> list[str]:
        """The events of one level."""
        return [event for at, event, _ in self.lines if at == level]


@dataclass(slots=True)
class SimStore:
    """What outlives a node."""

    known: tuple[KnownPeer, ...] = ()
    trust: dict[str, Any] = field(default_factory=dict)

    def stores(self) -> NetworkStores:
        """As `build_network` wants it."""
        return NetworkStores(
            load_trust=lambda: tuple(self.trust.values()),
            save_trust=self._save_trust,
            load_known=lambda: self.known,
            save_known=self._save_known,
        )

    def _save_known(self, peers: Sequence[KnownPeer]) -> None:
        self.known = tuple(peers)

    def _save_trust(self, changed: Sequence[Any], gone: Sequence[str]) -> None:
        for one in changed:
            self.trust[one.peer] = one
        for peer in gone:
            self.trust.pop(peer, None)


class SimNode:
    """A node. skew: seconds that its wall clock is ahead. stack: its network while it runs. full: with TCP,
    Noise and yamux; without them connections are passed through memory as they are. without: names of parts
    of the stack that are not started, where a simulation is too large for all."""

    def __init__(
        self,
        clock: SimClock,
        network: MemoryNetwork,
        identity: SimIdentity,
        ip: str,
        settings: NetworkSettings,
        rng: random.Random,
        *,
        full: bool = False,
        skew: float = 0.0,
        store: SimStore | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self._clock, self._network, self._rng = clock, network, rng
        self.identity, self.ip, self.settings, self.full, self.skew = identity, ip, settings, full, skew
        self.peer, self.address = identity.peer_id, tcp_address(ip, settings.port)
        self._without = tuple(without)
        self.store = store if store is not None else SimStore()
        self.log = SimLog(ip, clock, network.trace)
        self.machine = network.machine(ip)
        self.process: ProcessClock | None = None
        self._stack: NetworkStack | None = None
        self._carrier: Carrying | None = None

    @property
    def stack(self) -> NetworkStack:
        """Raises `SimFault` when it does not run."""
        if self._stack is None:
            raise SimFault(f"the node {self.ip} does not run")
        return self._stack

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended; also while it hangs."""
        return self._stack is not None

    def seen_as(self) -> Multiaddr:
        """Its address with its peer id, for others to begin with."""
        return Multiaddr((*self.address.parts, ("p2p", self.peer)))

    def stamp(self) -> float:
        """Its wall clock, Unix seconds."""
        return UNIX + self._clock.seconds() + self.skew

    def start(self) -> None:
        """Start it, anew where it ran before."""
        if self._stack is not None:
            raise SimFault(f"the node {self.ip} runs already")
        process = self.process = self._clock.process()
        self.machine.process = process
        rng = random.Random(self._rng.getrandbits(64))
        world = Surroundings(
            clock=process,
            stamp=self.stamp,
            rng=rng,
            entropy=rng.randbytes,
            log=self.log,
            stores=self.store.stores(),
            listen=(self.address,),
            interfaces=lambda: (self.ip,),
            searches=lambda host, found: self._searches(host, found, process, rng),
        )
        carrier = self._make_carrier(process, rng)
        self._stack = build_network(self.identity, [carrier], self.settings, world)
        for name in self._without:
            part = getattr(self._stack, name)
            part.start = part.stop = _idle
        self._stack.start()

    def stop(self) -> None:
        """Take leave and end; what it has to say is said while time passes."""
        stack, self._stack = self.stack, None
        stack.stop()

    def crash(self, *, silently: bool = False) -> None:
        """kill -9: its connections break. silently: its machine went too, and nobody says so."""
        if self.process is None or self._carrier is None:
            raise SimFault(f"the node {self.ip} was never started")
        self._stack = None
        self.process.kill()
        self._carrier.crash(silently=silently)
        self.machine.listens.clear()

    def hang(self) -> None:
        """SIGSTOP."""
        if self.process is not None:
            self.process.pause()

    def go_on(self) -> None:
        """SIGCONT."""
        if self.process is not None:
            self.process.resume()

    def peers(self) -> frozenset[str]:
        """Those connected."""
        return frozenset(self.stack.host.peers())

    def members(self) -> frozenset[str]:
        """Those it believes to be there."""
        return frozenset(member.peer for member in self.stack.swarm.members())

    def _make_carrier(self, process: ProcessClock, rng: random.Random) -> Any:
        if not self.full:
            carrier = MemoryCarrier(self._network, self.peer, self.ip, process)
            self._carrier = carrier
            return carrier
        reactor = MemoryReactor(self._network, self.ip, process)
        self._carrier = reactor
        return TcpCarrier(
            self.identity,
            reactor,
            rng.randbytes,
            MemoryPort(reactor, self.settings.port),  # type: ignore[arg-type]
        )

    def _searches(self, host: Host, found: Any, process: ProcessClock, rng: random.Random) -> list[Any]:
        if not self.settings.enable_mdns:
            return []
        socket = self._network.multicast(self.ip, process)
        return [FindByMdns(host, found, self.settings, process, rng=rng, socket=socket, log=self.log)]


def _idle() -> None:
    """In place of starting or stopping something."""
