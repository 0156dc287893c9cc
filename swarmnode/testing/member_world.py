"""A swarm of membership machines in one process: one clock, one seed, gossip as a flood over connections."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import combinations, count
from random import Random
from typing import Any

from swarmnode.protocols.swarm.member_claims import Claim, Suspicion
from swarmnode.protocols.swarm.membership import Membership
from swarmnode.protocols.swarm.membership_vocabulary import (
    About,
    Alive,
    AskProbe,
    AskView,
    Begin,
    Claimed,
    Connected,
    Disconnected,
    Leave,
    MemberJoined,
    MemberLeft,
    NotViewed,
    Penalise,
    Probed,
    PublishClaim,
    PublishSuspicion,
    Quiet,
    Reach,
    Reached,
    Said,
    Suspected,
    Viewed,
)
from swarmnode.values.multiaddr import Multiaddr

DELAY = (0.01, 0.05)
#: What the connection layer promises: a peer is quiet when nothing was heard for so long.
QUIET_SECONDS, CLOSED_SECONDS = 4.5, 20.0
#: Of the looks at a connection, so many see the answer to a ping.
PING_SHARE = 0.05
UNIX = 1_700_000_000.0


class Node:
    """One machine and the connection layer under it."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.running = self.frozen = False
        self.connections: dict[str, float] = {}
        self.quiet: set[str] = set()
        self.seen: set[tuple[Any, ...]] = set()
        self.joined: list[tuple[float, str]] = []
        self.left: list[tuple[float, str]] = []
        self.blamed: list[str] = []
        self.published = 0
        self.backlog: list[Any] = []
        self.machine: Membership | None = None
        self._armed: float | None = None

    def start(self) -> None:
        world = self.world
        self.machine = Membership(self.name, int((UNIX + world.now) * 1000), world.rng, world.now)
        self.running, self.frozen = True, False
        self.seen.clear()
        self._armed = None
        self.feed(Begin(About((Multiaddr.parse("/ip4/10.0.0.1/tcp/1"),))))

    def view(self) -> set[str]:
        return {member.peer for member in self.machine.members()} if self.machine else set()

    def feed(self, event: Any) -> None:
        if not self.running:
            return
        if self.frozen:
            self.backlog.append(event)
            return
        assert self.machine is not None
        machine = self.machine
        for effect in machine.handle(event, self.world.now):
            self._execute(effect)
        deadline = machine.deadline
        if deadline is not None and (self._armed is None or deadline < self._armed):
            self._armed = deadline
            self.world.later(deadline - self.world.now, lambda: self._due(machine, deadline))

    def _due(self, machine: Membership, deadline: float) -> None:
        if machine is self.machine and self._armed == deadline:
            self._armed = None
            self.feed(None)

    def thaw(self) -> None:
        self.frozen = False
        for event in self.backlog:
            self.feed(event)
        self.backlog.clear()

    def gossip(self, said: Claim | Suspicion, sender: str) -> None:
        """Flood: take it once, pass it on."""
        key = (sender, said)
        if not self.running or self.frozen or key in self.seen:
            return
        self.seen.add(key)
        if sender != self.name:
            self.feed(Claimed(said) if isinstance(said, Claim) else Suspected(said))
        for peer in self.connections:
            self.world.send(self.name, peer, lambda node: node.gossip(said, sender))

    def _execute(self, effect: Any) -> None:
        world = self.world
        match effect:
            case PublishClaim(sequence, about, left):
                self.published += 1
                statement = f"{self.name}/{sequence}".encode()
                claim = Claim(self.name, sequence, left, about.addresses, statement=statement)
                world.claims[statement] = claim
                self.feed(Said(statement))
                self.gossip(claim, self.name)
            case PublishSuspicion(peer, sequence):
                self.published += 1
                self.gossip(Suspicion(self.name, peer, sequence, int(world.now * 1000)), self.name)
            case AskView(peer, after, digest):
                self._ask(peer, lambda node: node.answer_view(self.name, after, digest), NotViewed(peer))
            case AskProbe(asked, peer):
                self._ask(
                    asked,
                    lambda node: Probed(asked, peer, node.machine.hears(peer)),
                    Probed(asked, peer, False),
                )
            case Reach(peer):
                world.later(1.0, lambda: self.feed(Reached(peer, world.connect(self.name, peer))))
            case MemberJoined(member):
                self.joined.append((world.now, member.peer))
            case MemberLeft(member):
                self.left.append((world.now, member.peer))
            case Penalise(peer):
                self.blamed.append(peer)

    def answer_view(self, asker: str, after: str, digest: bytes) -> Viewed:
        assert self.machine is not None
        statements, more = self.machine.view(asker, after, self.world.now, digest)
        return Viewed(self.name, tuple(self.world.claims[one] for one in statements), more)

    def _ask(self, peer: str, question: Any, failed: Any) -> None:
        """A request; what cannot be asked fails after a while."""
        answered: list[bool] = []

        def heard(me: Node, reply: Any) -> None:
            answered.append(True)
            me.feed(reply)

        def answer(node: Node) -> None:
            if node.running and not node.frozen:
                reply = question(node)
                self.world.send(peer, self.name, lambda me: heard(me, reply))

        self.world.send(self.name, peer, answer)
        self.world.later(2.5, lambda: None if answered else self.feed(failed))


