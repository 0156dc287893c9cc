"""Sealed payloads between nodes on one clock, carried by somebody else."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from twisted.internet.task import Clock

from swarmnode.protocols.swarm.sealing import GRACE_SECONDS, KEY_SECONDS
from swarmnode.protocols.swarm.sealing_key import SealingKey, sign_key
from swarmnode.services import seal_payloads
from swarmnode.services.seal_payloads import SealPayloads
from swarmnode.services.talk_to_peers import PeerTalk
from swarmnode.testing.fake_host import DELAY, FakeNetwork
from swarmnode.values.errors import PeerFault, SwarmnodeError

STAMP = 1_800_000_000.0


class Node:
    """A host that seals and opens. asked: how often its key was."""

    def __init__(self, network: FakeNetwork, number: int, *, tells: Any = None) -> None:
        self.host = network.host(f"/ip4/10.0.0.{number}/tcp/1")
        self.faults: list[tuple[str, str]] = []
        self.talk = PeerTalk(self.host, network.clock)
        drawn = iter(range(1 << 20))
        self.sealing = SealPayloads(
            self.host,
            self.talk,
            network.clock,
            self.host.signer,
            lambda: STAMP + network.clock.seconds(),
            lambda count: sha256(b"%d %d" % (number, next(drawn))).digest()[:count],
            penalise=lambda peer, error: self.faults.append((peer, error.code)),
        )
        self.talk.start()
        if tells is None:
            self.sealing.start()
        else:
            self.talk.handle(seal_payloads.KIND, tells)


class Pair:
    def __init__(self, tells: Any = None) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.ada, self.bob = Node(self.network, 1), Node(self.network, 2, tells=tells)
        self.join()

    def join(self) -> None:
        self.network.join(self.ada.host, self.bob.host, self.bob.host.listening[0])

    def wait(self, seconds: float = 5 * DELAY) -> None:
        for _ in range(5):
            self.clock.advance(seconds / 5)

    def seal(self, plain: bytes = b"17 4 1", session: str = "s") -> Any:
        outcome: list[Any] = []
        sealed = self.ada.sealing.seal(self.bob.host.peer_id, "tokens", session, plain)
        sealed.addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
        if not outcome:
            self.wait()
        return outcome[0]

    def open(self, packet: bytes, session: str = "s") -> bytes:
        return self.bob.sealing.open(packet, "tokens", session, self.ada.host.peer_id)


def questions(pair: Pair) -> int:
    """How often ada has asked for the key."""
    return sum(stream.written.count(seal_payloads.KIND.encode()) for stream in pair.ada.host.streams)


def test_the_recipient_reads_what_was_sealed() -> None:
    pair = Pair()
    first = pair.seal(b"17 4 1")
    assert b"17 4 1" not in first
    assert pair.open(first) == b"17 4 1"
    assert pair.open(pair.seal(b"more")) == b"more"
    assert pair.open(pair.seal(b"other", "s2"), "s2") == b"other"
    assert questions(pair) == 1, "one key is enough for all sessions"


def test_keys_are_renewed_every_ten_minutes_and_sessions_go_on() -> None:
    pair = Pair()
    early, late = pair.seal(b"early"), pair.seal(b"late")
    pair.wait(KEY_SECONDS)
    renewed = pair.seal(b"renewed")
    assert questions(pair) == 2
    assert pair.open(renewed) == b"renewed"
    assert pair.open(early) == b"early"
    pair.wait(GRACE_SECONDS + 1)
    with pytest.raises(SwarmnodeError) as caught:
        pair.open(late)
    assert caught.value.code == "sealing_key_old"


def test_what_is_kept_of_a_peer_goes_with_it() -> None:
    pair = Pair()
    pair.seal()
    pair.network.part(pair.ada.host, pair.bob.host)
    assert pair.seal().code == "unreachable"
    pair.join()
    assert pair.open(pair.seal(b"back")) == b"back"


def test_a_key_that_is_another_peers_is_a_fault() -> None:
    pair = Pair(tells=lambda request: {"statement": statement})
    key = SealingKey(pair.ada.host.peer_id, bytes(range(32)), 600.0)
    statement = sign_key(pair.ada.host.signer, key, int(STAMP))
    outcome = pair.seal()
    assert isinstance(outcome, PeerFault)
    assert pair.ada.faults == [(pair.bob.host.peer_id, "signature_violation")]


def test_a_key_that_is_none_is_a_fault() -> None:
    pair = Pair(tells=lambda request: {"statement": b"rubbish"})
    assert isinstance(pair.seal(), PeerFault)
    assert len(pair.ada.faults) == 1


def test_sessions_and_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal_payloads, "MAX_SESSIONS", 2)
    monkeypatch.setattr(seal_payloads, "MAX_KEYS", 1)
    pair = Pair()
    for number in range(5):
        assert pair.open(pair.seal(b"x", f"s{number}"), f"s{number}") == b"x"
    assert len(pair.ada.sealing._sealers) == 2
    assert pair.open(pair.seal(b"again", "s0"), "s0") == b"again"


def test_what_is_too_long_fails() -> None:
    pair = Pair()
    pair.seal()
    assert pair.seal(bytes(33 << 20)).code == "message_too_large"


def test_after_the_end_no_timer_is_left() -> None:
    pair = Pair()
    pair.seal()
    pair.ada.sealing.stop()
    pair.bob.sealing.stop()
    pair.wait()
    assert pair.clock.getDelayedCalls() == []
