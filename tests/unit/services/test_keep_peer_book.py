"""The peer book: what it believes, what it keeps, and what never gets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from swarmnode.policy.peer_book import HEARSAY_SECONDS, MAX_ADDRESSES, MAX_HEARSAY, MAX_PEERS
from swarmnode.protocols.identify.messages import Identification
from swarmnode.protocols.identify.peer_record import PeerRecord
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.values.errors import Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo
from swarmnode.values.peer_id import peer_id

OURS = (Multiaddr.parse("/ip4/10.0.0.9/tcp/8810"),)
ME, BOB, CAROL = (peer_id(bytes([n]) * 32) for n in range(3))
GONE = Unavailable("gone", code="connection_lost")


def at(number: int, ip: str = "10.0.0.1") -> Multiaddr:
    return Multiaddr.parse(f"/ip4/{ip}/tcp/{number}")


def link(peer: str, remote: Multiaddr, *, inbound: bool = False) -> LinkInfo:
    return LinkInfo(1, peer, remote, OURS[0], inbound, "tcp", 0.0)


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.book = PeerBook(ME, self.clock.seconds, lambda: OURS)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_heard_is_known_with_its_source(bench: Bench) -> None:
    bench.book.heard(BOB, [at(1).with_peer(BOB), at(2)], "mdns")
    facts = bench.book.facts(BOB)
    assert facts is not None
    assert (facts.how, facts.connected, facts.last_connected) == ("mdns", False, None)
    assert [(one.address, one.source, one.certified) for one in facts.addresses] == [
        (at(1), "mdns", False),
        (at(2), "mdns", False),
    ]
    assert bench.book.addresses(BOB) == (at(1), at(2))
    assert bench.book.addresses(CAROL) == () and bench.book.facts(CAROL) is None


def test_we_are_not_in_our_own_book(bench: Bench) -> None:
    bench.book.heard(ME, [at(1)], "mdns")
    bench.book.certified(PeerRecord(ME, 1, (at(1),), b"e"), "exchange")
    bench.book.identified(ME, Identification())
    bench.book.peer_connected(ME, link(ME, at(1)))
    assert bench.book.peers() == ()


def test_our_addresses_others_ids_and_what_cannot_be_dialled_do_not_get_in(bench: Bench) -> None:
    claims = [OURS[0], at(1).with_peer(CAROL), at(0), at(1, "0.0.0.0"), at(1, "224.0.0.1")]  # noqa: S104
    bench.book.heard(BOB, claims, "dht")
    bench.book.identified(BOB, Identification(addresses=tuple(claims)))
    bench.book.certified(PeerRecord(BOB, 1, tuple(claims), b"e"), "dht")
    facts = bench.book.facts(BOB)
    assert facts is not None and facts.addresses == ()


def test_a_certified_or_proven_address_outlives_any_rumour(bench: Bench) -> None:
    bench.book.certified(PeerRecord(BOB, 1, tuple(at(n) for n in range(1, 31)), b"e"), "exchange")
    bench.book.peer_connected(BOB, link(BOB, at(99)))
    bench.book.peer_disconnected(BOB, GONE)
    for n in range(1000, 1200):
        bench.clock.advance(1)
        bench.book.heard(BOB, [at(n)], "dht")
    addresses = bench.book.addresses(BOB)
    assert len(addresses) == MAX_ADDRESSES
    assert addresses[0] == at(99)
    assert {at(n) for n in range(1, 31)} < set(addresses)


def test_rumours_alone_are_few(bench: Bench) -> None:
    bench.book.heard(BOB, [at(n) for n in range(1, 500)], "dht")
    assert len(bench.book.addresses(BOB)) == MAX_HEARSAY


def test_a_record_replaces_an_older_one_only(bench: Bench) -> None:
    assert bench.book.certified(PeerRecord(BOB, 5, (at(1), at(2)), b"five"), "exchange")
    assert not bench.book.certified(PeerRecord(BOB, 5, (at(3),), b"other"), "exchange")
    assert not bench.book.certified(PeerRecord(BOB, 4, (at(3),), b"four"), "exchange")
    assert bench.book.addresses(BOB) == (at(1), at(2))
    assert bench.book.certified(PeerRecord(BOB, 6, (at(2), at(3)), b"six"), "exchange")
    assert bench.book.addresses(BOB) == (at(2), at(3))
    facts = bench.book.facts(BOB)
    assert facts is not None and facts.record == b"six"


def test_what_the_peer_no_longer_says_goes_unless_it_worked(bench: Bench) -> None:
    bench.book.peer_connected(BOB, link(BOB, at(1)))
    bench.book.identified(BOB, Identification(addresses=(at(1), at(2)), protocols=("/a",), agent="x/1"))
    bench.book.identified(BOB, Identification(addresses=(at(3),)))
    assert bench.book.addresses(BOB) == (at(1), at(3))
    bench.book.identified(BOB, Identification(protocols=("/b",)))
    facts = bench.book.facts(BOB)
    assert facts is not None
    assert (facts.protocols, facts.agent) == (("/b",), "x/1")
    assert bench.book.addresses(BOB) == (at(1), at(3))


def test_how_a_peer_was_found_is_more_than_that_it_came(bench: Bench) -> None:
    bench.book.peer_connected(BOB, link(BOB, at(40000), inbound=True))
    facts = bench.book.facts(BOB)
    # The port that it came from is not one at which it listens.
    assert facts is not None and (facts.how, facts.addresses) == ("inbound", ())
    for how, expected in (("mdns", "mdns"), ("dht", "mdns")):
        bench.book.heard(BOB, [at(1)], how)
        facts = bench.book.facts(BOB)
        assert facts is not None and facts.how == expected


def test_when_it_was_connected_last(bench: Bench) -> None:
    bench.book.peer_connected(BOB, link(BOB, at(1)))
    bench.clock.advance(50)
    facts = bench.book.facts(BOB)
    assert facts is not None and facts.connected and facts.last_connected == 50
    bench.book.peer_disconnected(BOB, None)
    bench.clock.advance(50)
    facts = bench.book.facts(BOB)
    assert facts is not None and not facts.connected and facts.last_connected == 50


def test_an_address_that_failed_comes_after_one_that_did_not(bench: Bench) -> None:
    bench.book.heard(BOB, [at(1), at(2)], "mdns")
    bench.book.failed(BOB, [at(1).with_peer(BOB)])
    assert bench.book.addresses(BOB) == (at(2), at(1))
    bench.book.failed(BOB)
    bench.book.failed(BOB, [at(2)])
    assert bench.book.addresses(BOB) == (at(1), at(2))
    assert bench.book.worth_trying() == ()
    bench.book.peer_connected(BOB, link(BOB, at(2)))
    assert bench.book.addresses(BOB) == (at(2), at(1))


def test_rumours_are_forgotten(bench: Bench) -> None:
    bench.book.heard(BOB, [at(1)], "dht")
    bench.clock.advance(HEARSAY_SECONDS)
    assert bench.book.addresses(BOB) == ()


def test_too_many_strangers_cost_strangers(bench: Bench) -> None:
    bench.book.peer_connected(BOB, link(BOB, at(1)))
    bench.book.peer_connected(CAROL, link(CAROL, at(2)))
    bench.book.peer_disconnected(CAROL, GONE)
    for n in range(MAX_PEERS + 500):
        bench.clock.advance(0.01)
        bench.book.heard(f"stranger {n}", [at(3)], "dht")
    peers = bench.book.peers()
    assert MAX_PEERS - 100 <= len(peers) <= MAX_PEERS
    assert {BOB, CAROL, f"stranger {MAX_PEERS + 499}"} <= set(peers)
    assert "stranger 0" not in peers


def test_changes_are_told(bench: Bench) -> None:
    told: list[str] = []
    bench.book.watch(told.append)
    bench.book.heard(BOB, [at(1)], "dht")
    bench.book.certified(PeerRecord(CAROL, 1, (at(1),), b"e"), "dht")
    bench.book.certified(PeerRecord(CAROL, 1, (at(1),), b"e"), "dht")
    bench.book.peer_connected(BOB, link(BOB, at(1)))
    bench.book.peer_disconnected(BOB, None)
    bench.book.peer_disconnected("nobody", None)
    assert told == [BOB, CAROL, BOB, BOB]


def test_peers_worth_trying_come_in_the_order_of_their_last_connection(bench: Bench) -> None:
    dave = peer_id(bytes([9]) * 32)
    for peer in (BOB, CAROL):
        bench.book.peer_connected(peer, link(peer, at(1)))
        bench.clock.advance(1)
        bench.book.peer_disconnected(peer, None)
    bench.book.heard(dave, [at(1)], "dht")
    assert [facts.peer for facts in bench.book.worth_trying()] == [CAROL, BOB, dave]


claims = st.lists(st.integers(1, 60).map(at), max_size=40)
steps = st.one_of(
    st.tuples(st.just("heard"), claims),
    st.tuples(st.just("told"), claims),
    st.tuples(st.just("signed"), claims),
    st.tuples(st.just("up"), st.integers(1, 60).map(at)),
    st.tuples(st.sampled_from(["down", "failed", "wait"]), st.none()),
)


@given(st.lists(steps, max_size=30))
def test_whatever_happens_the_bounds_hold_and_what_worked_comes_first(history: list) -> None:  # type: ignore[type-arg]
    bench, sequence = Bench(), 0
    for kind, value in history:
        if kind == "heard":
            bench.book.heard(BOB, value, "dht")
        elif kind == "told":
            bench.book.identified(BOB, Identification(addresses=tuple(value)))
        elif kind == "signed":
            sequence += 1
            bench.book.certified(PeerRecord(BOB, sequence, tuple(value), b"e"), "dht")
        elif kind == "up":
            bench.book.peer_connected(BOB, link(BOB, value))
            assert bench.book.addresses(BOB)[0] in {one.address for one in _proven(bench)}
        elif kind == "down":
            bench.book.peer_disconnected(BOB, None)
        elif kind == "failed":
            bench.book.failed(BOB)
        else:
            bench.clock.advance(HEARSAY_SECONDS / 3)
        facts = bench.book.facts(BOB)
        if facts is not None:
            assert len(facts.addresses) <= MAX_ADDRESSES
            assert sum(one.is_hearsay for one in facts.addresses) <= MAX_HEARSAY


def _proven(bench: Bench) -> list:  # type: ignore[type-arg]
    facts = bench.book.facts(BOB)
    assert facts is not None
    return [one for one in facts.addresses if one.succeeded is not None]


def test_a_listener_that_fails_harms_nobody(bench: Bench) -> None:
    told: list[str] = []

    def fail(peer: str) -> None:
        raise RuntimeError("a bug")

    bench.book.watch(fail)
    bench.book.watch(told.append)
    bench.book.heard(BOB, [at(1)], "mdns")
    assert told == [BOB] and bench.book.addresses(BOB) == (at(1),)
