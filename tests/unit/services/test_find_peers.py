"""Whom a node dials, when, and when again."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from swarmnode.policy.finding import (
    CHOSEN_PEERS,
    MAX_DIALS,
    MAX_FAILURES,
    MAX_WAITING,
    MDNS_PEERS,
    PER_SUBNET,
    WANTED_PEERS,
)
from swarmnode.services.find_peers import REFILL_SECONDS, FindPeers
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.testing.fake_host import DELAY, FakeHost, FakeNetwork
from swarmnode.values.errors import PeerFault, Refused, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings

NOWHERE = Multiaddr.parse("/ip4/10.9.9.9/tcp/1")
LOST = Unavailable("the cable was pulled", code="connection_lost")


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.lines.append((level, event, fields))

    def told(self, level: str) -> list[str]:
        return [event for one, event, _ in self.lines if one == level]


class Bench:
    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.us = self.network.host("/ip4/10.0.0.1/tcp/8810")
        self.book = PeerBook(self.us.peer_id, self.clock.seconds, self.us.addresses)
        self.us.addresses_of = self.book.addresses
        self.us.watch(self.book)
        self.log = Log()
        settings["bootstrap"] = tuple(map(Multiaddr.parse, settings.get("bootstrap", ())))
        self.find = FindPeers(
            self.us, self.book, NetworkSettings(**settings), self.clock, random.Random(1), self.log
        )

    def peer(self, number: int) -> FakeHost:
        return self.network.host(f"/ip4/10.0.{number // 200}.{number % 200 + 2}/tcp/8810")

    def run(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while (calls := self.clock.getDelayedCalls()) and (at := min(c.getTime() for c in calls)) <= end:
            self.clock.advance(max(0.0, at - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    def dials_in(self, seconds: float) -> int:
        before = len(self.us.dials)
        self.run(seconds)
        return len(self.us.dials) - before


def test_bootstrap_addresses_are_dialled_with_and_without_an_id() -> None:
    bench = Bench()
    named, unnamed = bench.peer(0), bench.peer(1)
    bench = Bench(bootstrap=(f"/ip4/10.0.0.2/tcp/8810/p2p/{named.peer_id}", "/ip4/10.0.0.3/tcp/8810"))
    named, unnamed = bench.peer(0), bench.peer(1)
    bench.find.start()
    bench.run(1)
    assert set(bench.us.peers()) == {named.peer_id, unnamed.peer_id}
    facts = bench.book.facts(unnamed.peer_id)
    assert facts is not None and facts.how == "bootstrap"
    assert bench.us.weights[named.peer_id, "found"] == 100
    assert bench.log.told("debug") == ["a peer that was found is connected"] * 2


def test_a_bootstrap_peer_is_tried_until_it_is_there_and_after_it_was_lost() -> None:
    bench = Bench(bootstrap=("/ip4/10.0.0.2/tcp/8810",))
    bench.find.start()
    assert len(bench.us.dials) == 1
    assert bench.dials_in(3.9) == 0
    assert bench.dials_in(80) == 4  # after about 5, 10, 20 and 40 seconds
    assert bench.dials_in(3600) in range(11, 16)  # every five minutes at most
    assert len(bench.log.told("warning")) == 1
    other = bench.peer(0)
    bench.run(301)
    assert bench.us.peers() == (other.peer_id,)
    assert bench.dials_in(3600) == 0
    bench.network.part(bench.us, other, LOST)
    assert bench.dials_in(3.9) == 0
    assert bench.dials_in(1.2) >= 1
    assert bench.us.peers() == (other.peer_id,)


def test_an_address_without_an_id_leads_to_whoever_is_there() -> None:
    bench = Bench(bootstrap=("/ip4/10.0.0.2/tcp/8810",))
    before = bench.peer(0)
    bench.find.start()
    bench.run(1)
    assert bench.us.peers() == (before.peer_id,)
    before.up = False
    bench.network.part(bench.us, before, LOST)
    anew = bench.peer(0)  # the same computer, set up again
    bench.run(60)
    assert bench.us.peers() == (anew.peer_id,)


def test_a_bootstrap_peer_that_changes_its_id_is_remembered_once() -> None:
    bench = Bench(bootstrap=("/ip4/10.0.0.2/tcp/8810",))
    bench.find.start()
    for _ in range(20):
        host = bench.peer(0)
        bench.run(400)
        assert bench.us.peers() == (host.peer_id,)
        host.up = False
        bench.network.part(bench.us, host, LOST)
    assert [attempt.how for attempt in bench.find._tries.values()].count("bootstrap") == 1


def test_offline_the_local_network_is_all_there_is() -> None:
    bench = Bench(offline=True, bootstrap=("/ip4/10.0.0.2/tcp/8810",))
    far, near = bench.peer(0), bench.peer(1)
    bench.find.start()
    for how in ("bootstrap", "exchange", "dht", "cache", "invite"):
        bench.find.found(far.peer_id, far.listening, how)
    bench.run(100)
    assert bench.us.dials == []
    bench.find.found(near.peer_id, near.listening, "mdns")
    bench.run(100)
    assert bench.us.peers() == (near.peer_id,)
    assert "offline" in bench.log.told("info")[0]


@pytest.mark.parametrize(("how", "most"), [("exchange", WANTED_PEERS), ("mdns", MDNS_PEERS)])
def test_as_many_as_wanted_and_no_more(how: str, most: int) -> None:
    bench = Bench()
    bench.find.start()
    for n in range(most + 20):
        other = bench.peer(n)
        bench.book.heard(other.peer_id, other.listening, how)
        bench.find.found(other.peer_id, other.listening, how)
    bench.run(20)
    assert len(bench.us.peers()) == most
    gone = bench.network.hosts[1]
    gone.up = False
    bench.network.part(bench.us, gone, LOST)
    bench.run(1)
    assert len(bench.us.peers()) == most
    assert gone.peer_id not in bench.us.peers()


def public(bench: Bench, subnet: int, number: int) -> FakeHost:
    return bench.network.host(f"/ip4/8.8.{subnet}.{number}/tcp/8810")


def test_of_one_public_neighbourhood_a_few_are_enough() -> None:
    bench = Bench()
    crowd = [public(bench, 8, number) for number in range(1, 41)]
    others = [public(bench, number, 1) for number in (10, 11, 12)]
    bench.find.start()
    for host in (*crowd, *others):
        bench.find.found(host.peer_id, host.listening, "dht")
    bench.run(300)
    met = set(bench.us.peers())
    assert len(met & {host.peer_id for host in crowd}) == PER_SUBNET
    assert met >= {host.peer_id for host in others}
    assert len(bench.us.dials) == PER_SUBNET + 3
    bench.find.found(crowd[-1].peer_id, crowd[-1].listening, "mdns")
    bench.find.found(crowd[-2].peer_id, crowd[-2].listening, "invite")
    bench.run(1)
    assert set(bench.us.peers()) >= {crowd[-1].peer_id, crowd[-2].peer_id}


def test_the_first_of_a_neighbourhood_may_be_replaced() -> None:
    bench = Bench()
    crowd = [public(bench, 8, number) for number in range(1, 5)]
    bench.find.start()
    for host in crowd:
        bench.find.found(host.peer_id, host.listening, "dht")
    bench.run(1)
    (left,) = {host.peer_id for host in crowd} - set(bench.us.peers())
    gone = next(host for host in crowd if host.peer_id != left)
    gone.up = False
    bench.network.part(bench.us, gone, LOST)
    bench.run(1)
    assert left in bench.us.peers()


def test_strangers_that_come_by_themselves_do_not_keep_it_from_choosing() -> None:
    bench = Bench()
    bench.find.start()
    for number in range(WANTED_PEERS + 5):
        bench.network.join(bench.peer(number), bench.us, bench.us.listening[0])
    assert bench.us.dials == []
    others = [bench.peer(number) for number in range(100, 110)]
    for host in others:
        bench.find.found(host.peer_id, host.listening, "exchange")
    bench.run(1)
    assert len(set(bench.us.peers()) & {host.peer_id for host in others}) == CHOSEN_PEERS


def test_a_small_limit_is_not_passed_again_and_again() -> None:
    bench = Bench(max_peers=3)
    bench.find.start()
    for number in range(10):
        host = bench.peer(number)
        bench.find.found(host.peer_id, host.listening, "exchange")
    bench.run(600)
    assert len(bench.us.dials) == 3


def test_few_attempts_at_once() -> None:
    bench = Bench()
    bench.us.connect = lambda peer, addresses=(): Deferred()  # type: ignore[method-assign]
    seen: list[int] = []
    bench.us.connect = lambda peer, addresses=(): seen.append(1) or Deferred()  # type: ignore[method-assign,func-returns-value]
    bench.find.start()
    for n in range(50):
        other = bench.peer(n)
        bench.find.found(other.peer_id, other.listening, "mdns")
    assert len(seen) == MAX_DIALS


def test_attempts_that_end_at_once_are_made_once_each() -> None:
    bench = Bench()
    dialled: list[str] = []

    def connect(peer: str, addresses: Any = ()) -> Any:
        dialled.append(peer)
        return succeed(peer)

    others = [bench.peer(n) for n in range(6)]
    for other in others:
        bench.find.found(other.peer_id, other.listening, "mdns")
    assert dialled == []  # it has not begun
    bench.find.start()
    bench.us.connect = connect  # type: ignore[method-assign,assignment]
    for other in others:
        bench.find.found(other.peer_id, other.listening, "mdns")
    assert sorted(dialled) == sorted(other.peer_id for other in others)


def test_a_peer_that_cannot_be_reached_is_given_up_until_it_is_found_anew() -> None:
    bench = Bench()
    other = bench.peer(0)
    other.up = False
    bench.find.start()
    bench.find.found(other.peer_id, other.listening, "mdns")
    assert 1 + bench.dials_in(REFILL_SECONDS * 2) == MAX_FAILURES
    assert bench.log.told("info") == ["a peer that was found cannot be reached"]
    other.up = True
    bench.find.found(other.peer_id, other.listening, "mdns")
    bench.run(1)
    assert bench.us.peers() == (other.peer_id,)


def test_a_new_address_of_a_peer_is_tried_soon() -> None:
    bench = Bench()
    other = bench.peer(0)
    bench.find.start()
    bench.find.found(other.peer_id, [NOWHERE], "mdns")
    bench.run(20)
    assert bench.us.peers() == ()
    bench.find.found(other.peer_id, other.listening, "mdns")
    bench.run(6)
    assert bench.us.peers() == (other.peer_id,)


def test_a_bootstrap_peer_s_new_address_is_tried_before_its_turn() -> None:
    bench = Bench()
    other = bench.peer(0)
    bench = Bench(bootstrap=(f"{NOWHERE}/p2p/{other.peer_id}",))
    other = bench.peer(0)
    bench.find.start()
    bench.run(1000)
    bench.find.found(other.peer_id, other.listening, "mdns")
    bench.run(6)
    assert bench.us.peers() == (other.peer_id,)


def test_a_lost_peer_is_dialled_again_unless_there_was_a_reason() -> None:
    for error, expected in ((LOST, 1), (None, 1), (PeerFault("x", code="x"), 0), (Refused("x", code="x"), 0)):
        bench = Bench()
        other = bench.peer(0)
        bench.find.start()
        bench.find.found(other.peer_id, other.listening, "mdns")
        bench.run(1)
        bench.network.part(bench.us, other, error)
        assert bench.us.peers() == ()
        bench.run(6)
        assert len(bench.us.peers()) == expected


def test_a_partition_heals_by_itself() -> None:
    bench = Bench()
    others = [bench.peer(n) for n in range(3)]
    bench.find.start()
    for other in others:
        bench.find.found(other.peer_id, other.listening, "exchange")
    bench.run(1)
    for other in others:
        other.up = False
        bench.network.part(bench.us, other, LOST)
    bench.run(1800)
    assert bench.us.peers() == ()
    for other in others:
        other.up = True
    bench.run(7200)
    assert set(bench.us.peers()) == {other.peer_id for other in others}


def test_an_invited_peer_is_dialled_whatever_there_is() -> None:
    bench = Bench()
    bench.find.start()
    for n in range(WANTED_PEERS):
        other = bench.peer(n)
        bench.find.found(other.peer_id, other.listening, "exchange")
    bench.run(1)
    host = bench.peer(100)
    bench.find.found(host.peer_id, host.listening, "invite")
    bench.run(1)
    assert host.peer_id in bench.us.peers()


def test_we_do_not_dial_ourselves() -> None:
    bench = Bench(bootstrap=("/ip4/10.0.0.1/tcp/8810",))
    bench.find.start()
    bench.find.found(bench.us.peer_id, [NOWHERE], "mdns")
    assert len(bench.us.dials) == 1 and bench.dials_in(3600) == 0
    assert bench.log.told("info") == ["an address to dial is this node itself"]


def test_stopping_ends_everything() -> None:
    bench = Bench(bootstrap=("/ip4/10.0.0.2/tcp/8810",))
    bench.find.start()
    bench.find.found(bench.peer(5).peer_id, [NOWHERE], "mdns")
    bench.find.stop()
    assert bench.clock.getDelayedCalls() == []
    bench.find.found(bench.peer(6).peer_id, [NOWHERE], "mdns")
    assert bench.dials_in(100) == 0


events = st.one_of(
    st.tuples(st.just("found"), st.integers(0, 9), st.sampled_from(["mdns", "dht", "cache", "bootstrap"])),
    st.tuples(st.sampled_from(["up", "down", "part"]), st.integers(0, 9), st.just("")),
    st.tuples(st.just("wait"), st.integers(1, 60), st.just("")),
)


@given(st.lists(events, max_size=40))
def test_whatever_happens_it_goes_on_and_ends(history: list[tuple[str, int, str]]) -> None:
    bench = Bench()
    others = [bench.peer(n) for n in range(10)]
    bench.find.start()
    for kind, number, how in history:
        other = others[number % 10]
        if kind == "found":
            bench.find.found(other.peer_id, other.listening, how)
        elif kind == "wait":
            bench.run(number)
        elif kind == "part":
            bench.network.part(bench.us, other, LOST)
        else:
            other.up = kind == "up"
            if not other.up:
                bench.network.part(bench.us, other, LOST)
    assert any(call.active() for call in bench.clock.getDelayedCalls())
    bench.find.stop()
    bench.run(DELAY)
    assert bench.clock.getDelayedCalls() == []


def test_peers_that_wait_are_bounded() -> None:
    bench = Bench()
    bench.us.connect = lambda peer, addresses=(): Deferred()  # type: ignore[method-assign]
    bench.find.start()
    for n in range(MAX_WAITING + 100):
        bench.find.found(f"peer {n}", [NOWHERE], "dht")
    bench.find.found(None, [NOWHERE], "bootstrap")
    assert len(bench.find._tries) <= MAX_WAITING
    assert str(NOWHERE) in bench.find._tries
