"""Many gossipsub machines in one process, passing their RPCs directly: no host, no reactor, one seed.

Time is the swarm's own. An RPC takes a random time on its way, keeps its place among those of the same
two peers, and is lost now and then, as when a slow peer's queue is full.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from nacl.signing import SigningKey

from swarmnode.protocols.gossipsub import vocabulary as v
from swarmnode.protocols.gossipsub.machine import GossipMachine
from swarmnode.protocols.gossipsub.parameters import GossipParameters
from swarmnode.values.peer_id import peer_id

#: Seconds for an RPC, from and to.
DELAYS = (0.005, 0.080)


def accept(source: str, data: bytes) -> v.Verdict:
    """The validator of a topic that takes everything."""
    return v.Verdict.ACCEPT


class GossipNode:
    """One node. got: messages delivered here. said: bytes sent. silent: takes everything and does nothing."""

    def __init__(self, swarm: GossipSwarm, number: int, parameters: GossipParameters | None) -> None:
        key = SigningKey(swarm.rng.randbytes(32))
        self.number, self.key = number, key
        self.peer = peer_id(bytes(key.verify_key))
        self.ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        self.machine = GossipMachine(
            self.peer,
            lambda data: key.sign(data).signature,
            random.Random(swarm.rng.getrandbits(64)),
            1_700_000_000_000_000_000,
            parameters,
        )
        self.silent = False
        self.got: list[v.Deliver] = []
        self.penalties: list[tuple[str, str]] = []
        self.connects: list[str] = []
        self.rpcs = self.said = 0
        self.links: dict[str, GossipNode] = {}
        self.wake: float | None = None


class GossipSwarm:
    """trace: called with every RPC that arrives: time, from, to, bytes."""

    def __init__(
        self,
        nodes: int,
        *,
        seed: int = 1,
        loss: float = 0.0,
        parameters: GossipParameters | None = None,
        trace: Callable[[float, int, int, bytes], None] | None = None,
    ) -> None:
        self.rng, self.loss, self.trace, self.now = random.Random(seed), loss, trace, 0.0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._arrivals: dict[tuple[str, str], float] = {}
        self.nodes = [GossipNode(self, number, parameters) for number in range(nodes)]

    def post(self, node: GossipNode, event: v.Event | None) -> None:
        """Give a node's machine an event now."""
        if not node.silent:
            for effect in node.machine.handle(event, self.now):
                self._run_effect(node, effect)
            self._arm(node)

    def connect(self, dialler: GossipNode, listener: GossipNode) -> None:
        """A connection, known to both at once."""
        if dialler is not listener and listener.peer not in dialler.links:
            dialler.links[listener.peer], listener.links[dialler.peer] = listener, dialler
            self.post(dialler, v.PeerAdded(listener.peer, listener.ip, True))
            self.post(listener, v.PeerAdded(dialler.peer, dialler.ip, False))

    def part(self, one: GossipNode, other: GossipNode) -> None:
        """The end of it."""
        if one.links.pop(other.peer, None) is not None:
            del other.links[one.peer]
            self.post(one, v.PeerGone(other.peer))
            self.post(other, v.PeerGone(one.peer))

    def mingle(self, dials: int) -> None:
        """Every node dials so many others, drawn at random."""
        for node in self.nodes:
            for other in self.rng.sample(self.nodes, min(dials + 1, len(self.nodes)))[:dials]:
                self.connect(node, other)

    def subscribe(self, topic: str, validator: v.Validator = accept, **options: Any) -> None:
        """All of them."""
        for node in self.nodes:
            self.post(node, v.Subscribe(topic, validator, **options))

    def send(self, sender: GossipNode, peer: str, data: bytes) -> None:
        """An RPC on its way; whoever plays a hostile node calls this itself."""
        receiver = sender.links.get(peer)
        if receiver is None or self.rng.random() < self.loss:
            return
        sender.rpcs += 1
        sender.said += len(data)
        pair = (sender.peer, peer)
        at = max(self.now + self.rng.uniform(*DELAYS), self._arrivals.get(pair, 0.0))
        self._arrivals[pair] = at
        self.at(at, self._arrive, sender, receiver, data)

    def at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call it at that time."""
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, call, arguments))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, call, arguments = heapq.heappop(self._queue)
            call(*arguments)
        self.now = end

    def reached(self, data: bytes) -> int:
        """How many nodes got the message with this content, its author not counted."""
        return sum(any(got.data == data for got in node.got) for node in self.nodes)

    def _arrive(self, sender: GossipNode, receiver: GossipNode, data: bytes) -> None:
        if sender.peer in receiver.links:
            if self.trace is not None:
                self.trace(self.now, sender.number, receiver.number, data)
            self.post(receiver, v.RpcIn(sender.peer, data))

    def _arm(self, node: GossipNode) -> None:
        deadline = node.machine.deadline
        if deadline is not None and deadline != node.wake:
            node.wake = deadline
            self.at(deadline, self._wake, node, deadline)

    def _wake(self, node: GossipNode, deadline: float) -> None:
        if node.machine.deadline == deadline:
            self.post(node, None)

    def _run_effect(self, node: GossipNode, effect: v.Effect) -> None:
        if isinstance(effect, v.SendRpc):
            self.send(node, effect.peer, effect.data)
        elif isinstance(effect, v.Deliver):
            node.got.append(effect)
        elif isinstance(effect, v.Penalise):
            node.penalties.append((effect.peer, effect.error.code))
        elif isinstance(effect, v.ConnectTo):
            node.connects.append(effect.peer)
        elif isinstance(effect, v.Disconnect):
            node.penalties.append((effect.peer, effect.error.code))
            other = node.links.get(effect.peer)
            if other is not None:
                self.part(node, other)
