"""What is kept for others: expiry, the better record, and full stores."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.kademlia import store as s
from swarmnode.protocols.kademlia.distance import place
from swarmnode.protocols.kademlia.records import Checked
from swarmnode.values.errors import Unavailable
from swarmnode.values.multiaddr import Multiaddr

OWN = place(b"own")
STAMP = 1_700_000_000
KEYS = sorted((b"/swarmnode/%d" % n for n in range(40)), key=lambda key: place(key) ^ OWN)
ADDRESS = (Multiaddr.parse("/ip4/10.0.0.1/tcp/1"),)
RNG = random.Random(1)


def record(text: bytes, stamp: int = STAMP, signer: str = "alice") -> Checked:
    return Checked(text, text, signer, stamp)


def test_a_record_ends_an_hour_after_it_was_signed_however_often_it_is_passed_on() -> None:
    store = s.RecordStore(OWN)
    store.put(KEYS[0], record(b"v"), 0.0, STAMP)
    store.put(KEYS[0], record(b"v"), 3000.0, STAMP + 3000)
    assert store.get(KEYS[0], 3599.0, STAMP + 3599) is not None
    assert store.get(KEYS[0], 3600.0, STAMP + 3600) is None
    assert len(store) == 0


def test_a_stepping_wall_clock_does_not_keep_a_record_for_ever() -> None:
    store = s.RecordStore(OWN)
    store.put(KEYS[0], record(b"v"), 0.0, STAMP)
    assert store.get(KEYS[0], 3601.0, STAMP) is None


def test_the_better_record_stays() -> None:
    store = s.RecordStore(OWN)
    assert store.put(KEYS[0], record(b"new", STAMP + 9), 0.0, STAMP + 9)
    assert not store.put(KEYS[0], record(b"old"), 1.0, STAMP + 10)
    found = store.get(KEYS[0], 1.0, STAMP + 10)
    assert found is not None and found.payload == b"new"


def test_a_full_store_refuses_the_farthest_and_lets_the_longest_unpublished_go() -> None:
    store = s.RecordStore(OWN, limit=10)
    for second, key in enumerate(KEYS[5:15]):
        store.put(key, record(b"v"), float(second), STAMP)
    with pytest.raises(Unavailable, match="nearer"):
        store.put(KEYS[20], record(b"v"), 20.0, STAMP)
    store.put(KEYS[5], record(b"v"), 21.0, STAMP)
    store.put(KEYS[0], record(b"v"), 22.0, STAMP)
    assert len(store) == 10
    assert store.get(KEYS[6], 23.0, STAMP) is None, "KEYS[5] was published again, KEYS[6] not"
    assert store.get(KEYS[5], 23.0, STAMP) is not None


def test_one_signer_cannot_fill_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s, "MAX_RECORDS_PER_SIGNER", 3)
    store = s.RecordStore(OWN)
    for key in KEYS[:3]:
        store.put(key, record(b"v"), 0.0, STAMP)
    with pytest.raises(Unavailable, match="one signer"):
        store.put(KEYS[3], record(b"v"), 0.0, STAMP)
    store.put(KEYS[0], record(b"w", STAMP + 1), 0.0, STAMP + 1)
    store.put(KEYS[3], record(b"v", signer="bob"), 0.0, STAMP)
    store.put(KEYS[1], record(b"w", STAMP + 1, "bob"), 0.0, STAMP + 1)
    store.put(KEYS[4], record(b"v"), 0.0, STAMP)
    assert len(store) == 5


def test_what_nobody_published_for_long_is_told_oldest_first() -> None:
    store = s.RecordStore(OWN)
    for second, key in enumerate(KEYS[:4]):
        store.put(key, record(b"v"), float(second), STAMP)
    store.put(KEYS[0], record(b"v"), 10.0, STAMP)
    assert [held.key for held in store.unrenewed(3.5, 2)] == [KEYS[1], KEYS[2]]
    store.renewed(KEYS[1], 11.0)
    assert [held.key for held in store.unrenewed(3.5, 9)] == [KEYS[2], KEYS[3]]


def test_a_provider_is_forgotten_after_an_hour_unless_it_says_so_again() -> None:
    store = s.ProviderStore(OWN)
    store.add(b"k", "alice", ADDRESS, 0.0)
    store.add(b"k", "bob", (), 1800.0)
    assert [e.peer for e in store.find(b"k", 3599.0, 9, RNG)] == ["alice", "bob"]
    assert store.find(b"k", 3599.0, 9, RNG)[0].addresses == ADDRESS
    store.add(b"k", "bob", (), 3599.0)
    assert [e.peer for e in store.find(b"k", 3600.0, 9, RNG)] == ["bob"]
    assert store.find(b"k", 9999.0, 9, RNG) == ()
    assert (len(store), store.entries) == (0, 0)


def test_a_key_keeps_the_64_providers_that_came_last() -> None:
    store = s.ProviderStore(OWN)
    for number in range(70):
        store.add(b"k", f"p{number}", (), float(number))
    found = [entry.peer for entry in store.find(b"k", 70.0, 99, RNG)]
    assert found == [f"p{number}" for number in range(6, 70)]


def test_more_providers_than_asked_for_are_told_by_lot() -> None:
    store = s.ProviderStore(OWN)
    for number in range(40):
        store.add(b"k", f"p{number}", (), 0.0)
    told = {entry.peer for _ in range(30) for entry in store.find(b"k", 1.0, 5, RNG)}
    assert len(store.find(b"k", 1.0, 5, RNG)) == 5 and len(told) > 30


def test_full_provider_stores_refuse_the_farthest_key() -> None:
    store = s.ProviderStore(OWN, limit=10)
    for key in KEYS[5:15]:
        store.add(key, "alice", (), 0.0)
    with pytest.raises(Unavailable, match="nearer"):
        store.add(KEYS[20], "alice", (), 1.0)
    store.add(KEYS[0], "alice", (), 1.0)
    assert len(store) == 10 and store.find(KEYS[5], 1.0, 9, RNG) == ()


def test_one_peer_provides_so_many_keys_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s, "MAX_KEYS_PER_PROVIDER", 3)
    store = s.ProviderStore(OWN)
    for key in KEYS[:3]:
        store.add(key, "mallory", (), 0.0)
    with pytest.raises(Unavailable, match="one provider"):
        store.add(KEYS[3], "mallory", (), 0.0)
    store.remove(KEYS[0], "mallory")
    store.add(KEYS[3], "mallory", (), 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), st.integers(0, 900)), max_size=150))
def test_the_counts_of_the_provider_store_stay_true(steps: list[tuple[int, int, int]]) -> None:
    store, now = s.ProviderStore(OWN, limit=12), 0.0
    for key, peer, later in steps:
        now += later
        try:
            store.add(KEYS[key], f"p{peer}", (), now)
        except Unavailable:
            pass
        store.remove(KEYS[(key + 1) % 31], f"p{peer}")
        assert len(store) <= 12
    found = [store.find(key, now, 99, RNG) for key in KEYS[:31]]
    assert store.entries == sum(map(len, found))
    assert len(store) == sum(map(bool, found))
