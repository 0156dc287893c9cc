"""Token buckets: the rate, the refill, the bound on callers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.policy.rate_limit import TokenBuckets


def test_a_minutes_worth_and_then_one_a_second() -> None:
    buckets = TokenBuckets(60)
    assert [buckets.take("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert buckets.take("a", 0.0) == 1.0
    assert buckets.take("a", 0.75) == 0.25
    assert buckets.take("a", 1.0) == 0.0
    assert buckets.take("a", 1.0) > 0.0


def test_callers_do_not_share() -> None:
    buckets = TokenBuckets(1)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.0) == 60.0


def test_a_bucket_never_holds_more_than_a_minute() -> None:
    buckets = TokenBuckets(2)
    buckets.take("a", 0.0)
    assert [buckets.take("a", 1e6) > 0 for _ in range(3)] == [False, False, True]


def test_zero_is_no_limit() -> None:
    buckets = TokenBuckets(0)
    assert not any(buckets.take("a", 0.0) for _ in range(10_000))
    assert len(buckets) == 0


def test_the_table_is_bounded_and_keeps_the_latest() -> None:
    buckets = TokenBuckets(1, callers=2)
    for caller in ("a", "b", "a", "c"):
        buckets.take(caller, 0.0)
    assert len(buckets) == 2
    assert buckets.take("a", 0.0) > 0.0, "a was used after b and must be remembered"


def test_a_clock_that_steps_back_gives_nothing() -> None:
    buckets = TokenBuckets(1)
    assert buckets.take("a", 100.0) == 0.0
    assert buckets.take("a", 0.0) == 60.0


@given(st.lists(st.floats(0, 10), max_size=200))
def test_no_more_than_the_rate_ever_passes(pauses: list[float]) -> None:
    buckets, now, passed = TokenBuckets(30), 0.0, 0
    for pause in pauses:
        now += pause
        passed += buckets.take("a", now) == 0.0
    assert passed <= 30 + now / 2 + 1e-6
