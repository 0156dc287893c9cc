"""Which addresses and peers are kept, dialled first, and given up."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.policy.peer_book import (
    EVICTED_AT_ONCE,
    HEARSAY_SECONDS,
    KEPT_SECONDS,
    MAX_ADDRESSES,
    MAX_HEARSAY,
    RETRY_SECONDS,
    TOLD,
    KnownAddress,
    PeerFacts,
    dial_order,
    evicted,
    kept,
    worth_trying,
)
from swarmnode.values.multiaddr import Multiaddr

OURS = (Multiaddr.parse("/ip4/10.0.0.9/tcp/8810"),)


def at(number: int, ip: str = "10.0.0.1") -> Multiaddr:
    return Multiaddr.parse(f"/ip4/{ip}/tcp/{number}")


def hearsay(number: int, heard: float = 0.0) -> KnownAddress:
    return KnownAddress(at(number), "dht", False, heard)


def told(number: int) -> KnownAddress:
    return KnownAddress(at(number), TOLD, False, 0.0)


def certified(number: int) -> KnownAddress:
    return KnownAddress(at(number), "exchange", True, 0.0)


def proven(number: int, when: float = 0.0) -> KnownAddress:
    return KnownAddress(at(number), "dht", False, 0.0, succeeded=when)


def peer(
    name: str, *addresses: KnownAddress, connected: bool = False, last: float | None = None
) -> PeerFacts:
    return PeerFacts(name, "dht", 0.0, connected, last, addresses)


def test_hearsay_never_displaces_what_is_vouched_for() -> None:
    vouched = [certified(n) for n in range(1, 20)] + [proven(n) for n in range(20, 33)]
    assert len(vouched) == MAX_ADDRESSES
    rumours = [hearsay(n, heard=100.0) for n in range(100, 200)]
    assert set(kept([*rumours, *vouched], 100.0, connected=False)) == set(vouched)
    assert kept(rumours, 100.0, connected=False) == rumours[:MAX_HEARSAY]


def test_the_newest_of_equals_are_kept() -> None:
    rumours = [hearsay(n, heard=float(n)) for n in range(1, 20)]
    assert [one.address for one in kept(rumours, 20.0, connected=False)] == [at(n) for n in range(19, 11, -1)]


def test_what_is_old_is_forgotten_unless_the_peer_is_connected() -> None:
    known = [hearsay(1), certified(2), told(3), proven(4, 500.0)]
    assert len(kept(known, HEARSAY_SECONDS - 1, connected=False)) == 4
    assert [one.address for one in kept(known, HEARSAY_SECONDS, connected=False)] == [at(4), at(2), at(3)]
    assert [one.address for one in kept(known, KEPT_SECONDS, connected=False)] == [at(4)]
    assert kept(known, KEPT_SECONDS + 500, connected=False) == []
    assert len(kept(known, KEPT_SECONDS + 500, connected=True)) == 4


def test_the_likeliest_address_is_dialled_first() -> None:
    failing = replace(proven(5), failed=1.0, failures=1)
    known = [hearsay(1), told(2), certified(3), proven(4), failing]
    assert dial_order(known, OURS) == (at(4), at(3), at(2), at(1), at(5))


def test_our_own_addresses_are_not_dialled_not_even_when_they_worked() -> None:
    ours = [
        KnownAddress(OURS[0], source, False, 0.0, succeeded=s) for source in ("dht",) for s in (None, 1.0)
    ]
    assert dial_order(ours, OURS) == ()
    assert dial_order([KnownAddress(at(0), TOLD, True, 0.0)], OURS) == ()


def test_loopback_is_dialled_where_it_worked() -> None:
    local = KnownAddress(at(7, "127.0.0.1"), "bootstrap", False, 0.0)
    assert dial_order([local], OURS) == ()
    assert dial_order([replace(local, succeeded=1.0)], OURS) == (local.address,)


def test_strangers_are_given_up_before_those_we_knew_and_nobody_connected() -> None:
    old, new = peer("old", hearsay(1, 1.0)), peer("new", hearsay(1, 9.0))
    known, friend = peer("known", proven(1), last=5.0), peer("friend", connected=True, last=9.0)
    assert evicted([new, known, old, friend]) == ("old", "new")
    assert evicted([known, replace(known, peer="gone", last_connected=1.0), friend]) == ("gone", "known")
    assert evicted([friend]) == ()


@given(st.lists(st.tuples(st.booleans(), st.one_of(st.none(), st.floats(0, 9))), max_size=300))
def test_no_more_go_than_must(states: list[tuple[bool, float | None]]) -> None:
    peers = [peer(str(n), connected=c, last=9.0 if c else last) for n, (c, last) in enumerate(states)]
    gone = evicted(peers)
    assert len(gone) == len(set(gone)) <= EVICTED_AT_ONCE
    assert not set(gone) & {one.peer for one in peers if one.connected}


def test_a_peer_that_failed_is_left_alone_for_a_while() -> None:
    failed = peer("x", replace(hearsay(1), failed=0.0, failures=1))
    assert not worth_trying(failed, 2 * RETRY_SECONDS - 1)
    assert worth_trying(failed, 2 * RETRY_SECONDS)
    assert worth_trying(peer("x", hearsay(1)), 0.0)
    assert not worth_trying(peer("x", hearsay(1), connected=True), 0.0)
    assert not worth_trying(peer("x"), 0.0)
