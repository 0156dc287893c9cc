"""Whom to tell another peer about."""

from __future__ import annotations

import random

from swarmnode.policy.peer_book import KnownAddress, PeerFacts
from swarmnode.policy.peer_exchange import RECENT_SECONDS, tellable, worth_telling
from swarmnode.values.multiaddr import Multiaddr

HERE = KnownAddress(Multiaddr.parse("/ip4/10.0.0.1/tcp/1"), "dht", False, 0.0)


def facts(peer: str, last: float | None, *, connected: bool = False, reachable: bool = True) -> PeerFacts:
    return PeerFacts(peer, "dht", 0.0, connected, last, (HERE,) if reachable else ())


def told(peers: list[PeerFacts], limit: int = 20, seed: int = 1, now: float = 0.0) -> list[str]:
    return [one.peer for one in worth_telling(peers, "asker", limit, random.Random(seed), now)]


def test_only_peers_that_were_really_connected_lately_and_can_be_dialled() -> None:
    peers = [
        facts("asker", 0.0, connected=True),
        facts("heard of", None),
        facts("out of reach", 0.0, connected=True, reachable=False),
        facts("good", 0.0),
    ]
    assert told(peers, now=RECENT_SECONDS) == ["good"]
    assert told(peers, now=RECENT_SECONDS + 1) == []


def test_those_connected_come_first_and_the_rest_by_lot() -> None:
    peers = [facts(f"old{n}", 0.0) for n in range(30)] + [
        facts(f"on{n}", 0.0, connected=True) for n in range(10)
    ]
    first, second = told(peers, 20, seed=1), told(peers, 20, seed=2)
    assert len(first) == len(second) == 20
    assert set(first[:10]) == {f"on{n}" for n in range(10)}
    assert set(first) != set(second)
    assert told(peers, 20, seed=1) == first
    assert told(peers, 0) == []


def test_loopback_means_something_on_this_machine_only() -> None:
    local, lan = Multiaddr.parse("/ip4/127.0.0.1/tcp/1"), HERE.address
    assert tellable((local, lan), same_machine=True) == (local, lan)
    assert tellable((local, lan), same_machine=False) == (lan,)
