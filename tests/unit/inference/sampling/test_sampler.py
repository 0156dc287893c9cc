"""The sampler: its distribution, its determinism and its log-probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from swarmnode.inference.sampling.philox import gumbels
from swarmnode.inference.sampling.sampler import Sampler, log_softmax
from swarmnode.values.errors import LocalFault, Refused
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


BAD = [
    np.full(8, np.nan),
    np.full(8, -np.inf),
    np.zeros(7),
    [0, 1, np.nan, 9, 0, 0, 0, 0],
    [np.inf] + [0] * 7,
]


@pytest.mark.parametrize("bad", BAD)
def test_logits_that_are_no_numbers_are_a_fault(bad: list[float]) -> None:
    for temperature in (0.0, 1.0):
        with pytest.raises(LocalFault) as caught:
            Sampler(Sampling(temperature), 1, 0, 8).sample(np.array(bad, np.float32), 0)
        assert caught.value.code == "not_finite"


def test_barred_tokens_are_never_drawn() -> None:
    logits = LOGITS.copy()
    logits[3] = -np.inf
    sampler = Sampler(PLAIN, 12, 0, len(LOGITS))
    tokens = {sampler.sample(logits, position).token_id for position in range(300)}
    assert tokens == {0, 1, 2, 4, 6, 7} or tokens == {0, 1, 2, 4, 5, 6, 7}


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-6])
def test_the_smallest_temperatures_are_greedy(temperature: float) -> None:
    sampling = Sampling(temperature, top_p=0.9, typical_p=0.9, min_p=0.01)
    assert set(np.flatnonzero(draws(sampling, 50))) == {3}


def test_a_bias_bans_and_forces_and_leaves_the_logprobs_raw() -> None:
    biased = Sampling(temperature=1.0, logit_bias=((2, 100.0), (3, -100.0)))
    drawn = Sampler(biased, 1, 0, len(LOGITS), logprobs=1).sample(LOGITS, 0)
    exact = log_softmax(LOGITS)
    assert (drawn.token_id, drawn.logprob) == (2, exact[2])
    assert drawn.top == ((3, exact[3]),)
    greedy = Sampler(replace(biased, temperature=0.0, logit_bias=((3, -100.0),)), 1, 0, len(LOGITS))
    assert greedy.sample(LOGITS, 0).token_id == 0


def test_biased_draws_follow_the_biased_softmax() -> None:
    counts = draws(Sampling(temperature=1.0, logit_bias=((2, 2.5), (3, -1.0))), 6000)
    shifted = LOGITS + np.array([0, 0, 2.5, -1, 0, 0, 0, 0])
    assert chi_square(counts, np.exp(log_softmax(shifted))) < 29.9
    assert chi_square(counts, np.exp(log_softmax(LOGITS))) > 100


def test_a_bias_of_a_token_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="logit_bias"):
        Sampler(Sampling(logit_bias=((8, 1.0),)), 1, 0, 8)


def test_draws_are_the_plain_ones_for_a_whole_vocabulary() -> None:
    """As the definition says, in the plainest words: nothing of the quick ways may show."""
    logits = (np.random.default_rng(6).standard_normal(30_000) * 3).astype(np.float32)
    ids = np.arange(len(logits))
    for position in range(30):
        wide = logits.astype(np.float64)
        plain = (wide - wide.max()) / 0.8 + gumbels(9, 2, position, ids)
        sampler = Sampler(Sampling(temperature=0.8), 9, 2, len(logits))
        assert sampler.sample(logits, position).token_id == plain.argmax()


def test_draws_without_the_likeliest_tokens_follow_what_is_left() -> None:
    """With one token far above many equal ones, typical sampling keeps some of the many alone."""
    logits = np.zeros(4000, np.float32)
    logits[7] = np.log(2000)
    sampling = Sampling(temperature=1.0, typical_p=0.5)
    left = [token for token in range(3001) if token != 7]
    for position in range(20):
        noise = gumbels(9, 2, position, np.array(left))
        drawn = Sampler(sampling, 9, 2, len(logits)).sample(logits, position)
        assert drawn.token_id == left[int(noise.argmax())]


def test_greedy_is_the_same_with_penalties_that_touch_nothing() -> None:
    logits = np.random.default_rng(2).integers(-3, 4, 500).astype(np.float32)
    plain = Sampler(Sampling(temperature=0.0), 1, 0, 500).sample(logits, 0)
    touched = Sampler(Sampling(temperature=0.0, frequency_penalty=1.0), 1, 0, 500).sample(logits, 0, [1, 2])
    assert plain == touched
    assert plain.token_id == np.flatnonzero(logits == 3)[0]
