"""One lookup: order, parallelism, its end, and what liars can do to it."""

from __future__ import annotations

import random

from swarmnode.protocols.kademlia import lookup as lk
from swarmnode.protocols.kademlia.distance import peer_place
from swarmnode.protocols.kademlia.messages import PeerEntry
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

RNG = random.Random(4)
OWN = peer_id(RNG.randbytes(32))
TARGET = RNG.getrandbits(256)
PEERS = sorted((peer_id(RNG.randbytes(32)) for _ in range(200)), key=lambda p: peer_place(p) ^ TARGET)


def entries(peers: list[str]) -> list[PeerEntry]:
    return [PeerEntry(peer) for peer in peers]


def begin(seeds: list[str], **options: int) -> lk.Lookup:
    return lk.Lookup(TARGET, OWN, entries(seeds), **options)


def names(candidates: list[lk.Candidate]) -> list[str]:
    return [candidate.peer for candidate in candidates]


def test_the_nearest_alpha_are_asked_first() -> None:
    lookup = begin(PEERS[50:80])
    assert names(lookup.next(0.0)) == PEERS[50:60]
    assert lookup.next(0.0) == []
    lookup.answered(PEERS[55], entries(PEERS[:3]), None)
    assert names(lookup.next(0.0)) == [PEERS[0]]


def test_it_ends_when_the_nearest_twenty_have_answered_and_not_before() -> None:
    lookup = begin(PEERS[:30])
    while asked := lookup.next(0.0):
        for candidate in asked:
            assert not lookup.finished
            lookup.answered(candidate.peer, [], None)
    assert lookup.finished
    assert names(lookup.closest(99)) == PEERS[:20]


def test_those_that_fail_are_replaced_by_farther_ones() -> None:
    lookup = begin(PEERS[:30])
    while asked := lookup.next(0.0):
        for candidate in asked:
            if candidate.peer in PEERS[:5]:
                lookup.failed(candidate.peer)
            else:
                lookup.answered(candidate.peer, [], None)
    assert lookup.finished and names(lookup.closest(99)) == PEERS[5:25]


def test_nobody_to_ask_is_an_end() -> None:
    assert begin([]).finished
    lookup = begin(PEERS[:1])
    lookup.next(0.0)
    lookup.failed(PEERS[0])
    assert lookup.finished and lookup.closest(20) == []


def test_this_node_and_whoever_names_itself_are_not_asked() -> None:
    lookup = begin(PEERS[:1])
    lookup.next(0.0)
    lookup.answered(PEERS[0], [PeerEntry(OWN), PeerEntry(PEERS[0]), PeerEntry("0nonsense")], None)
    assert lookup.known == 1 and lookup.finished


def test_an_unasked_peer_cannot_answer() -> None:
    lookup = begin(PEERS[:1])
    lookup.answered(PEERS[0], entries(PEERS[1:5]), None)
    assert lookup.known == 1 and not lookup.finished


def test_a_slow_request_gives_its_place_away() -> None:
    lookup = begin(PEERS[:30])
    assert len(lookup.next(0.0)) == 10
    assert lookup.deadline(0.0) == lk.SLOW_SECONDS
    assert lookup.next(2.9) == []
    assert names(lookup.next(lk.SLOW_SECONDS)) == PEERS[10:20]
    assert lookup.deadline(lk.SLOW_SECONDS) == 2 * lk.SLOW_SECONDS
    lookup.answered(PEERS[0], [], None)
    assert names(lookup.closest(1)) == PEERS[:1], "late, but an answer"


def test_inventions_of_one_peer_hold_two_places_only_and_three_are_its_end() -> None:
    """It names 20 peers right beside the target that do not exist."""
    lookup = begin(PEERS[100:130])
    first = lookup.next(0.0)
    liar = first[0].peer
    lookup.answered(liar, entries(PEERS[:20]), None)
    asked = names(lookup.next(0.0))
    assert asked[:2] != [] and set(asked) <= set(PEERS[:2])
    for candidate in first[1:]:
        lookup.answered(candidate.peer, [], None)
    rest = names(lookup.next(0.0))
    assert len(set(rest) & set(PEERS[:20])) + len(asked) == lk.MAX_ASKED_BY_HEARSAY
    assert len(set(rest) & set(PEERS[100:130])) >= 8
    wasted, round_ = 0, [*asked, *rest]
    while round_:
        for peer in round_:
            if peer in PEERS[:20]:
                wasted += 1
                lookup.failed(peer)
            else:
                lookup.answered(peer, [], None)
        round_ = names(lookup.next(0.0))
    assert lookup.finished and wasted <= lk.MAX_LIES + 1
    assert set(names(lookup.closest(20))) == {liar, *PEERS[100:130]} & set(PEERS[100:120])


def test_a_peer_named_by_a_liar_and_by_an_honest_one_is_asked_all_the_same() -> None:
    lookup = begin(PEERS[100:102], alpha=2)
    lookup.next(0.0)
    lookup.answered(PEERS[100], entries(PEERS[:10]), None)
    lookup.answered(PEERS[101], entries([PEERS[9]]), None)
    while asked := names(lookup.next(0.0)):
        for peer in asked:
            if peer == PEERS[9]:
                lookup.answered(peer, [], None)
            else:
                lookup.failed(peer)
    assert lookup.finished
    assert PEERS[9] in names(lookup.closest(20))


def test_everything_is_bounded() -> None:
    lookup = begin([peer_id(RNG.randbytes(32)) for _ in range(20)])
    now = 0.0
    while asked := lookup.next(now):
        for candidate in asked:
            fresh = [PeerEntry(peer_id(RNG.randbytes(32))) for _ in range(20)]
            lookup.answered(candidate.peer, fresh, None)
        now += 0.1
    assert lookup.known <= lk.MAX_KNOWN and lookup.asked <= lk.MAX_ASKED
    addresses = tuple(Multiaddr.parse(f"/ip4/10.0.{n}.1/tcp/1") for n in range(99))
    flooded = lk.Lookup(TARGET, OWN, [PeerEntry(PEERS[0], addresses)])
    assert len(flooded.addresses(PEERS[0])) == 16


def test_it_ends_although_everybody_names_new_peers_for_ever() -> None:
    lookup = begin(PEERS[100:120])
    pool = iter(PEERS[:100][::-1])
    while asked := lookup.next(0.0):
        for candidate in asked:
            lookup.answered(candidate.peer, entries([p for p in [next(pool, None)] if p]), None)
    assert lookup.finished


def test_of_one_public_network_only_some_are_found() -> None:
    lookup = begin(PEERS[:30])
    while asked := lookup.next(0.0):
        for candidate in asked:
            subnet = "8.8.8.0/24" if candidate.peer in PEERS[:15] else None
            lookup.answered(candidate.peer, [], subnet)
    assert names(lookup.closest(20, per_subnet=10)) == PEERS[:10] + PEERS[15:20]
