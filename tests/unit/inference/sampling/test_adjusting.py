"""Biases and penalties, in numbers that can be checked by hand."""

import numpy as np
import pytest

from swarmnode.inference.sampling.adjusting import MOST, adjust, adjusts, check_biases, penalise
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Sampling


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


def test_a_repetition_penalty_near_zero_leaves_numbers() -> None:
    logits = np.array([2.0, -0.25, 0.0, -np.inf])
    penalise(logits, Sampling(repetition_penalty=5e-324), [0, 1, 2, 3], [])
    np.testing.assert_array_equal(logits, [MOST, 0.0, 0.0, -np.inf])


def test_biases_are_added_before_the_penalties() -> None:
    logits = np.array([1.0, -1.0, 2.0])
    biased = Sampling(logit_bias=((0, -3.0), (1, 5.0)), repetition_penalty=2.0)
    adjust(logits, biased, [0, 1], [])
    np.testing.assert_array_equal(logits, [-4.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), False),
        (Sampling(temperature=0.3, top_k=4, top_p=0.4, typical_p=0.5, min_p=0.1, seed=4), False),
        (Sampling(logit_bias=((0, 0.0),)), True),
        (Sampling(repetition_penalty=1.1), True),
        (Sampling(frequency_penalty=-0.1), True),
        (Sampling(presence_penalty=0.1), True),
    ],
)
def test_what_adjusts(sampling: Sampling, expected: bool) -> None:
    assert adjusts(sampling) is expected


def test_biases_outside_the_vocabulary_are_refused_by_name() -> None:
    check_biases(Sampling(logit_bias=((0, 1.0), (99, 1.0))), 100)
    for token in (-1, 100):
        with pytest.raises(Refused) as caught:
            check_biases(Sampling(logit_bias=((3, 1.0), (token, 1.0))), 100)
        assert (caught.value.code, caught.value.param) == ("bad_token", "logit_bias")
        assert str(token) in caught.value.message and "100" in caught.value.message
