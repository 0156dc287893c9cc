"""Who is remembered over a restart."""

from __future__ import annotations

from swarmnode.policy.known_peers import MAX_ADDRESSES, MAX_KNOWN, worth_remembering
from swarmnode.policy.peer_book import PeerFacts
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import Multiaddr

HERE = tuple(Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{n}") for n in range(1, 20))


def facts(peer: str, last: float | None, *, connected: bool = False) -> PeerFacts:
    return PeerFacts(peer, "mdns", 0.0, connected, last, ())


def known(peer: str, last: float) -> KnownPeer:
    return KnownPeer(peer, HERE[:1], "dht", last, last)


def test_those_connected_are_remembered_by_wall_time_the_latest_first() -> None:
    peers = [facts("a", 90.0), facts("b", 100.0, connected=True), facts("never", None)]
    kept = worth_remembering(peers, [], lambda peer: HERE, now=100.0, stamp=5000.0)
    assert [(one.peer, one.last_connected, one.how) for one in kept] == [
        ("b", 5000.0, "mdns"),
        ("a", 4990.0, "mdns"),
    ]
    assert kept[0].addresses == HERE[:MAX_ADDRESSES]


def test_those_of_earlier_runs_stay_until_they_are_met() -> None:
    earlier = [known("old", 100.0), known("met", 200.0)]
    kept = worth_remembering([facts("met", 1.0), facts("old", None)], earlier, lambda peer: HERE, 1.0, 300.0)
    assert [(one.peer, one.last_connected) for one in kept] == [("met", 300.0), ("old", 100.0)]


def test_a_peer_without_an_address_is_of_no_use() -> None:
    assert worth_remembering([facts("a", 1.0)], [], lambda peer: (), 1.0, 1.0) == ()


def test_the_201st_costs_the_oldest_its_place() -> None:
    earlier = [known(f"p{n:03d}", float(n)) for n in range(MAX_KNOWN)]
    kept = worth_remembering([facts("new", 5.0)], earlier, lambda peer: HERE, 5.0, 9999.0)
    assert len(kept) == MAX_KNOWN
    assert kept[0].peer == "new"
    assert {one.peer for one in earlier} - {one.peer for one in kept} == {"p000"}
