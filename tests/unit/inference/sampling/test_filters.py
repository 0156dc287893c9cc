"""Filters and penalties against plain definitions in Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.inference.sampling import filters
from swarmnode.inference.sampling.filters import best, kept, penalise
from swarmnode.values.generation import Sampling

LOGITS = st.lists(st.sampled_from([-9.0, -3.5, -1.0, 0.0, 0.25, 1.0, 2.0, 7.5]), min_size=1, max_size=40)


def plain_kept(logits: list[float], sampling: Sampling) -> list[int]:
    """top_k, then top_p among those, then min_p, by sorting and adding up."""
    ids = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    if sampling.top_k:
        ids = ids[: sampling.top_k]
    weights = [math.exp(logits[i] - logits[ids[0]]) for i in ids]
    if sampling.top_p < 1:
        total, reached, enough = sum(weights), 0.0, 0
        while reached < sampling.top_p * total and enough < len(ids):
            reached += weights[enough]
            enough += 1
        ids = ids[: max(enough, 1)]
    return sorted(i for i, weight in zip(ids, weights, strict=False) if weight >= sampling.min_p)


@settings(max_examples=300, deadline=None)
@given(
    logits=LOGITS,
    top_k=st.integers(0, 50),
    top_p=st.sampled_from([0.0, 0.111, 0.53, 0.9, 0.987, 1.0]),
    min_p=st.sampled_from([0.0, 0.013, 0.3, 1.0]),
)
def test_kept_follows_the_definition(logits: list[float], top_k: int, top_p: float, min_p: float) -> None:
    sampling = Sampling(top_k=top_k, top_p=top_p, min_p=min_p)
    assert sorted(kept(np.array(logits), sampling)) == plain_kept(logits, sampling)


def test_the_nucleus_sorts_more_when_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(1).standard_normal(5000)
    wide = filters._nucleus(logits, 0.99, 5000)
    monkeypatch.setattr(filters, "FIRST_SORTED", 3)
    np.testing.assert_array_equal(filters._nucleus(logits, 0.99, 5000), wide)
    assert 3 * 8 < len(wide) < 5000


def test_best_prefers_lower_ids_among_equals() -> None:
    assert list(best(np.array([1.0, 2.0, 2.0, 2.0, 0.0]), 2)) == [1, 2]


def test_repetition_divides_positive_and_multiplies_negative_logits_once() -> None:
    logits = np.array([2.0, -2.0, 3.0, 1.0])
    penalise(logits, Sampling(repetition_penalty=2.0), [0, 0, 1], [1, 3])
    np.testing.assert_array_equal(logits, [1.0, -4.0, 3.0, 0.5])


def test_frequency_counts_and_presence_does_not_and_both_ignore_the_prompt() -> None:
    logits = np.zeros(4)
    penalise(logits, Sampling(frequency_penalty=0.5, presence_penalty=0.25), [0, 0, 0], [1, 1, 2])
    np.testing.assert_array_equal(logits, [0.0, -1.25, -0.75, 0.0])


def test_neutral_penalties_do_not_look_at_the_tokens() -> None:
    logits = np.zeros(2)
    penalise(logits, Sampling(), [99], [99])
    np.testing.assert_array_equal(logits, [0.0, 0.0])
