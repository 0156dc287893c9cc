"""The sampler: its distribution, its determinism and its log-probabilities."""

import numpy as np
import pytest

from swarmnode.inference.sampling.sampler import Sampler, log_softmax
from swarmnode.values.errors import LocalFault
from swarmnode.values.generation import Sampling

PLAIN = Sampling(temperature=1.0)
LOGITS = np.array([1.5, 0.0, -1.0, 2.0, 0.5, -4.0, 1.0, 0.0], np.float32)


def draws(sampling: Sampling, count: int, seed: int = 12, choice: int = 0) -> np.ndarray:
    sampler = Sampler(sampling, seed, choice, len(LOGITS))
    tokens = [sampler.sample(LOGITS, position).token_id for position in range(count)]
    return np.bincount(tokens, minlength=len(LOGITS))


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    expected = probabilities * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(("seed", "choice"), [(0, 0), (7, 0), (7, 1), (2**64 - 1, 5)])
def test_draws_follow_the_softmax(seed: int, choice: int) -> None:
    counts = draws(PLAIN, 6000, seed, choice)
    assert chi_square(counts, np.exp(log_softmax(LOGITS))) < 29.9  # 7 degrees of freedom: 1 in 10 000


def test_temperature_flattens() -> None:
    counts = draws(Sampling(temperature=2.0), 6000)
    assert chi_square(counts, np.exp(log_softmax(LOGITS / 2))) < 29.9
    assert chi_square(counts, np.exp(log_softmax(LOGITS))) > 100  # the test can tell them apart


def test_filtered_draws_follow_the_softmax_of_what_is_left() -> None:
    counts = draws(Sampling(temperature=1.0, top_k=3), 6000)
    left = [0, 3, 6]
    assert set(np.flatnonzero(counts)) == set(left)
    assert chi_square(counts[left], np.exp(log_softmax(LOGITS[left]))) < 18.4  # 2 degrees of freedom


def test_greedy_takes_the_lowest_id_among_equals() -> None:
    logits = np.array([0.0, 3.0, 3.0, 1.0], np.float32)
    assert Sampler(Sampling(temperature=0.0), 1, 0, 4).sample(logits, 9).token_id == 1


def test_greedy_obeys_penalties() -> None:
    sampler = Sampler(Sampling(temperature=0.0, repetition_penalty=4.0), 1, 0, len(LOGITS))
    assert sampler.sample(LOGITS, 0).token_id == 3
    assert sampler.sample(LOGITS, 1, prompt=[3]).token_id == 0


def test_a_draw_depends_on_its_position_not_on_the_draws_before() -> None:
    one = Sampler(PLAIN, 5, 2, len(LOGITS))
    there = [one.sample(LOGITS, position).token_id for position in range(100)]
    other = Sampler(PLAIN, 5, 2, len(LOGITS))
    back = [other.sample(LOGITS, position).token_id for position in reversed(range(100))]
    assert there == back[::-1]
    assert len(set(there)) > 1


def test_choices_differ() -> None:
    first, second = (
        [Sampler(PLAIN, 5, choice, len(LOGITS)).sample(LOGITS, p).token_id for p in range(60)]
        for choice in (0, 1)
    )
    assert first != second


def test_logprobs_are_of_the_raw_logits() -> None:
    sampling = Sampling(temperature=0.3, top_k=1, repetition_penalty=2.0)
    drawn = Sampler(sampling, 1, 0, len(LOGITS), logprobs=3).sample(LOGITS, 0, prompt=[3])
    exact = LOGITS.astype(np.float64) - np.log(np.exp(LOGITS.astype(np.float64)).sum())
    assert drawn.token_id == 0
    assert drawn.logprob == pytest.approx(exact[0], abs=1e-12)
    assert [token for token, _ in drawn.top] == [3, 0, 6]
    np.testing.assert_allclose([value for _, value in drawn.top], exact[[3, 0, 6]], atol=1e-12)


def test_without_logprobs_nothing_is_reported() -> None:
    drawn = Sampler(PLAIN, 1, 0, len(LOGITS)).sample(LOGITS, 0)
    assert (drawn.logprob, drawn.top) == (None, ())
    assert Sampler(PLAIN, 1, 0, len(LOGITS), logprobs=0).sample(LOGITS, 0).top == ()


def test_the_logits_are_left_as_they_were() -> None:
    logits = LOGITS.copy()
    Sampler(Sampling(temperature=0.5, repetition_penalty=3.0), 1, 0, len(logits)).sample(logits, 0, [1, 2])
    np.testing.assert_array_equal(logits, LOGITS)


@pytest.mark.parametrize("bad", [np.full(8, np.nan), np.full(8, -np.inf), np.zeros(7)])
def test_logits_that_are_no_numbers_are_a_fault(bad: np.ndarray) -> None:
    with pytest.raises(LocalFault) as caught:
        Sampler(PLAIN, 1, 0, 8).sample(bad.astype(np.float32), 0)
    assert caught.value.code == "not_finite"