class World:
    """The nodes and the network between them."""

    def __init__(self, names: Iterable[str], seed: int) -> None:
        self.now, self.rng = 0.0, Random(seed)
        self.claims: dict[bytes, Claim] = {}
        self._events: list[tuple[float, int, Any]] = []
        self._numbers = count()
        self._cut: set[str] = set()
        self.nodes = {name: Node(self, name) for name in names}
        self.later(0.5, self._pings)

    def later(self, delay: float, what: Any) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._numbers), what))

    def send(self, source: str, target: str, what: Any) -> None:
        def arrive() -> None:
            if target in self.nodes[source].connections and self.reachable(source, target):
                what(self.nodes[target])

        if target in self.nodes[source].connections:
            self.later(self.rng.uniform(*DELAY), arrive)

    def reachable(self, one: str, other: str) -> bool:
        return (one in self._cut) == (other in self._cut)

    def partition(self, names: Iterable[str]) -> None:
        self._cut = set(names)

    def connect(self, one: str, other: str) -> bool:
        first, second = self.nodes[one], self.nodes[other]
        able = first.running and second.running and not second.frozen and self.reachable(one, other)
        if able and other not in first.connections:
            for here, there in ((first, other), (second, one)):
                here.connections[there] = self.now
                here.feed(Connected(there))
        return able

    def disconnect(self, one: str, other: str, *, in_order: bool) -> None:
        for here, there in ((one, other), (other, one)):
            node = self.nodes[here]
            if node.connections.pop(there, None) is not None:
                node.quiet.discard(there)
                node.feed(Disconnected(there, in_order))

    def start_all(self, mesh: int | None = None) -> None:
        """Everybody; connected to all, or to about `mesh` others and all hanging together."""
        names = list(self.nodes)
        for name in names:
            self.nodes[name].start()
        pairs = list(combinations(names, 2))
        if mesh is not None:
            ring = list(zip(names, names[1:] + names[:1], strict=True))
            pairs = ring + self.rng.sample(pairs, (mesh - 2) * len(names) // 2)
        for one, other in pairs:
            self.connect(one, other)

    def kill(self, name: str) -> None:
        """As kill -9: the system closes its connections."""
        node = self.nodes[name]
        node.running = False
        for peer in list(node.connections):
            self.disconnect(name, peer, in_order=False)
        node.machine = None

    def leave(self, name: str) -> None:
        self.nodes[name].feed(Leave())
        self.run(0.2)
        for peer in list(self.nodes[name].connections):
            self.disconnect(name, peer, in_order=True)
        self.nodes[name].running = False

    def run(self, seconds: float) -> None:
        """So much time passes."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            at, _, what = heapq.heappop(self._events)
            self.now = max(self.now, at)
            what()
        self.now = end

    def wrong_views(self, expected: Iterable[str]) -> dict[str, set[str]]:
        """Of those expected to be there: what their view has too many or too few."""
        names = set(expected)
        return {n: wrong for n in sorted(names) if (wrong := self.nodes[n].view() ^ (names - {n}))}

    def _pings(self) -> None:
        """The connection layer: who answers, who is quiet, whom it gives up."""
        for node in list(self.nodes.values()):
            if not node.running or node.frozen:
                continue
            for peer, heard in list(node.connections.items()):
                other = self.nodes[peer]
                if other.running and not other.frozen and self.reachable(node.name, peer):
                    node.connections[peer] = self.now
                    if peer in node.quiet or self.rng.random() < PING_SHARE:
                        node.quiet.discard(peer)
                        node.feed(Alive(peer))
                elif self.now - heard > CLOSED_SECONDS:
                    node.connections.pop(peer)
                    node.quiet.discard(peer)
                    node.feed(Disconnected(peer, False))
                elif self.now - heard > QUIET_SECONDS and peer not in node.quiet:
                    node.quiet.add(peer)
                    node.feed(Quiet(peer))
        self.later(0.25, self._pings)
