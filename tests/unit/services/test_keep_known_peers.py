"""Peers of earlier runs: loaded, dialled, saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from swarmnode.services.keep_known_peers import DIALLED_AT_START, SAVE_SECONDS, KeepKnownPeers
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo

HERE = Multiaddr.parse("/ip4/10.0.0.1/tcp/8810")


def known(number: int) -> KnownPeer:
    return KnownPeer(f"peer {number:03d}", (HERE,), "dht", float(number), float(number))


class Bench:
    def __init__(self, loaded: Any) -> None:
        self.clock = Clock()
        self.book = PeerBook("us", self.clock.seconds)
        self.saved: list[tuple[KnownPeer, ...]] = []
        self.found: list[tuple[str, tuple[Multiaddr, ...], str]] = []
        self.warnings: list[str] = []
        self.store_works = True
        self.keep = KeepKnownPeers(
            self.book,
            lambda: loaded,
            self.save,
            self.note,
            self.clock,
            lambda: 1e6 + self.clock.seconds(),
            self,
        )

    def warning(self, event: str, **fields: Any) -> None:
        self.warnings.append(event)

    def save(self, peers: Sequence[KnownPeer]) -> None:
        if not self.store_works:
            raise OSError("disk full")
        self.saved.append(tuple(peers))

    def note(self, peer: str, addresses: Sequence[Multiaddr], how: str) -> None:
        self.found.append((peer, tuple(addresses), how))

    def meet(self, peer: str) -> None:
        self.book.peer_connected(peer, LinkInfo(1, peer, HERE, None, False, "tcp", 0.0))


def test_twenty_are_dialled_the_latest_first_and_all_are_known() -> None:
    bench = Bench([known(n) for n in range(50)])
    bench.keep.start()
    assert bench.found == [(f"peer {n:03d}", (HERE,), "cache") for n in range(49, 49 - DIALLED_AT_START, -1)]
    assert len(bench.book.peers()) == 50
    facts = bench.book.facts("peer 001")
    assert facts is not None and facts.how == "cache"


def test_they_are_saved_every_five_minutes_and_at_the_end() -> None:
    bench = Bench([known(1)])
    bench.keep.start()
    bench.meet("new")
    bench.clock.advance(SAVE_SECONDS - 1)
    assert bench.saved == []
    bench.clock.advance(1)
    assert [[one.peer for one in peers] for peers in bench.saved] == [["new", "peer 001"]]
    assert bench.saved[0][0].last_connected == 1e6 + SAVE_SECONDS
    bench.clock.advance(SAVE_SECONDS)
    bench.meet("newer")
    bench.keep.stop()
    assert [one.peer for one in bench.saved[2]] == ["new", "newer", "peer 001"]
    assert bench.clock.getDelayedCalls() == []


def test_nothing_is_saved_before_all_is_loaded() -> None:
    loading: Deferred[Any] = Deferred()
    bench = Bench(loading)
    bench.keep.start()
    bench.meet("new")
    bench.keep.stop()
    assert bench.saved == []
    loading.callback([known(1)])
    assert bench.found == [] and bench.clock.getDelayedCalls() == []


def test_a_store_that_fails_is_told_and_harms_nothing() -> None:
    bench = Bench(fail(OSError("no such file")))
    bench.keep.start()
    assert bench.warnings == ["the peers of the last run could not be read"]
    bench.meet("new")
    bench.store_works = False
    bench.clock.advance(SAVE_SECONDS)
    assert bench.warnings[1:] == ["the known peers could not be saved"]
    bench.store_works = True
    bench.clock.advance(SAVE_SECONDS)
    assert [one.peer for one in bench.saved[0]] == ["new"]


@pytest.mark.parametrize("count", [200, 201, 500])
def test_two_hundred_are_kept(count: int) -> None:
    bench = Bench([known(n) for n in range(count)])
    bench.keep.start()
    bench.meet("new")
    bench.keep.stop()
    assert len(bench.saved[0]) == 200
    assert bench.saved[0][0].peer == "new"
    assert bench.saved[0][-1].peer == f"peer {count - 199:03d}"
