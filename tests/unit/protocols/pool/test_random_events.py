"""Whatever happens in whatever order: the limits hold, and everybody gets one answer (`Bench.check`)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.pool import vocabulary as pool
from swarmnode.protocols.pool.limits import PoolLimits
from swarmnode.testing.pool_bench import OWN, Bench, address
from swarmnode.values.errors import PeerFault, Refused, Unavailable

PEERS = (*(f"peer-{letter}" for letter in "abcdnopq"), OWN)
ERRORS = (
    None,
    Unavailable("gone", code="gone"),
    PeerFault("it lies", code="lie"),
    Refused("that is us", code="self_dial"),
)
STEPS = st.tuples(
    st.sampled_from(
        ("want", "unwant", "reach", "fail", "arrive", "go", "drop", "weigh", "use", "hear", "wait")
    ),
    st.sampled_from(PEERS),
    st.integers(0, 9),
    st.sampled_from(ERRORS),
)


def take(bench: Bench, step: tuple[str, str, int, Any], count: int) -> None:
    what, peer, number, error = step
    attempts, numbers = list(bench.dials), list(bench.in_use)
    if what == "want":
        known = [address(number + each) for each in range(number % 4)]
        bench.want(count, None if number == 9 else peer, *known)
    elif what == "unwant" and bench.waiting:
        bench.unwant(sorted(bench.waiting)[number % len(bench.waiting)])
    elif what == "reach":
        attempt = attempts[number % len(attempts)] if attempts else number
        meant = bench.dials[attempt].peer if attempts and number % 3 else None
        bench.reach(attempt, meant or peer)
    elif what == "fail":
        bench.fail(attempts[number % len(attempts)] if attempts else number, error or ERRORS[1])
    elif what == "arrive":
        bench.arrive(peer, f"subnet-{number % 2}" if number % 3 else "")
    elif what == "go":
        bench.go(numbers[number % len(numbers)] if numbers else number, error)
    elif what == "drop":
        bench.feed(pool.Drop(peer, error))
    elif what == "weigh":
        bench.feed(pool.Weigh(peer, f"tag{number % 2}", float(number * number * 20)))
    elif what == "use":
        bench.feed(pool.Used(numbers[number % len(numbers)] if numbers else number, number % 3))
    elif what == "hear":
        bench.feed(pool.Heard(numbers[number % len(numbers)] if numbers else number, number % 2 == 0))
    else:
        bench.wait(number * number / 4)


def longer(steps: list[tuple[str, str, int, Any]]) -> Any:
    """Long series are rare otherwise."""
    return st.lists(STEPS, min_size=60, max_size=120).map(lambda more: steps + more)


def run(steps: list[tuple[str, str, int, Any]]) -> Bench:
    bench = Bench(PoolLimits(max_peers=4), seed=3)
    bench.feed(pool.OwnAddresses((address(7),)))
    for count, step in enumerate(steps):
        take(bench, step, count)
    return bench


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=30).flatmap(longer))
def test_the_promises_hold(steps: list[tuple[str, str, int, Any]]) -> None:
    bench = run(steps)
    # When every attempt has failed, nobody waits any more and nothing is left over.
    for _ in range(1000):
        if not bench.dials:
            break
        bench.fail(next(iter(bench.dials)), ERRORS[1])
    bench.wait(1)
    assert not bench.dials
    assert not bench.waiting
    for number in list(bench.in_use):
        bench.go(number)
    assert not bench.connected
    assert bench.machine.deadline is None


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_the_same_events_have_the_same_effects(steps: list[tuple[str, str, int, Any]]) -> None:
    assert [repr(effect) for effect in run(steps).log] == [repr(effect) for effect in run(steps).log]
