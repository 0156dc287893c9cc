"""Limits, duplicates, and who goes when there are too many."""

from __future__ import annotations

from swarmnode.protocols.pool import vocabulary as pool
from swarmnode.protocols.pool.limits import (
    FAULT_BACKOFF_SECONDS,
    GRACE_SECONDS,
    MAX_TAGS,
    MAX_WEIGHED_PEERS,
    MIN_PER_SUBNET,
    PROTECTED_WEIGHT,
    SPARE_SECONDS,
    PoolLimits,
)
from swarmnode.protocols.pool.peers import Weights
from swarmnode.testing.pool_bench import OWN, Bench, address
from swarmnode.values.errors import PeerFault, Unavailable

GONE = Unavailable("gone", code="gone")
FAULT = PeerFault("it lies", code="lie")
SMALLER, LARGER = "peer-a", "peer-z"
assert SMALLER < OWN < LARGER


def dial(bench: Bench, peer: str, request: int = 500) -> int:
    bench.want(request, None, address(request))
    (attempt,) = bench.dials
    return bench.reach(attempt, peer)


def test_connections_to_one_peer_are_limited() -> None:
    bench = Bench()
    numbers = [bench.arrive("p") for _ in range(4)]
    assert list(bench.in_use) == numbers[:3]
    assert bench.refused[numbers[3]].error.code == "too_many_connections"
    bench.go(numbers[0])
    assert bench.arrive("p") in bench.in_use


def test_the_connection_that_the_smaller_id_dialled_stays() -> None:
    for peer, ours_stays in ((SMALLER, False), (LARGER, True)):
        bench = Bench()
        ours, theirs = dial(bench, peer), bench.arrive(peer)
        bench.wait(SPARE_SECONDS * 0.9)
        assert len(bench.in_use) == 2
        bench.wait(SPARE_SECONDS * 0.2)
        assert list(bench.in_use) == [ours if ours_stays else theirs]
        assert bench.connected == {peer}


def test_a_duplicate_in_use_stays_until_its_streams_are_gone() -> None:
    bench = Bench()
    ours, theirs = dial(bench, SMALLER), bench.arrive(SMALLER)
    bench.feed(pool.Used(ours, 1))
    bench.wait(60)
    assert set(bench.in_use) == {ours, theirs}
    bench.feed(pool.Used(ours, 0))
    bench.wait(SPARE_SECONDS * 0.9)
    assert ours in bench.in_use
    bench.wait(SPARE_SECONDS * 0.2)
    assert list(bench.in_use) == [theirs]


def test_a_quiet_connection_does_not_displace_one_that_answers() -> None:
    bench = Bench()
    ours = dial(bench, LARGER)  # would stay, but the peer has restarted and knows nothing of it
    theirs = bench.arrive(LARGER)
    bench.feed(pool.Heard(ours, True))
    bench.wait(SPARE_SECONDS * 2)
    assert list(bench.in_use) == [theirs]


def test_of_several_in_one_direction_only_the_dialling_side_closes() -> None:
    inbound, outbound = Bench(), Bench()
    for _ in range(2):
        inbound.arrive("p")
    first, second = (dial(outbound, "p", request) for request in (1, 2))
    for bench in (inbound, outbound):
        bench.wait(60)
    assert len(inbound.in_use) == 2
    assert list(outbound.in_use) == [second]
    assert first != second


def full(count: int = 3) -> Bench:
    bench = Bench(PoolLimits(max_peers=count))
    for number in range(count):
        bench.arrive(f"p{number}")
        bench.now += 1
    return bench


def test_the_lightest_goes_and_never_the_new_ones() -> None:
    bench = full()
    bench.feed(pool.Weigh("p2", "models", 1))
    number = bench.arrive("q")
    assert bench.refused[number].error.code == "peers_full"
    bench.now += GRACE_SECONDS
    # Of those that are worth nothing the newest goes: who floods us displaces its own.
    bench.arrive("q")
    assert bench.connected == {"p0", "p2", "q"}


def test_who_comes_by_itself_displaces_nobody_more_useful() -> None:
    bench = full()
    bench.now += GRACE_SECONDS
    for number in range(3):
        bench.feed(pool.Weigh(f"p{number}", "models", 5 + number))
    bench.arrive("q")
    assert "q" not in bench.connected
    dial(bench, "q")
    assert bench.connected == {"p1", "p2", "q"}


def test_protected_peers_never_go_and_always_find_a_place() -> None:
    bench = full()
    bench.feed(pool.Weigh("friend", "vouched", PROTECTED_WEIGHT))
    bench.arrive("friend")
    assert "friend" in bench.connected
    for number in range(3):
        bench.feed(pool.Weigh(f"p{number}", "vouched", PROTECTED_WEIGHT))
    bench.now += 2 * GRACE_SECONDS
    before = set(bench.connected)
    dial(bench, "q")
    assert bench.connected == before
    error = bench.answers[500].error
    assert error is not None
    assert error.code == "peers_full"


def test_a_subnet_has_its_share() -> None:
    bench = Bench(PoolLimits(max_peers=20))
    for number in range(MIN_PER_SUBNET + 3):
        bench.arrive(f"p{number}", "203.0.113.0/24")
    assert len(bench.connected) == MIN_PER_SUBNET
    bench.arrive("q", "198.51.100.0/24")
    bench.arrive("r", "")
    assert {"q", "r"} <= bench.connected
    dial(bench, "s")
    assert "s" in bench.connected


def test_who_broke_the_rules_is_left_alone_both_ways() -> None:
    bench = Bench()
    number = bench.arrive("p")
    bench.go(number, FAULT)
    bench.want(1, "p", address(1))
    error = bench.answers[1].error
    assert error is not None
    assert error.code == "peer_backoff"
    assert "it lies" in error.message
    assert bench.arrive("p") in bench.refused
    bench.now += FAULT_BACKOFF_SECONDS * 1.25
    assert bench.arrive("p") in bench.in_use


def test_a_broken_connection_is_no_disgrace() -> None:
    bench = Bench()
    bench.go(bench.arrive("p"), GONE)
    assert bench.arrive("p") in bench.in_use


def test_drop_closes_all_and_ends_what_was_wanted() -> None:
    bench = Bench()
    bench.arrive("p")
    bench.arrive("p")
    effects = bench.feed(pool.Drop("p", None))
    assert [type(effect).__name__ for effect in effects] == ["CloseConnection"] * 2 + ["Disconnected"]
    bench.want(1, "p", address(1))
    assert bench.dials
    bench.feed(pool.Drop("p", FAULT))
    assert not bench.dials
    assert bench.answers[1].error is not None


def test_weights_are_bounded() -> None:
    weights = Weights()
    for tag in range(MAX_TAGS + 5):
        weights.set("p", f"tag{tag}", 1.0)
    assert weights.of("p") == MAX_TAGS
    weights.set("p", "tag0", 3.0)
    assert weights.of("p") == MAX_TAGS + 2
    for tag in range(MAX_TAGS):
        weights.set("p", f"tag{tag}", 0)
    assert weights.of("p") == 0
    assert len(weights) == 0
    weights.set("light", "x", 0.5)
    for number in range(MAX_WEIGHED_PEERS):
        weights.set(f"p{number}", "x", 1.0)
    assert len(weights) == MAX_WEIGHED_PEERS
    assert weights.of("light") == 0
