"""Two nodes: one invites, the other one joins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock

from swarmnode.protocols.swarm.invites import Invite, encode_invite, read_invite
from swarmnode.services.invite import TRIES_A_MINUTE, Invites, Joined
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id


def address(text: str) -> Multiaddr:
    return Multiaddr.parse(text)


class Node:
    """A host and a talk that reach the other nodes of one dictionary."""

    def __init__(self, nodes: dict[str, Node], number: int, *addresses: str) -> None:
        self.nodes, self.peer_id = nodes, peer_id(bytes([number]) * 32)
        nodes[self.peer_id] = self
        self.listens = tuple(map(address, addresses))
        self.handlers: dict[str, Any] = {}
        self.vouched: list[str] = []
        self.dialled: list[tuple[str | None, tuple[Multiaddr, ...]]] = []
        self.found: list[str] = []
        self.invited: dict[str, list[float]] = {}
        self.clock, self.stamp, self.drawn = Clock(), 1000.0, 0
        self.invites = Invites(
            self,
            self,
            self.vouched.append,
            self._add,
            self._use,
            self.clock,
            lambda: self.stamp,
            self._entropy,
            lambda peer, addresses, how: self.found.append(how),
        )
        self.invites.start()

    def _entropy(self, count: int) -> bytes:
        self.drawn += 1
        return bytes([self.drawn]) * count

    def _add(self, token: str, expires: float, uses: int, stamp: float) -> Any:
        self.invited[token] = [expires, uses]
        return succeed(None)

    def _use(self, token: str, stamp: float) -> Any:
        row = self.invited.get(token, [0.0, 0])
        good = row[0] > stamp and row[1] > 0
        row[1] -= 1
        return succeed(good)

    def addresses(self) -> tuple[Multiaddr, ...]:
        return self.listens

    def connect(self, peer: str | None, addresses: Any = ()) -> Deferred[str]:
        self.dialled.append((peer, tuple(addresses)))
        for node in self.nodes.values():
            if set(node.listens) & set(addresses) and peer in (None, node.peer_id):
                return succeed(node.peer_id)
        return fail(Unavailable("nobody answers", code="unreachable"))

    def handle(self, kind: str, handler: Any) -> None:
        self.handlers[kind] = handler

    def ask(self, peer: str, kind: str, fields: Any = None, timeout: float = 1.0) -> Deferred[Any]:
        request = SimpleNamespace(peer=self.peer_id, message=SimpleNamespace(**fields))
        if kind not in self.nodes[peer].handlers:
            return fail(Unavailable("it does not know this", code="unsupported"))
        answer = maybeDeferred(self.nodes[peer].handlers[kind], request)
        return answer.addCallback(lambda reply: SimpleNamespace(message=SimpleNamespace(**reply)))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not needed")


def pair() -> tuple[Node, Node]:
    nodes: dict[str, Node] = {}
    return Node(nodes, 1, "/ip4/192.168.1.5/tcp/1", "/ip4/127.0.0.1/tcp/1"), Node(nodes, 2)


def result(waiting: Deferred[Any]) -> Any:
    """What has come of it; errors are raised."""
    outcome: list[Any] = []
    waiting.addBoth(outcome.append)
    assert outcome, "nothing has come of it"
    if hasattr(outcome[0], "raiseException"):
        outcome[0].raiseException()
    return outcome[0]


def test_both_sides_of_an_invite_vouch_for_each_other():
    host, guest = pair()
    code = result(host.invites.make_code())
    assert result(guest.invites.join(code)) == Joined(host.peer_id, True)
    assert guest.vouched == [host.peer_id]
    assert host.vouched == [guest.peer_id]
    assert guest.found == ["invite"]


def test_a_code_names_loopback_only_when_there_is_nothing_else():
    host, _ = pair()
    assert read_invite(result(host.invites.make_code())).addresses == (address("/ip4/192.168.1.5/tcp/1"),)
    alone = Node({}, 3, "/ip4/127.0.0.1/tcp/1")
    assert read_invite(result(alone.invites.make_code())).addresses == (address("/ip4/127.0.0.1/tcp/1"),)


def test_a_code_is_good_for_sixteen_and_no_more():
    host, _ = pair()
    code = result(host.invites.make_code())
    guests = [Node(host.nodes, number) for number in range(10, 27)]
    joined = [result(guest.invites.join(code)) for guest in guests]
    assert [one.vouched for one in joined] == [True] * 16 + [False]
    assert "used up" in joined[-1].note
    assert guests[-1].vouched == []
    assert len(host.vouched) == 16


def test_an_address_by_itself_connects_and_vouches_for_nobody():
    host, guest = pair()
    joined = result(guest.invites.join("/ip4/192.168.1.5/tcp/1"))
    assert (joined.peer, joined.vouched) == (host.peer_id, False)
    assert guest.vouched == host.vouched == []


def test_a_node_that_knows_no_invites_is_joined_all_the_same():
    host, guest = pair()
    code = result(host.invites.make_code())
    host.handlers.clear()
    joined = result(guest.invites.join(code))
    assert not joined.vouched
    assert "does not know this" in joined.note


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda host, guest: setattr(guest, "stamp", 1000.0 + 8 * 86400), "invite_expired"),
        (lambda host, guest: setattr(host, "listens", ()), "unreachable"),
    ],
)
def test_why_a_code_does_not_work(change: Any, code: str):
    host, guest = pair()
    text = result(host.invites.make_code())
    change(host, guest)
    with pytest.raises(SwarmnodeError) as caught:
        result(guest.invites.join(text))
    assert caught.value.code == code
    assert guest.vouched == []


def test_nobody_joins_himself():
    host, _ = pair()
    with pytest.raises(SwarmnodeError) as caught:
        result(host.invites.join(result(host.invites.make_code())))
    assert caught.value.code == "own_invite"
    assert host.dialled == []


def test_text_that_is_no_code_is_refused_before_anything_is_dialled():
    _, guest = pair()
    with pytest.raises(SwarmnodeError) as caught:
        result(guest.invites.join("swarm://abc"))
    assert caught.value.code == "bad_invite"
    assert guest.dialled == []


def test_guessing_tokens_leads_nowhere():
    host, guest = pair()
    result(host.invites.make_code())
    guess = encode_invite(Invite(host.peer_id, host.listens, b"?" * 16, 9e9), guest._entropy)
    joined = [result(guest.invites.join(guess)) for _ in range(TRIES_A_MINUTE + 1)]
    assert not any(one.vouched for one in joined)
    assert "Too many" in joined[-1].note
    assert host.vouched == []


def test_without_an_address_nobody_can_be_invited():
    with pytest.raises(SwarmnodeError) as caught:
        result(Node({}, 4).invites.make_code())
    assert caught.value.code == "no_address"
