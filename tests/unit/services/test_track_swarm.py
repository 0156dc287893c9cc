"""Membership between real signatures, over hosts, gossip and requests that are lists."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from nacl.signing import SigningKey
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.member_claims import sign_claim, sign_suspicion
from swarmnode.protocols.swarm.membership_vocabulary import Gone
from swarmnode.protocols.swarm.messages import KINDS
from swarmnode.services.track_swarm import LOOK_SECONDS, MAX_AHEAD_MS, REQUESTS_A_MINUTE, TrackSwarm
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo
from swarmnode.values.peer_id import peer_id

STAMP = 1_700_000_000.0


class Node:
    """A host, a broadcast and a talk between the nodes of one dictionary."""

    def __init__(self, nodes: dict[str, Node], number: int, clock: Clock) -> None:
        key = SigningKey(bytes([number]) * 32)
        self.signer = Signer(bytes(key.verify_key), lambda data: key.sign(data).signature)
        self.peer_id = peer_id(self.signer.public_key)
        nodes[self.peer_id] = self
        self.nodes, self.clock = nodes, clock
        self.listens: tuple[Multiaddr, ...] = (Multiaddr.parse(f"/ip4/10.0.0.{number}/tcp/1"),)
        self.linked: list[str] = []
        self.rtts: dict[str, float] = {}
        self.watchers: list[Any] = []
        self.handlers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.blamed: list[tuple[str, str]] = []
        self.told: list[tuple[Any, ...]] = []
        self.swarm = TrackSwarm(
            self,
            clock,
            Random(number),
            lambda: STAMP + clock.seconds(),
            self.signer,
            self,
            self,
            facts=lambda: b"facts",
            penalise=lambda peer, error: self.blamed.append((peer, error.code)),
        )
        self.swarm.watch(self)
        self.swarm.start()

    # The host.

    def addresses(self) -> tuple[Multiaddr, ...]:
        return self.listens

    def peers(self) -> tuple[str, ...]:
        return tuple(self.linked)

    def rtt(self, peer: str) -> float | None:
        return self.rtts.get(peer)

    def watch(self, watcher: Any) -> None:
        self.watchers.append(watcher)

    def connect(self, peer: str, addresses: Any = ()) -> Deferred[str]:
        return fail(Unavailable("nobody answers", code="unreachable"))

    def link(self, other: Node) -> None:
        for here, there in ((self, other), (other, self)):
            here.linked.append(there.peer_id)
            info = LinkInfo(1, there.peer_id, there.listens[0], None, False, "tcp", 0.0)
            for watcher in here.watchers:
                watcher.peer_connected(there.peer_id, info)
        self.clock.advance(0)

    def lose(self, other: Node, error: SwarmnodeError | None) -> None:
        self.linked.remove(other.peer_id)
        for watcher in self.watchers:
            watcher.peer_disconnected(other.peer_id, error)

    # The broadcast: everybody hears everybody.

    def on(self, kind: str, listener: Any, check: Any = None) -> None:
        self.listener, self.check = listener, check

    def publish(self, kind: str, /, **fields: Any) -> None:
        message = KINDS[kind].new(peer=self.peer_id, **fields)
        for node in self.nodes.values():
            if node is not self and hasattr(node, "listener"):
                node.hear(self.peer_id, message)

    def hear(self, sender: str, message: Any) -> None:
        self.check(sender, message)
        self.listener(sender, SimpleNamespace(message=message))

    # The talk.

    def handle(self, kind: str, handler: Any) -> None:
        self.handlers[kind] = handler

    def ask(self, peer: str, kind: str, fields: Any = None, timeout: float = 1.0) -> Deferred[Any]:
        self.asked.append(kind)
        if kind not in self.nodes[peer].handlers:
            return fail(Unavailable("it does not know this", code="unsupported"))
        request = SimpleNamespace(peer=self.peer_id, message=KINDS[kind].new(**fields))
        answer = maybeDeferred(self.nodes[peer].handlers[kind], request)
        return answer.addCallback(lambda reply: SimpleNamespace(message=KINDS[kind].new_reply(**reply)))

    # The listener.

    def member_joined(self, member: Any) -> None:
        self.told.append(("joined", member.peer))

    def member_changed(self, member: Any) -> None:
        pass

    def member_left(self, member: Any, why: Gone) -> None:
        self.told.append(("left", member.peer, why))

    def view(self) -> set[str]:
        return {member.peer for member in self.swarm.members()}


def three() -> tuple[Node, Node, Node, Clock]:
    clock, nodes = Clock(), {}
    a, b, c = (Node(nodes, number, clock) for number in (1, 2, 3))
    a.link(b)
    b.link(c)
    advance(clock, 12)
    return a, b, c, clock


def advance(clock: Clock, seconds: float) -> None:
    clock.pump([0.1] * round(seconds * 10))


def test_everybody_knows_everybody_with_what_was_signed():
    a, b, c, _ = three()
    assert a.view() == {b.peer_id, c.peer_id}
    assert b.view() == {a.peer_id, c.peer_id}
    assert c.view() == {a.peer_id, b.peer_id}
    member = a.swarm.member(c.peer_id)
    assert (member.addresses, member.facts, member.state) == (c.listens, b"facts", "alive")
    assert a.swarm.member(b.peer_id).known == "direct"
    assert all(node.blamed == [] for node in (a, b, c))


def test_who_joins_late_is_handed_what_was_signed():
    a, b, c, clock = three()
    late = Node(a.nodes, 4, clock)
    late.link(a)
    advance(clock, 0.5)
    assert late.view() == {a.peer_id, b.peer_id, c.peer_id}
    assert late.swarm.member(c.peer_id).known == "view"


def test_a_death_is_told_to_those_who_could_not_see_it():
    a, b, c, clock = three()
    del c.nodes[c.peer_id]
    b.lose(c, Unavailable("the connection broke", code="connection_lost"))
    advance(clock, 1)
    assert a.swarm.member(c.peer_id).state == "suspect"
    advance(clock, 10)
    assert a.view() == {b.peer_id}
    assert a.told[-1] == b.told[-1] == ("left", c.peer_id, Gone.DIED)


def test_a_leave_is_heard_at_once():
    a, _, c, _ = three()
    c.swarm.stop()
    assert a.told[-1] == ("left", c.peer_id, Gone.LEFT)


def test_new_addresses_are_told():
    a, _, c, clock = three()
    c.listens = (*c.listens, Multiaddr.parse("/ip4/100.64.0.1/tcp/1"))
    advance(clock, LOOK_SECONDS + 1)
    assert a.swarm.member(c.peer_id).addresses == c.listens


def test_round_trips_are_measured_or_predicted():
    a, b, c, clock = three()
    a.rtts[b.peer_id] = 0.02
    for _ in range(100):
        a.swarm.peer_alive(b.peer_id, 0.02)
        b.swarm.peer_alive(c.peer_id, 0.03)
    assert (a.swarm.member(b.peer_id).rtt, a.swarm.member(b.peer_id).measured) == (0.02, True)
    advance(clock, 100)
    far = a.swarm.member(c.peer_id)
    assert far.measured is False
    assert 0.001 < far.rtt < 0.2


def test_what_is_forged_stale_or_passed_off_is_refused():
    a, b, c, clock = three()
    now_ms = int((STAMP + clock.seconds()) * 1000)

    def refused(statement: bytes) -> str:
        with pytest.raises(PeerFault) as caught:
            a.hear(b.peer_id, KINDS["member_claim"].new(peer=b.peer_id, statement=statement))
        return caught.value.code

    by_c = sign_claim(c.signer, "", sequence=now_ms + 1, stamp=1)
    assert refused(by_c) == "signature_violation"
    assert refused(sign_suspicion(c.signer, "", a.peer_id, 1, 1)) == "signature_violation"
    assert refused(sign_claim(b.signer, "", sequence=now_ms + MAX_AHEAD_MS + 1000, stamp=1)) == "stale"
    assert refused(sign_claim(b.signer, "other", sequence=now_ms, stamp=1)) == "bad_claim"
    assert refused(b"x") == "bad_statement"


def test_a_peer_that_hands_on_forgeries_is_blamed():
    a, _, _, clock = three()
    liar = Node(a.nodes, 9, clock)
    liar.handlers["member_view"] = lambda request: {"statements": [b"forged"], "more": False}
    a.link(liar)
    advance(clock, 1)
    assert a.blamed == [(liar.peer_id, "bad_statement")]


def test_a_stranger_that_knows_no_swarm_does_no_harm():
    a, b, c, clock = three()
    stranger = Node(a.nodes, 8, clock)
    stranger.swarm.stop()
    stranger.handlers.clear()
    a.link(stranger)
    advance(clock, 30)
    assert a.view() == {b.peer_id, c.peer_id}
    assert a.blamed == []


def test_questions_of_one_peer_are_limited():
    a, b, _, _ = three()
    failures: list[Any] = []
    for _ in range(REQUESTS_A_MINUTE + 5):
        b.ask(a.peer_id, "member_probe", {"peer": "x"}).addErrback(failures.append)
    assert failures
    assert failures[-1].value.code == "too_many_requests"


def test_a_probe_says_who_is_heard():
    a, b, c, _ = three()
    hears = [
        a.ask(b.peer_id, "member_probe", {"peer": peer}).result.message.hears
        for peer in (c.peer_id, "nobody")
    ]
    assert hears == [True, False]
