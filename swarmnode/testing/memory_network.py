"""What happens between machines in a simulation: delay, jitter, loss, bandwidth, partitions, machines that
hang, and multicast on a local network. `testing.memory_carrier` and `testing.memory_tcp` run over it.

Everything is drawn from one generator of chance on one clock, and everything that is sent is noted in the
trace, so that two runs with the same seed can be compared.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import blake3

from swarmnode.driving.driver import Clock
from swarmnode.testing.memory_carrier import MemoryNet
from swarmnode.testing.sim_clock import ProcessClock

#: Bytes of the headers of IPv4 and TCP, and of IPv4 and UDP.
TCP_HEADER_BYTES, UDP_HEADER_BYTES = 40, 28
#: Lines of the trace that are kept as text, when it is kept at all.
MAX_LINES = 1_000_000


@dataclass(frozen=True, slots=True)
class LinkConditions:
    """One way between two machines. delay, jitter: seconds; each segment takes delay and up to jitter more,
    so that those of two connections, and datagrams, overtake each other. loss: how likely a segment is
    lost; streams send it again. duplicates: how likely a datagram comes twice."""

    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0


@dataclass(slots=True)
class Machine:
    """A computer. bandwidth: bytes per second that it can send, None for any number. lan: its local network.
    bytes_in: what it got, headers of IP and TCP included."""

    ip: str
    lan: str = ""
    bandwidth: float | None = None
    process: ProcessClock | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    segments_in: int = 0
    free_at: float = 0.0
    group: int = 0
    listens: list[MemoryMulticast] = field(default_factory=list)

    @property
    def hangs(self) -> bool:
        """Whether its node is stopped just now: it neither answers nor reads."""
        return self.process is not None and self.process.paused


class Trace:
    """What happened, as a BLAKE3. lines: the same as text, when `keep`."""

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = blake3.blake3()
        self.keep, self.lines = keep, list[str]()

    def note(self, now: float, what: str) -> None:
        """Something happened."""
        self._hash.update(struct.pack("<dI", now, len(what)) + what.encode())
        if self.keep and len(self.lines) < MAX_LINES:
            self.lines.append(f"{now:.6f} {what}")

    def digest(self) -> str:
        """Of all so far; equal for equal histories."""
        return self._hash.hexdigest()


class MemoryNetwork(MemoryNet):
    """The network. conditions: of every way that has none of its own."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        conditions: LinkConditions | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(clock, self._carry)
        self.rng, self.conditions = rng, conditions or LinkConditions()
        self.trace = trace or Trace()
        self.machines: dict[str, Machine] = {}
        self.ports: dict[tuple[str, int], Any] = {}
        self._ways: dict[tuple[str, str], LinkConditions] = {}

    def machine(self, ip: str, *, lan: str = "", bandwidth: float | None = None) -> Machine:
        """The machine with this address; a new one where there is none."""
        if ip not in self.machines:
            self.machines[ip] = Machine(ip, lan, bandwidth)
        return self.machines[ip]

    def link(self, one: str, other: str, conditions: LinkConditions) -> None:
        """Between these two, both ways, things are different."""
        self._ways[one, other] = self._ways[other, one] = conditions

    def partition(self, *groups: Iterable[str]) -> None:
        """Nothing passes between machines of different groups from now on; those in none form one."""
        self.heal()
        for number, group in enumerate(groups, 1):
            for ip in group:
                self.machine(ip).group = number

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        for machine in self.machines.values():
            machine.group = 0

    def multicast(self, ip: str, clock: Clock) -> MemoryMulticast:
        """What mDNS on a machine listens and sends with."""
        return MemoryMulticast(self, self.machine(ip), clock)

    def datagram(self, source: Machine, target: Machine, data: bytes) -> list[float]:
        """When a datagram arrives there: never, once or twice."""
        size = len(data) + UDP_HEADER_BYTES
        delay = self._delay(source, target, size, "udp")
        if delay is None:
            return []
        twice = self.rng.random() < self._conditions(source.ip, target.ip).duplicates
        return [delay, delay + self.rng.random() * 0.1] if twice else [delay]

    def _carry(self, source: str, target: str, size: int) -> float | None:
        return self._delay(self.machine(source), self.machine(target), max(0, size) + TCP_HEADER_BYTES, "tcp")

    def _conditions(self, source: str, target: str) -> LinkConditions:
        return self._ways.get((source, target), self.conditions)

    def _delay(self, source: Machine, target: Machine, size: int, kind: str) -> float | None:
        conditions, now = self._conditions(source.ip, target.ip), self.clock.seconds()
        # A machine whose node hangs still acknowledges, but what its node says does not come.
        is_cut = source.group != target.group or source.hangs
        is_lost = conditions.loss > 0 and self.rng.random() < conditions.loss
        if is_cut or is_lost:
            self.trace.note(now, f"lost {kind} {source.ip} {target.ip} {size}")
            return None
        delay = conditions.delay
        if conditions.jitter > 0:
            delay += self.rng.random() * conditions.jitter
        if source.bandwidth is not None:
            source.free_at = max(source.free_at, now) + size / source.bandwidth
            delay += source.free_at - now
        source.bytes_out += size
        target.bytes_in += size
        target.segments_in += 1
        self.trace.note(now, f"{kind} {source.ip} {target.ip} {size} {delay}")
        return delay


class MemoryMulticast:
    """Stands in for `network.mdns_socket.MulticastSocket`: reaches everybody on the same local network."""

    def __init__(self, network: MemoryNetwork, machine: Machine, clock: Clock) -> None:
        self._network, self._machine, self._clock = network, machine, clock
        self._received: Callable[[bytes], None] | None = None

    def start(self, received: Callable[[bytes], None]) -> bool:
        """Listen."""
        self._received = received
        self._machine.listens.append(self)
        return True

    def refresh(self) -> None:
        """The interfaces stay as they are."""

    def send(self, packet: bytes) -> None:
        """To everybody there, itself too, as multicast loops back."""
        for other in _on(self._network.machines.values(), self._machine.lan):
            for delay in self._network.datagram(self._machine, other, packet):
                for listening in tuple(other.listens):
                    listening.arrive(delay, packet)

    def arrive(self, delay: float, packet: bytes) -> None:
        """A packet is on its way here."""
        self._clock.callLater(delay, self._take, packet)

    def stop(self) -> None:
        """Listen no more."""
        self._received = None
        if self in self._machine.listens:
            self._machine.listens.remove(self)

    def _take(self, packet: bytes) -> None:
        if self._received is not None:
            self._received(packet)


def _on(machines: Iterable[Machine], lan: str) -> Sequence[Machine]:
    return [machine for machine in machines if machine.lan == lan and machine.listens]
