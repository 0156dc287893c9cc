"""The one owner of scores: events, vouches, saving and loading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from swarmnode.policy.trust import TrustEvent, Vouch
from swarmnode.protocols.pool.limits import PROTECTED_WEIGHT
from swarmnode.services import keep_trust
from swarmnode.services.keep_trust import SAVE_SECONDS, KeepTrust
from swarmnode.values.errors import PeerFault, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo
from swarmnode.values.trust import KeptTrust


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def _line(self, event: str, **_: Any) -> None:
        """Named as with structlog: no field may have this name."""
        self.lines.append(event)

    info = warning = error = _line


class Peers:
    def __init__(self) -> None:
        self.connected: dict[str, LinkInfo] = {}
        self.watchers: list[Any] = []
        self.weights: dict[str, float] = {}

    def peers(self) -> tuple[str, ...]:
        return tuple(self.connected)

    def links(self, peer: str) -> tuple[LinkInfo, ...]:
        return (self.connected[peer],)

    def weigh(self, peer: str, tag: str, weight: float) -> None:
        assert tag == "vouched"
        self.weights[peer] = weight

    def watch(self, watcher: Any) -> None:
        self.watchers.append(watcher)

    def connect(self, peer: str, remote: str, local: str = "/ip4/10.0.0.1/tcp/1") -> None:
        link = LinkInfo(1, peer, Multiaddr.parse(remote), Multiaddr.parse(local), False, "tcp", 0.0)
        self.connected[peer] = link
        for watcher in self.watchers:
            watcher.peer_connected(peer, link)


class Store:
    def __init__(self) -> None:
        self.rows: dict[str, KeptTrust] = {}
        self.saves = 0
        self.broken = False

    def load(self) -> list[KeptTrust]:
        return list(self.rows.values())

    def save(self, changed: Sequence[KeptTrust], forgotten: Sequence[str]) -> Any:
        if self.broken:
            return fail(OSError("the disk is full"))
        self.saves += 1
        for peer in forgotten:
            self.rows.pop(peer, None)
        self.rows.update({kept.peer: kept for kept in changed})
        return None


class World:
    def __init__(self, store: Store | None = None, stamp: float = 1000.0, **options: Any) -> None:
        self.clock, self.peers, self.log = Clock(), Peers(), Log()
        self.store = store or Store()
        self.trust = KeepTrust(
            self.peers,
            self.clock,
            lambda: stamp + self.clock.seconds(),
            options.pop("load", self.store.load),
            self.store.save,
            self.log,
            **options,
        )


def test_events_move_a_score_and_time_brings_it_back():
    world = World()
    world.trust.start()
    world.trust.record("p", TrustEvent.SPOT_CHECK_FAIL)
    assert world.trust.score("p") == pytest.approx(0.3)
    world.clock.advance(30)
    assert world.trust.score("p") == pytest.approx(0.4 - 0.099)
    assert world.trust.score("unknown") == 0.4


def test_an_error_costs_what_its_code_says_and_others_nothing():
    world = World()
    world.trust.penalise("a", PeerFault("x", code="bad_signature"))
    world.trust.penalise("b", PeerFault("x", code="bad_message"))
    world.trust.penalise("c", Unavailable("x", code="timeout"))
    assert [world.trust.score(peer) for peer in "abc"] == pytest.approx([0.2, 0.35, 0.4])
    assert [known.peer for known in world.trust.snapshot()] == ["a", "b"]


def test_what_a_peer_does_to_its_connection_costs_once():
    world = World()
    world.trust.start()
    told = PeerFault("x", code="bad_message")
    world.trust.penalise("told", told)
    world.trust.peer_disconnected("told", told)
    world.trust.peer_disconnected("caught", PeerFault("x", code="window_overrun"))
    world.trust.peer_disconnected("gone", Unavailable("x", code="peer_silent"))
    assert [world.trust.score(peer) for peer in ("told", "caught", "gone")] == pytest.approx(
        [0.35, 0.35, 0.4]
    )
    assert world.log.lines == ["a peer lost trust"] * 2


def test_a_vouch_counts_once_for_each_reason_and_can_be_withdrawn():
    world = World(vouched={"friend": Vouch.SETTINGS})
    trust = world.trust
    assert trust.score("friend") == 0.6
    trust.record("p", TrustEvent.INVALID_GOSSIP)
    for _ in range(3):
        trust.vouch("p", Vouch.INVITE)
    trust.vouch("p", Vouch.POOL)
    assert trust.score("p") == pytest.approx(0.55)
    assert [known.vouches for known in trust.snapshot()] == [("settings",), ("invite", "pool")]
    trust.withdraw("p", Vouch.INVITE)
    assert trust.score("p") == pytest.approx(0.55)
    trust.withdraw("p", Vouch.POOL)
    assert trust.score("p") == pytest.approx(0.35)
    assert not trust.is_vouched("p")


def test_a_peer_on_this_machine_is_vouched_for_while_it_is_connected():
    world = World()
    world.peers.connect("before", "/ip4/127.0.0.1/tcp/5", "/ip4/127.0.0.1/tcp/6")
    world.trust.start()
    world.peers.connect("here", "/ip6/::1/tcp/5", "/ip6/::1/tcp/6")
    world.peers.connect("lan", "/ip4/192.168.1.9/tcp/5")
    assert [world.trust.score(peer) for peer in ("before", "here", "lan")] == pytest.approx([0.6, 0.6, 0.4])
    world.trust.peer_disconnected("here", None)
    assert world.trust.score("here") == pytest.approx(0.4)


def test_scores_survive_a_restart_and_time_passes_meanwhile():
    first = World()
    first.trust.start()
    first.trust.record("bad", TrustEvent.SIGNATURE_VIOLATION)
    first.trust.vouch("guest", Vouch.INVITE)
    first.trust.vouch("near", Vouch.LOOPBACK)
    first.trust.stop()
    assert sorted(first.store.rows) == ["bad", "guest"]
    second = World(first.store, stamp=1030.0)
    second.trust.start()
    assert second.trust.score("bad") == pytest.approx(0.4 - 0.2 * 0.99)
    assert second.trust.score("guest") == pytest.approx(0.6)
    assert second.trust.is_vouched("guest")
    assert second.trust.score("near") == 0.4


def test_the_clock_set_back_over_a_restart_hurts_nobody():
    store = Store()
    store.rows["p"] = KeptTrust("p", 0.9, 0.4, 5000.0)
    world = World(store, stamp=1000.0)
    world.trust.start()
    assert world.trust.score("p") == pytest.approx(0.9)


def test_it_is_saved_each_minute_when_something_changed():
    world = World()
    world.trust.start()
    world.clock.advance(SAVE_SECONDS)
    assert world.store.saves == 0
    world.trust.record("p", TrustEvent.INFERENCE_SUCCESS)
    world.clock.advance(SAVE_SECONDS)
    world.clock.advance(SAVE_SECONDS)
    assert world.store.saves == 1
    assert list(world.store.rows) == ["p"]


def test_what_could_not_be_saved_is_saved_later():
    world = World()
    world.trust.start()
    world.trust.record("p", TrustEvent.SPOT_CHECK_FAIL)
    world.store.broken = True
    world.clock.advance(SAVE_SECONDS)
    assert world.log.lines == ["trust in peers could not be saved"]
    world.store.broken = False
    world.clock.advance(SAVE_SECONDS)
    assert list(world.store.rows) == ["p"]


def test_nothing_is_written_over_before_it_was_read_and_what_happened_early_counts():
    reading: Deferred[list[KeptTrust]] = Deferred()
    world = World(load=lambda: reading, vouched={"friend": Vouch.SETTINGS})
    world.trust.start()
    world.trust.record("p", TrustEvent.SPOT_CHECK_FAIL)
    world.clock.advance(SAVE_SECONDS)
    world.trust.stop()
    assert world.store.saves == 0
    again = World(load=lambda: [KeptTrust("friend", 0.3, 0.4, 1000.0)], vouched={"friend": Vouch.SETTINGS})
    again.trust.record("friend", TrustEvent.SPOT_CHECK_FAIL)
    again.trust.start()
    assert again.trust.score("friend") == pytest.approx(0.4)


def test_a_store_that_fails_is_told_and_the_node_goes_on():
    world = World(load=lambda: fail(OSError("broken")))
    world.trust.start()
    assert world.log.lines == ["trust in peers could not be read"]
    world.trust.record("p", TrustEvent.INFERENCE_SUCCESS)
    world.trust.stop()
    assert list(world.store.rows) == ["p"]


def test_there_are_only_so_many_scores_and_friends_stay(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keep_trust, "MAX_PEERS", 600)
    world = World(vouched={"friend": Vouch.SETTINGS})
    world.trust.start()
    world.trust.record("bad", TrustEvent.SIGNATURE_VIOLATION)
    for number in range(700):
        world.trust.record(f"p{number}", TrustEvent.INFERENCE_SUCCESS)
    peers = {known.peer for known in world.trust.snapshot()}
    assert len(peers) <= 600
    assert {"friend", "bad"} <= peers
    world.trust.stop()
    assert set(world.store.rows) <= peers


def test_a_crowd_from_one_subnet_loses_trust_each_cycle():
    world = World(vouched={"p0": Vouch.SETTINGS})
    world.trust.start()
    for number in range(6):
        world.peers.connect(f"p{number}", f"/ip4/8.8.8.{number}/tcp/1")
    world.clock.advance(30)
    assert world.trust.score("p1") == pytest.approx(0.37)
    assert world.trust.score("p0") == 0.6


def test_listeners_hear_of_moves_and_one_that_fails_harms_nobody():
    world = World()
    heard: list[tuple[str, float]] = []

    def broken(peer: str, score: float) -> None:
        raise RuntimeError("x")

    world.trust.watch(broken)
    world.trust.watch(lambda peer, score: heard.append((peer, score)))
    world.trust.record("p", TrustEvent.VALID_TRANSACTION)
    assert heard == [("p", pytest.approx(0.42))]
    assert world.log.lines == ["a listener to trust failed"]


def test_whom_the_user_stands_up_for_keeps_its_connection() -> None:
    store = Store()
    store.rows["friend"] = KeptTrust("friend", 0.6, 0.6, 900.0)
    world = World(store, vouched={"named": Vouch.SETTINGS})
    world.trust.start()
    world.trust.vouch("guest", Vouch.INVITE)
    world.peers.connect("local", "/ip4/127.0.0.1/tcp/2", "/ip4/127.0.0.1/tcp/1")
    assert world.peers.weights == {
        "named": PROTECTED_WEIGHT,
        "friend": PROTECTED_WEIGHT,
        "guest": PROTECTED_WEIGHT,
        "local": 0.0,
    }
    world.trust.withdraw("guest", Vouch.INVITE)
    assert world.peers.weights["guest"] == 0.0
