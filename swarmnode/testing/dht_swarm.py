"""Many Kademlia machines in one process, passing their messages directly: no host, no reactor, one seed.

Time is the swarm's own. Every message takes a random time on its way; a first contact makes both sides
known to each other as servers, as connecting and identify do.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from nacl.signing import SigningKey

from swarmnode.protocols.kademlia import vocabulary as v
from swarmnode.protocols.kademlia.machine import Kademlia
from swarmnode.protocols.kademlia.messages import Kind, decode
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

#: Seconds of Unix time at the swarm's time 0.
EPOCH = 1_700_000_000
#: Seconds for a message, from and to.
DELAYS = (0.005, 0.080)

#: What a node makes of a request instead of answering it: the answer's bytes, or None for none.
Misbehave = Callable[["DhtNode", v.Asked], "bytes | None"]


class DhtNode:
    """One node. book: what it knows of addresses. sent, sent_of: requests it made, in all and
    of each kind. penalised: whom, and why."""

    def __init__(self, swarm: DhtSwarm, number: int) -> None:
        key = SigningKey(swarm.rng.randbytes(32))
        self.swarm, self.number = swarm, number
        self.key = key
        self.peer = peer_id(bytes(key.verify_key))
        self.address = Multiaddr.parse(f"/ip4/10.{number >> 16}.{number >> 8 & 255}.{number & 255}/tcp/8810")
        self.book: dict[str, tuple[Multiaddr, ...]] = {self.peer: (self.address,)}
        self.alive, self.silent = True, False
        self.misbehave: Misbehave | None = None
        self.sent = 0
        self.sent_of: Counter[Kind] = Counter()
        self.bytes_in = 0
        self.skew = 0.0
        self.penalised: list[tuple[str, SwarmnodeError]] = []
        self.results: dict[int, v.QueryResult | SwarmnodeError] = {}
        self.met: set[str] = set()
        self._queries = 0
        self._wake: float | None = None
        self.machine = Kademlia(
            self.peer,
            rng=random.Random(swarm.rng.getrandbits(64)),
            stamp=lambda: EPOCH + swarm.now + self.skew,
            addresses_of=lambda peer: self.book.get(peer, ()),
            public_key=bytes(key.verify_key),
            sign=lambda data: key.sign(data).signature,
        )

    def want(self, make: Callable[[int], Any]) -> int:
        """Begin a query: `make(number)` is its event. Returns the number its result will have."""
        self._queries += 1
        self.tell(make(self._queries))
        return self._queries

    def ask(self, make: Callable[[int], Any], seconds: float = 70.0) -> v.QueryResult | SwarmnodeError:
        """Begin a query and run the swarm until it has a result."""
        number = self.want(make)
        self.swarm.run(seconds, until=lambda: number in self.results)
        return self.results[number]

    def meet(self, other: DhtNode) -> None:
        """Both are connected and know each other as servers."""
        for one, two in ((self, other), (other, self)):
            if two.peer not in one.met:
                one.met.add(two.peer)
                one.book[two.peer] = (two.address,)
                one.tell(v.PeerServes(two.peer, two.address))

    def die(self) -> None:
        """Be gone without a word. Those connected to it notice soon."""
        self.alive = False
        for peer in sorted(self.met):
            self.swarm.after(partial(self.swarm.nodes[peer].tell, v.PeerLeft(self.peer)))

    def tell(self, event: Any | None) -> None:
        """Hand the machine an event and do what it asks for."""
        if not self.alive:
            return
        for effect in self.machine.handle(event, self.swarm.now):
            self._execute(effect)
        deadline = self.machine.deadline
        if deadline is not None and (self._wake is None or deadline < self._wake):
            self._wake = deadline
            self.swarm.at(max(deadline, self.swarm.now), lambda: self._woken(deadline))

    def _woken(self, deadline: float) -> None:
        if self._wake == deadline:
            self._wake = None
            self.tell(None)

    def _execute(self, effect: Any) -> None:
        match effect:
            case v.Rpc():
                self._rpc(effect)
            case v.QueryDone():
                self.results[effect.query] = effect.result
            case v.AddressesLearnt():
                self.book.setdefault(effect.peer, effect.addresses)
            case v.Penalise():
                self.penalised.append((effect.peer, effect.error))

    def _rpc(self, effect: v.Rpc) -> None:
        self.sent += 1
        self.sent_of[decode(effect.data).kind] += 1
        other = self.swarm.nodes.get(effect.peer)
        known = (*effect.addresses, *self.book.get(effect.peer, ()))
        if other is not None and other.silent:
            return
        if other is None or not other.alive or other.address not in known:
            error = Unavailable("Nobody answers there", code="unreachable")
            self.swarm.after(lambda: self.tell(v.RpcFailed(effect.rpc, error)))
            return
        self.swarm.after(lambda: self._arrive(effect, other))

    def _arrive(self, effect: v.Rpc, other: DhtNode) -> None:
        if not other.alive:
            return
        self.meet(other)
        data = other.answer(v.Asked(effect.rpc, self.peer, effect.data, self.address))
        if data is not None:
            self.bytes_in += len(data)
            self.swarm.after(lambda: self.tell(v.Reply(effect.rpc, data, other.address)))
        else:
            gone = Unavailable("The stream was reset", code="stream_reset")
            self.swarm.after(lambda: self.tell(v.RpcFailed(effect.rpc, gone)))

    def answer(self, asked: v.Asked) -> bytes | None:
        """What this node answers; None for a reset."""
        self.bytes_in += len(asked.data)
        if self.misbehave is not None:
            return self.misbehave(self, asked)
        answer: bytes | None = None
        for effect in self.machine.handle(asked, self.swarm.now):
            if isinstance(effect, v.Answer):
                answer = effect.data or b""
            self._execute(effect)
        return answer


class DhtSwarm:
    """Nodes by peer id, in the order they were made."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.nodes: dict[str, DhtNode] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def grow(self, count: int, *, settle: float = 0.5) -> list[DhtNode]:
        """So many nodes more, each of which first meets one that was there already."""
        made = []
        for _ in range(count):
            node = DhtNode(self, len(self.nodes) + 1)
            others = [other for other in self.nodes.values() if other.alive]
            self.nodes[node.peer] = node
            if others:
                node.meet(self.rng.choice(others))
            made.append(node)
            self.run(settle)
        return made

    def at(self, time: float, function: Callable[[], None]) -> None:
        """Call the function then."""
        self._count += 1
        heapq.heappush(self._events, (time, self._count, function))

    def after(self, function: Callable[[], None]) -> None:
        """Call the function after the time a message takes."""
        self.at(self.now + self.rng.uniform(*DELAYS), function)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, until something is so."""
        end = self.now + seconds
        while not until() and self._events and self._events[0][0] <= end:
            self.now, _, function = heapq.heappop(self._events)
            function()
        if not until():
            self.now = end
