"""Rounding against statements of the same rules in numpy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmnode.inference.kernels import rounding
from swarmnode.inference.kernels.formats import (
    K32_SCALES,
    K32_SUM16,
    SHARING,
    SUB_BYTES,
    SUB_SCALE,
    SUB_SHARE,
    SUB_SUM16,
    row_bytes,
)
from swarmnode.inference.kernels.self_check import awkward_rows
from swarmnode.inference.stage.residual import pack_f16, round_f16, unpack_f16


def random_rows(count: int, rows: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((rows, count)).astype(np.float32)


# Quantising.


def quantised(machine, size: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers [rows, groups, size of a group], the factors [rows, groups], the raw blocks of 32."""
    kernel, kind = (rounding.quantise_256(), "k256") if size == 256 else (rounding.quantise_32(), "k32")
    stride = row_bytes(kind, values.shape[1])
    out = np.zeros((len(values), stride), np.uint8)
    machine.run(kernel, [values, values.strides[0], values.shape[1], out, stride], len(values))
    blocks = out.reshape(len(values), -1, SUB_BYTES)
    place, count = (SUB_SCALE, 1) if size == 256 else (K32_SCALES, 2)
    factors = field(blocks, place, count, np.float32).reshape(len(values), -1)
    return blocks[:, :, :32].reshape(len(values), -1, SHARING[kind]).view(np.int8), factors, blocks


def field(blocks: np.ndarray, place: int, count: int, kind: type) -> np.ndarray:
    """Numbers within each block: [rows, blocks, count]."""
    size = np.dtype(kind).itemsize * count
    return np.ascontiguousarray(blocks[:, :, place : place + size]).view(kind)


def stated(size: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rule in numpy, rounding for rounding."""
    blocks = values.reshape(len(values), -1, SHARING["k256" if size == 256 else "k32"])
    peak = np.abs(blocks).max(axis=2)
    factors = peak * np.float32(1 / 127)
    with np.errstate(divide="ignore"):
        inverse = np.where(peak > np.float32(2.0**-100), np.float32(127) / peak, np.float32(0))
    numbers = np.clip(np.rint(blocks * inverse.astype(np.float32)[..., None]), -127, 127)
    return numbers.astype(np.int8), factors


@pytest.mark.parametrize("size", [256, 32])
def test_quantise(machine, size: int) -> None:
    values = awkward_rows(512)
    numbers, factors, blocks = quantised(machine, size, values)
    wanted, scales = stated(size, values)
    np.testing.assert_array_equal(numbers, wanted)
    np.testing.assert_array_equal(factors.view(np.uint32), scales.view(np.uint32))
    sums = numbers.reshape(len(values), -1, 2, 16).astype(np.int32).sum(axis=3)
    if size == 256:
        np.testing.assert_array_equal(field(blocks, SUB_SUM16, 2, np.int16), sums)
        share = field(blocks, SUB_SHARE, 1, np.float32)[:, :, 0]
        np.testing.assert_array_equal(share, scales * sums.sum(axis=2).astype(np.float32))
    else:
        np.testing.assert_array_equal(field(blocks, K32_SUM16, 2, np.int32), sums)


@pytest.mark.parametrize("size", [256, 32])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bits=st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=40),
    scale=st.integers(-120, 20),
    seed=st.integers(0, 100),
)
def test_quantise_any_numbers(best, size: int, bits: list[float], scale: int, seed: int) -> None:
    values = np.zeros((1, 256), np.float32)
    values[0] = np.random.default_rng(seed).standard_normal(256) * 2.0**scale
    values[0, : len(bits)] = bits
    numbers, factors, _ = quantised(best, size, values)
    wanted, scales = stated(size, values)
    np.testing.assert_array_equal(numbers, wanted)
    np.testing.assert_array_equal(factors, scales)
    large = scales > 2.0**-90
    back = numbers * factors[..., None].astype(np.float64)
    error = np.abs(back - values.reshape(back.shape)).max(axis=2)
    assert (error[large] <= scales[large] * 0.5001).all()


@pytest.mark.parametrize("size", [256, 32])
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_a_fault_makes_the_factor_none(machine, size: int, fault: float) -> None:
    for place in (0, 17, 255):
        values = random_rows(256, 2)
        values[1, place] = fault
        numbers, factors, _ = quantised(machine, size, values)
        block = place // SHARING["k256" if size == 256 else "k32"]
        assert np.isfinite(factors[0]).all()
        assert not np.isfinite(factors[1, block])
        assert np.isfinite(np.delete(factors[1], block)).all()
        assert np.abs(numbers.astype(int)).max() <= 127


# The residual stream.


def rounded(machine, values: np.ndarray) -> np.ndarray:
    out = values.copy()
    machine.run(rounding.round_half(machine.target), [out, out.strides[0], out.shape[1]], len(out))
    return out


def same_as_residual(machine, values: np.ndarray) -> None:
    wanted = values.copy()
    round_f16(wanted)
    found = rounded(machine, values)
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))
    np.testing.assert_array_equal(rounded(machine, found), found)
    np.testing.assert_array_equal(unpack_f16(*pack_f16(found)), found)


def test_the_rounding_of_the_residual_stream(machine) -> None:
    same_as_residual(machine, awkward_rows(512))


def test_rows_at_powers_of_two(machine) -> None:
    """The largest number just below, at and just above every power of two, and at the tie before it."""
    exponents = np.arange(-130, 112)
    for step in (0.0, 2.0**-10, 2.0**-11, 2.0**-12, -(2.0**-24), 2.0**-23, -(2.0**-12), -(2.0**-13)):
        values = np.zeros((len(exponents), 32), np.float32)
        values[:, :] = np.random.default_rng(2).uniform(-1, 1, 32)
        values[:, 5] = 1 + step
        values *= (2.0**exponents)[:, None].astype(np.float64)
        same_as_residual(machine, values.astype(np.float32))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bits=st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=32),
    exponent=st.integers(0, 240),
)
def test_any_row(best, bits: list[int], exponent: int) -> None:
    """Random mantissas below a random exponent: all that is finite and far from overflow."""
    words = np.zeros((1, 32), np.uint32)
    words[0, : len(bits)] = bits
    words = (words & 0x807FFFFF) | (np.minimum(words >> 23 & 0xFF, exponent) << 23)
    same_as_residual(best, words.view(np.float32))
