"""The rounding of the residual stream."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.inference.stage.residual import (
    pack_f16,
    pack_q8_0,
    round_f16,
    round_q8_0,
    unpack_f16,
    unpack_q8_0,
)

#: Half of float32's range: what rounds up beyond its end is infinite, as it should be.
FINITE = st.floats(-(2.0**127), 2.0**127, width=32)
ROWS = st.lists(FINITE, min_size=1, max_size=70).map(lambda row: np.array([row], np.float32))


@settings(max_examples=500, deadline=None)
@given(ROWS)
def test_f16_is_idempotent_and_the_wire_form_is_exact(rows: np.ndarray) -> None:
    once = rows.copy()
    round_f16(once)
    assert np.isfinite(once).all()
    again = unpack_f16(*pack_f16(once))
    np.testing.assert_array_equal(again.view(np.uint32), once.view(np.uint32))


@settings(max_examples=500, deadline=None)
@given(ROWS)
def test_f16_keeps_eleven_bits_of_what_matters_in_a_row(rows: np.ndarray) -> None:
    once = rows.copy()
    round_f16(once)
    largest = max(float(np.abs(rows).max()), 2.0**-101)
    error = np.abs(once.astype(np.float64) - rows)
    assert (error <= np.maximum(np.abs(rows.astype(np.float64)) * 2.0**-11, largest * 2.0**-38)).all()


def test_f16_equals_plain_float16_in_its_normal_range() -> None:
    rows = np.random.default_rng(1).standard_normal((20, 96)).astype(np.float32) * 7
    rows[np.abs(rows) < 0.01] = 0.5
    expected = rows.astype(np.float16).astype(np.float32)
    round_f16(rows)
    np.testing.assert_array_equal(rows, expected)


def test_f16_rounds_each_row_alone() -> None:
    rows = np.random.default_rng(2).standard_normal((30, 64)).astype(np.float32)
    rows *= 10.0 ** np.arange(-15, 15)[:, None]
    alone = rows.copy()
    for row in alone:
        round_f16(row[None])
    round_f16(rows)
    np.testing.assert_array_equal(rows, alone)


def test_f16_of_nothing_and_of_the_next_power_of_two() -> None:
    rows = np.array([[0.0, 0.0], [1.99999, 2.0**-24]], np.float32)
    round_f16(rows)
    np.testing.assert_array_equal(rows, [[0.0, 0.0], [2.0, 2.0**-24]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_stay_visible(bad: float) -> None:
    rows = np.array([[1.0, bad]], np.float32)
    with np.errstate(all="ignore"):
        round_f16(rows)
    assert not np.isfinite(rows).all()


def test_q8_0_is_that_of_ggml() -> None:
    rows = np.random.default_rng(3).standard_normal((9, 128)).astype(np.float32)
    kind = GGMLQuantizationType.Q8_0
    expected = quants.dequantize(quants.quantize(rows, kind), kind)
    round_q8_0(rows)
    np.testing.assert_array_equal(rows, expected)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(-(2.0**20), 2.0**20, width=32), min_size=1, max_size=70))
def test_q8_0_is_idempotent(row: list[float]) -> None:
    once = np.array([row], np.float32)
    round_q8_0(once)
    again = unpack_q8_0(*pack_q8_0(once), once.shape[1])
    np.testing.assert_array_equal(again, once)
