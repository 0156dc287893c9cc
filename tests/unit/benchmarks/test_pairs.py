"""The drop rule, medians and the table."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.pairs import Half, Pair, is_kept, is_met, pairs_of, summarise, table

GOOD = 40e9


def half(value: float, probe: float = GOOD, spread: float = 0.0) -> Half:
    return Half((value * (1 - spread / 2), value, value * (1 + spread / 2)), probe)


def pair(ours: float, theirs: float, **ours_fields: float) -> Pair:
    return Pair(half(ours, **ours_fields), half(theirs))


def sample(side: str, number: int, values: list[float], **fields: Any) -> dict[str, Any]:
    return {
        "kind": "half",
        "model": "m",
        "threads": 1,
        "test": "decode",
        "side": side,
        "pair": number,
        "values": values,
        "probe": GOOD,
        **fields,
    }


def test_a_half_is_the_median_of_its_repeats() -> None:
    assert Half((1.0, 9.0, 2.0), GOOD).value == 2.0
    assert Half((1.0, 9.0, 2.0), GOOD).spread == 4.0


def test_a_pair_with_restless_repeats_is_dropped() -> None:
    assert is_kept(pair(10, 10, spread=0.29))
    assert not is_kept(pair(10, 10, spread=0.31))
    assert not is_kept(Pair(half(10), half(10, spread=0.31)))


def test_a_pair_whose_halves_had_unlike_memory_is_dropped() -> None:
    assert is_kept(pair(10, 10, probe=0.81 * GOOD))
    assert not is_kept(pair(10, 10, probe=0.79 * GOOD))
    assert not is_kept(Pair(half(10), half(10, probe=0.79 * GOOD)))
    assert is_kept(Pair(half(10, probe=0.5 * GOOD), half(10, probe=0.5 * GOOD)))


def test_the_share_is_of_the_memory_that_each_half_had() -> None:
    halves = [half(10, probe=20e9), half(20, probe=40e9), half(21, probe=40e9)]
    assert summarise([Pair(one, one) for one in halves]).share(1e9) == pytest.approx(0.5)


def test_slow_results_alone_drop_nothing() -> None:
    assert is_kept(pair(1, 100)) and is_kept(pair(100, 1))


def test_a_summary_has_medians_of_what_is_kept() -> None:
    pairs = [pair(10, 10), pair(12, 10), pair(15, 10), pair(99, 1, spread=0.5)]
    summary = summarise(pairs)
    assert (summary.kept, summary.dropped) == (3, 1)
    assert (summary.ours, summary.theirs, summary.probe) == (12, 10, GOOD)
    assert (summary.ratio, summary.ratio_low, summary.ratio_high) == (1.2, 1.0, 1.5)
    assert summary.share(1e9) == pytest.approx(12e9 / GOOD)


def test_nothing_kept_is_no_number() -> None:
    for summary in (summarise([]), summarise([pair(1, 1, spread=0.9)])):
        assert summary.kept == 0 and math.isnan(summary.ratio)


def test_halves_find_each_other_and_a_lone_one_is_left_out() -> None:
    samples = [
        {"kind": "about"},
        sample("ours", 0, [2.0]),
        sample("theirs", 0, [1.0]),
        sample("ours", 1, [3.0]),
        sample("ours", 0, [5.0], threads=2),
    ]
    found = pairs_of(samples)
    assert list(found) == [("m", 1, "decode")]
    assert [p.ratio for p in found["m", 1, "decode"]] == [2.0]


def test_the_table_says_what_share_of_the_memory_decoding_reached() -> None:
    samples = [
        {"kind": "model", "model": "m", "bytes_a_token": 3_000_000_000},
        sample("ours", 0, [10.0]),
        sample("theirs", 0, [8.0]),
    ]
    row = table(samples).splitlines()[-1]
    assert row == "| m | 1 | decode | 1 (0) | 10.00 | 8.00 | 1.25 | 1.25-1.25 | 40.0 | 75% | yes |"


def test_a_ratio_or_a_share_that_is_missed_shows() -> None:
    sizes = {"tinyllama-Q8_0": 1e9}
    fast, slow = summarise([pair(30, 20)]), summarise([pair(29, 20)])
    assert is_met(("tinyllama-Q8_0", 1, "decode"), fast, sizes)
    assert not is_met(("tinyllama-Q8_0", 1, "decode"), slow, sizes)  # 29 GB/s of 40
    assert is_met(("tinyllama-Q6_K", 1, "decode"), slow, sizes)
    assert not is_met(("tinyllama-Q6_K", 1, "decode"), summarise([pair(0.99, 1)]), sizes)
    assert is_met(("tinyllama-Q6_K", 1, "prefill128"), summarise([pair(1.2, 1)]), sizes)
    assert not is_met(("tinyllama-Q6_K", 1, "prefill128"), summarise([pair(1.19, 1)]), sizes)
    assert not is_met(("tinyllama-Q6_K", 1, "decode"), summarise([]), sizes)
