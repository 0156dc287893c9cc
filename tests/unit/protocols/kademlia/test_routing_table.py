"""The routing table: buckets, replacement by liveness, networks, staleness."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.kademlia import routing_table as t
from swarmnode.protocols.kademlia.distance import common_prefix, peer_place
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

OWN = peer_id(b"o" * 32)


def peers_of_bucket(index: int, count: int) -> list[str]:
    rng = random.Random(index)
    found: list[str] = []
    while len(found) < count:
        peer = peer_id(rng.randbytes(32))
        if common_prefix(peer_place(peer), peer_place(OWN)) == index:
            found.append(peer)
    return found


FAR = peers_of_bucket(0, 60)


def at(text: str) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/{text}/tcp/8810")


def full_table() -> t.RoutingTable:
    table = t.RoutingTable(OWN)
    for second, peer in enumerate(FAR[:20]):
        table.heard(peer, None, float(second), connected=True)
    assert len(table) == 20
    return table


def test_this_node_is_never_in_its_own_table() -> None:
    table = t.RoutingTable(OWN)
    assert table.heard(OWN, None, 0.0, connected=True).added == []
    assert len(table) == 0


def test_a_newcomer_to_a_full_bucket_waits_until_the_oldest_fails_its_ping() -> None:
    table = full_table()
    changes = table.heard(FAR[20], None, 100.0, connected=True)
    assert (changes.added, changes.ping) == ([], FAR[0])
    assert table.heard(FAR[21], None, 100.0, connected=True).ping is None, "one ping a bucket at a time"
    changes = table.failed(FAR[0])
    assert (changes.removed, changes.added) == ([FAR[0]], [FAR[21]])


def test_the_oldest_that_answers_keeps_its_place_and_the_next_is_tried() -> None:
    table = full_table()
    table.heard(FAR[20], None, 100.0, connected=True)
    table.heard(FAR[0], None, 100.1, connected=True)
    assert table.answered_ping(FAR[0], 100.1) == FAR[1]
    assert FAR[0] in table and FAR[20] not in table


def test_whoever_was_heard_lately_is_not_pinged_for_newcomers() -> None:
    table = full_table()
    assert table.heard(FAR[20], None, t.TRUSTED_SECONDS - 1, connected=True).ping is None
    assert table.heard(FAR[21], None, t.TRUSTED_SECONDS, connected=True).ping == FAR[0]


def test_a_flood_of_fresh_ids_displaces_nobody() -> None:
    table = full_table()
    for second in range(2000):
        table.heard(FAR[20 + second % 40], None, 30.0, connected=True)
    assert table.peers() == tuple(FAR[:20])


def test_one_that_failed_gives_its_place_to_a_newcomer_at_once() -> None:
    table = full_table()
    table.failed(FAR[7])
    changes = table.heard(FAR[20], None, 30.0, connected=True)
    assert (changes.removed, changes.added) == ([FAR[7]], [FAR[20]])


def test_without_a_newcomer_a_peer_has_three_tries() -> None:
    table = t.RoutingTable(OWN)
    table.heard(FAR[0], None, 0.0, connected=True)
    assert [table.failed(FAR[0]).removed for _ in range(3)] == [[], [], [FAR[0]]]
    table.heard(FAR[0], None, 0.0, connected=True)
    table.failed(FAR[0])
    table.failed(FAR[0])
    table.heard(FAR[0], None, 1.0, connected=True)
    assert table.failed(FAR[0]).removed == [], "an answer wipes the slate clean"


def test_public_networks_have_two_places_a_bucket_and_ten_in_all() -> None:
    table = t.RoutingTable(OWN)
    for peer in FAR[:5]:
        table.heard(peer, at("8.8.8.8"), 0.0, connected=True)
    assert len(table) == 2
    for index in range(1, 9):
        for peer in peers_of_bucket(index, 3):
            table.heard(peer, at("8.8.8.200"), 0.0, connected=True)
    assert len(table) == t.MAX_SUBNET_IN_TABLE
    assert table.heard(FAR[9], at("8.8.9.1"), 0.0, connected=True).added == [FAR[9]]
    table.drop(FAR[0])
    assert table.heard(FAR[3], at("8.8.8.9"), 0.0, connected=True).added == [FAR[3]]


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.1.7", "172.16.0.1", "100.64.3.4"])
def test_private_networks_are_exempt(host: str) -> None:
    table = t.RoutingTable(OWN)
    for peer in FAR[:20]:
        table.heard(peer, at(host), 0.0, connected=True)
    assert len(table) == 20


def test_a_public_ipv6_network_is_a_64() -> None:
    one, other = (Multiaddr.parse(f"/ip6/2001:4860:0:1{n}::1/tcp/1") for n in (1, 2))
    assert t.subnet_of(one) == "2001:4860:0:11::/64"
    assert t.subnet_of(other) != t.subnet_of(one)
    assert t.subnet_of(Multiaddr.parse("/dns4/example.org/tcp/1")) is None


def test_the_closest_come_first_and_the_doubtful_last() -> None:
    table = full_table()
    target = peer_place(FAR[30])
    nearest = sorted(FAR[:20], key=lambda peer: peer_place(peer) ^ target)
    assert [entry.peer for entry in table.closest(target, 20)] == nearest
    table.failed(nearest[0])
    assert [entry.peer for entry in table.closest(target, 20)] == [*nearest[1:], nearest[0]]
    assert [e.peer for e in table.closest(target, 2, leave_out=(nearest[1],))] == nearest[2:4]


def test_the_buckets_farther_than_the_nearest_twenty_need_their_own_refresh() -> None:
    table = full_table()
    assert table.stale_buckets() == []
    for index in (1, 2, 3):
        for peer in peers_of_bucket(index, 10):
            table.heard(peer, None, 0.0, connected=True)
    assert table.stale_buckets() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 59), st.sampled_from("hfdpx"), st.integers(0, 3)), max_size=200))
def test_whatever_happens_the_table_stays_bounded_and_consistent(steps: list[tuple[int, str, int]]) -> None:
    table = t.RoutingTable(OWN)
    kept: set[str] = set()
    for second, (number, what, host) in enumerate(steps):
        peer, now = FAR[number], second * 20.0
        if what == "h":
            changes = table.heard(peer, at(f"8.8.{host}.1") if host else None, now, connected=True)
        elif what == "f":
            changes = table.failed(peer)
        elif what == "d":
            changes = table.drop(peer)
        else:
            table.disconnected(peer)
            table.answered_ping(peer, now)
            continue
        kept = (kept - set(changes.removed)) | set(changes.added)
        assert kept == set(table.peers()) and len(table) <= 20
        assert len(table.closest(0, 100)) == len(kept)
