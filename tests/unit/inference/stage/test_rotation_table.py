"""Cosines and sines against the C library's."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from swarmnode.inference.stage.rotation_table import rotation_table

SPEEDS = np.array([10000.0 ** (-pair / 32) for pair in range(32)])


def exact(positions: list[int], speeds: np.ndarray, factor: float) -> np.ndarray:
    angles = [[position * float(speed) for speed in speeds] for position in positions]
    turns = [[[math.cos(a) for a in row], [math.sin(a) for a in row]] for row in angles]
    return np.array(turns) * factor


@pytest.mark.parametrize("factor", [1.0, 1.19])
def test_equal_to_the_c_library(factor: float) -> None:
    positions = 40_000
    table = rotation_table(SPEEDS, positions, factor)
    assert table.shape == (positions, 2, 32) and table.dtype == np.float32
    chosen = [*range(300), 4095, 4096, 4097, 8191, 8192, *range(39_900, 40_000)]
    np.testing.assert_allclose(table[chosen], exact(chosen, SPEEDS, factor), atol=1e-7 * factor, rtol=0)


@pytest.mark.parametrize("speed", [1.0, 0.5, math.pi / 2, math.pi / 4, 3.0, 1e-9, 0.0])
def test_every_quarter_turn(speed: float) -> None:
    table = rotation_table(np.array([speed]), 131_072, 1.0)
    chosen = [*range(64), *range(131_000, 131_072)]
    np.testing.assert_allclose(table[chosen], exact(chosen, np.array([speed]), 1.0), atol=1e-7, rtol=0)


def test_the_first_position_is_not_turned() -> None:
    table = rotation_table(SPEEDS, 1, 1.0)
    assert (table[0, 0] == 1).all() and (table[0, 1] == 0).all()
    assert rotation_table(SPEEDS, 0, 1.0).shape == (0, 2, 32)


def test_a_shorter_table_is_the_beginning_of_a_longer_one() -> None:
    long = rotation_table(SPEEDS, 9000, 1.0)
    for positions in (1, 100, 4096, 4097, 8500):
        np.testing.assert_array_equal(rotation_table(SPEEDS, positions, 1.0), long[:positions])


def test_the_same_bits_everywhere() -> None:
    """Only additions and multiplications of exactly known numbers: this digest holds on every machine."""
    speeds = np.array([1.0, 0.5, 0.3125, 2.0**-7, 0.1328125])
    digest = hashlib.sha256(rotation_table(speeds, 5000, 1.0).tobytes()).hexdigest()
    assert digest == "2556d9ed75224460509c4732d7ca599c1354c37c92b51ac8d228d4a46374b23b"
