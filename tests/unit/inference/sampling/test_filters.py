"""Filters against plain definitions in Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.inference.sampling import filters
from swarmnode.inference.sampling.filters import best, kept
from swarmnode.values.generation import Sampling

LOGITS = st.lists(st.sampled_from([-9.0, -3.5, -1.0, 0.0, 0.25, 1.0, 2.0, 7.5]), min_size=1, max_size=40)


def plain_fewest(order: list[int], weights: list[float], share: float) -> list[int]:
    """The first of `order` that reach `share` of all weights, one at least."""
    total, reached, enough = sum(weights[i] for i in order), 0.0, 0
    while reached < share * total and enough < len(order):
        reached += weights[order[enough]]
        enough += 1
    return order[: max(enough, 1)]


def plain_kept(logits: list[float], sampling: Sampling) -> list[int]:
    """top_k, then typical_p, top_p and min_p among those, by sorting and adding up."""
    ids = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    weights = [math.exp(logit) for logit in logits]
    if sampling.top_k:
        ids = ids[: sampling.top_k]
    if sampling.typical_p < 1:
        total = sum(weights[i] for i in ids)
        surprise = {i: math.log(total) - logits[i] for i in ids}
        entropy = sum(weights[i] / total * surprise[i] for i in ids)
        order = sorted(ids, key=lambda i: (round(abs(surprise[i] - entropy), 9), i))
        ids = plain_fewest(order, weights, sampling.typical_p)
    if sampling.top_p < 1:
        order = sorted(ids, key=lambda i: (-logits[i], i))
        ids = plain_fewest(order, weights, sampling.top_p)
    likeliest = max(weights[i] for i in ids)
    return sorted(i for i in ids if weights[i] >= sampling.min_p * likeliest)


def check_against_plain(logits: list[float], sampling: Sampling) -> None:
    values = np.array(logits) - max(logits)
    ids, left = kept(values, sampling)
    assert list(ids) == plain_kept(logits, sampling)
    np.testing.assert_array_equal(left, values[ids])


@settings(max_examples=500, deadline=None)
@given(
    logits=LOGITS,
    top_k=st.integers(0, 50),
    typical_p=st.sampled_from([0.0, 0.171, 0.61, 0.93, 1.0, 1.0, 1.0]),
    top_p=st.sampled_from([0.0, 0.111, 0.53, 0.9, 0.987, 1.0]),
    min_p=st.sampled_from([0.0, 0.013, 0.3, 1.0]),
)
def test_kept_follows_the_definition(
    logits: list[float], top_k: int, typical_p: float, top_p: float, min_p: float
) -> None:
    check_against_plain(logits, Sampling(top_k=top_k, typical_p=typical_p, top_p=top_p, min_p=min_p))


@pytest.mark.parametrize("spread", [1e-9, 0.01, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("share", [0.3, 0.95, 0.999999])
def test_many_tokens_follow_the_definition(spread: float, share: float) -> None:
    logits = (np.random.default_rng(3).standard_normal(5000) * spread).tolist()
    check_against_plain(logits, Sampling(top_p=share))
    if spread > 1e-6:  # else the plain definition takes roundings for ties
        check_against_plain(logits, Sampling(typical_p=share))


@pytest.mark.parametrize("bins", [2, 3, 64])
def test_bins_and_the_first_look_near_the_best_change_nothing(
    bins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).standard_normal(5000) * 3
    values -= values.max()
    samplings = (Sampling(top_p=0.93), Sampling(typical_p=0.8), Sampling(typical_p=0.9, top_p=0.7))
    before = [kept(values, sampling)[0] for sampling in samplings]
    assert all(10 < len(ids) < 5000 for ids in before)
    monkeypatch.setattr(filters, "BINS", bins)
    monkeypatch.setattr(filters, "NEAR", -1.0)
    for sampling, ids in zip(samplings, before, strict=True):
        np.testing.assert_array_equal(kept(values, sampling)[0], ids)


def test_typical_drops_what_is_too_likely() -> None:
    """Two fifths for one token, the rest for 64: the entropy is nearest to the surprise of the many."""
    values = np.array([0.0] + [math.log(3 / 128)] * 64)
    ids, _ = kept(values, Sampling(typical_p=0.31))
    assert list(ids) == list(range(1, 35))


@pytest.mark.parametrize("field", ["top_p", "typical_p"])
def test_barred_tokens_are_never_kept(field: str) -> None:
    values = np.array([-np.inf, 0.0, -1.0, -np.inf, -2.0])
    for share in (0.0, 0.5, 0.9999999):
        ids, _ = kept(values, Sampling(**{field: share}))
        assert set(ids) <= {1, 2, 4}


def test_equal_tokens_are_kept_from_the_lowest_id_on() -> None:
    for field in ("top_p", "typical_p"):
        ids, _ = kept(np.zeros(1000), Sampling(**{field: 0.25}))
        np.testing.assert_array_equal(ids, np.arange(250))


def test_best_prefers_lower_ids_among_equals() -> None:
    assert list(best(np.array([1.0, 2.0, 2.0, 2.0, 0.0]), 2)) == [1, 2]
