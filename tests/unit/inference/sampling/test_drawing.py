"""The quick draw against the plain one: all noise, all sums, the highest."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.inference.sampling import drawing
from swarmnode.inference.sampling.drawing import FEW, LEAST_NOISE, MOST_NOISE, draw
from swarmnode.inference.sampling.philox import BLOCK, gumbels

SIZES = st.one_of(st.integers(1, 40), st.sampled_from([FEW, FEW + 1, 3000, FEW + BLOCK, 40_000]))


def plain(values: np.ndarray, ids: np.ndarray, seed: int, choice: int, position: int) -> int:
    return int(ids[(values + gumbels(seed, choice, position, ids)).argmax()])


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.integers(0, 2**32),
    size=SIZES,
    spread=st.sampled_from([0.0, 1e-12, 0.3, 2.0, 8.0, 40.0, 1e9]),
    step=st.sampled_from([1, 3]),
    highest=st.sampled_from([0.0, -50.0, 12.5]),
    barred=st.sampled_from([0.0, 0.5, 0.999]),
    seed=st.integers(0, 2**64 - 1),
    position=st.integers(0, 2**20),
)
def test_a_draw_is_exactly_the_plain_one(
    numbers: int, size: int, spread: float, step: int, highest: float, barred: float, seed: int, position: int
) -> None:
    rng = np.random.default_rng(numbers)
    values = rng.standard_normal(size) * spread
    values[rng.random(size) < barred] = -np.inf
    values[rng.integers(size)] = 0.0
    values += highest - values.max()
    ids = np.arange(size) * step + step
    assert draw(values, ids, seed, 1, position) == plain(values, ids, seed, 1, position)


def test_many_draws_of_a_flat_vocabulary_are_the_plain_ones() -> None:
    values, ids = np.zeros(20_000), np.arange(20_000)
    quick = [draw(values, ids, 5, 0, position) for position in range(200)]
    assert quick == [plain(values, ids, 5, 0, position) for position in range(200)]
    assert len(set(quick)) > 190


def test_the_highest_noise_wins_however_late_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id whose logit lies as far below as noise can make up for wins with the noisiest number."""
    size, late = 2000, 1999
    values, ids = np.full(size, -np.inf), np.arange(size)
    values[3], values[late] = 0.0, LEAST_NOISE - MOST_NOISE + 1e-3
    assert draw(values, ids, 1, 0, 1) == 3

    def numbers(_seed: int, _choice: int, _position: int, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        word = np.where(block == late, 2**32 - 1, 0).astype(np.uint64)
        return word, word

    monkeypatch.setattr(drawing, "block_words", numbers)
    monkeypatch.setattr(drawing, "FEW", 2)
    # Two ids are not few any more; the one far below has the highest noise, the other the least.
    values = np.where(ids == late, values[late], np.where(ids < 3, 0.0, -np.inf))
    assert draw(values, ids, 1, 0, 1) == late


def test_the_bounds_of_the_noise() -> None:
    for unit, bound in ((2.0**-53, LEAST_NOISE), (1 - 2.0**-53, MOST_NOISE)):
        assert -math.log(-math.log(unit)) == pytest.approx(bound, abs=2e-6)
    assert -math.log(-math.log(2.0**-53)) > LEAST_NOISE
    assert -math.log(-math.log(1 - 2.0**-53)) < MOST_NOISE
