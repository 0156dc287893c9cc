"""Kernels over rows against statements of the same rules in numpy and in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmnode.inference.kernels import rows
from swarmnode.inference.kernels.formats import (
    K32_SCALE,
    K32_SUM,
    K256_SCALE,
    K256_SUM16,
    K256_SUM32,
    padded,
    row_bytes,
)
from swarmnode.inference.kernels.program import float_bits
from swarmnode.inference.kernels.self_check import awkward_rows
from swarmnode.inference.stage.residual import pack_f16, round_f16, unpack_f16

EPSILON = 1e-5
COUNTS = [16, 60, 64, 300]


def table(count: int, rows_: int = 5, seed: int = 1) -> np.ndarray:
    """Rows padded with zeros to whole panels."""
    out = np.zeros((rows_, padded(count)), np.float32)
    out[:, :count] = np.random.default_rng(seed).standard_normal((rows_, count))
    return out


# Quantising.


def quantised(machine, size: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers [rows, blocks, size], the factors [rows, blocks], the raw blocks."""
    kernel, kind = (rows.quantise_256(), "k256") if size == 256 else (rows.quantise_32(), "k32")
    stride = row_bytes(kind, values.shape[1])
    out = np.zeros((len(values), stride), np.uint8)
    machine.run(kernel, [values, values.strides[0], values.shape[1], out, stride], len(values))
    blocks = out.reshape(len(values), values.shape[1] // size, -1)
    place = K256_SCALE if size == 256 else K32_SCALE
    factors = np.ascontiguousarray(blocks[:, :, place : place + 4]).view(np.float32)[:, :, 0]
    return blocks[:, :, :size].view(np.int8), factors, blocks


def stated(size: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rule in numpy, rounding for rounding."""
    blocks = values.reshape(len(values), -1, size)
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
    if size == 256:
        for step, place, count in ((16, K256_SUM16, 16), (32, K256_SUM32, 8)):
            found = np.ascontiguousarray(blocks[:, :, place : place + 2 * count]).view(np.int16)
            np.testing.assert_array_equal(
                found, numbers.reshape(10, 2, count, step).astype(np.int16).sum(axis=3)
            )
    else:
        found = np.ascontiguousarray(blocks[:, :, K32_SUM : K32_SUM + 4]).view(np.int32)[:, :, 0]
        np.testing.assert_array_equal(found, numbers.astype(np.int32).sum(axis=2))


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
        values = table(256, 2)
        values[1, place] = fault
        numbers, factors, _ = quantised(machine, size, values)
        block = place // size
        assert np.isfinite(factors[0]).all()
        assert not np.isfinite(factors[1, block])
        assert np.isfinite(np.delete(factors[1], block)).all()
        assert np.abs(numbers.astype(int)).max() <= 127


# Norms.


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_norms(machine, count: int, shift: float) -> None:
    values, weights, biases = table(count), table(count, 1, 2), table(count, 1, 3)
    values[:, :count] += shift
    stride = values.strides[0]
    wide = values[:, :count].astype(np.float64)
    arguments = [values, stride, count]
    rest = [weights, biases, float_bits(EPSILON)]
    out = np.full_like(values, 7)
    machine.run(rows.rms_norm(), [*arguments, out, stride, *rest], len(values))
    wanted = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + EPSILON) * weights[:, :count]
    np.testing.assert_allclose(out[:, :count], wanted, rtol=2e-6, atol=1e-7)
    machine.run(rows.layer_norm(), [*arguments, out, stride, *rest], len(values))
    centred = wide - wide.mean(axis=1, keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)
    wanted = wanted * weights[:, :count] + biases[:, :count]
    np.testing.assert_allclose(out[:, :count], wanted, rtol=1e-5, atol=2e-6 * (1 + shift))
    whole = -(-count // 16) * 16
    assert not out[:, count:whole].any()  # the padding stays zeros


@pytest.mark.parametrize("size", [8, 16, 20, 64])
def test_head_norm(machine, size: int) -> None:
    values = table(3 * size)
    weights = np.zeros(padded(size), np.float32)
    weights[:size] = table(size, 1, 2)[0, :size]
    heads = values[:, : 3 * size].reshape(5, 3, size).astype(np.float64)
    wanted = heads / np.sqrt((heads**2).mean(axis=2, keepdims=True) + EPSILON) * weights[:size]
    machine.run(rows.head_norm(), [values, values.strides[0], 3, size, weights, float_bits(EPSILON)], 5)
    np.testing.assert_allclose(values[:, : 3 * size].reshape(5, 3, size), wanted, rtol=2e-6, atol=1e-7)


# Sums, copies, activations.


def test_sums_and_copies(machine) -> None:
    values, others = table(60), table(60, 5, 2)
    stride = values.strides[0]
    one = values.copy()
    machine.run(rows.add_vector(), [one, stride, 60, others[3]], 5)
    np.testing.assert_array_equal(one, values + others[3])
    two = values.copy()
    machine.run(rows.add_rows(), [two, stride, 60, others, stride], 5)
    np.testing.assert_array_equal(two, values + others)
    chosen, three = np.array([4, 0, 4], np.int64), np.zeros((3, 64), np.float32)
    machine.run(rows.gather_rows(), [values, stride, 60, three, 256, chosen], 3)
    np.testing.assert_array_equal(three, values[[4, 0, 4]])
    four = values.copy()
    machine.run(rows.scale_rows(), [four, stride, 60, float_bits(0.3)], 5)
    np.testing.assert_array_equal(four, values * np.float32(0.3))


def test_softcap(machine) -> None:
    values = table(60) * 100
    wanted = 30 * np.tanh(values.astype(np.float64) / 30)
    machine.run(rows.softcap_rows(), [values, values.strides[0], 60, float_bits(30.0)], 5)
    np.testing.assert_allclose(values, wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_activations(machine, name: str) -> None:
    gates, ups = table(60) * 3, table(60, 5, 2)
    wide = gates.astype(np.float64)
    if name == "silu":
        wanted = wide / (1 + np.exp(-wide))
    else:
        wanted = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    stride = gates.strides[0]
    alone = gates.copy()
    machine.run(rows.activate(name, gated=False), [alone, stride, 60, 0, 0], 5)
    np.testing.assert_allclose(alone, wanted, atol=2e-6)
    machine.run(rows.activate(name, gated=True), [gates, stride, 60, ups, stride], 5)
    np.testing.assert_allclose(gates, wanted * ups, atol=1e-5)


def test_only_the_rows_asked_for(best) -> None:
    values = table(60)
    before = values.copy()
    best.run(rows.scale_rows(), [values, values.strides[0], 60, float_bits(2.0)], 3, first=1)
    np.testing.assert_array_equal(values[[0, 3, 4]], before[[0, 3, 4]])
    np.testing.assert_array_equal(values[1:3], 2 * before[1:3])


# Rotation.


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(("size", "turning"), [(16, 8), (20, 6), (64, 32)])
def test_rotation(machine, pairs: bool, size: int, turning: int) -> None:
    values = table(3 * size)
    angles = np.random.default_rng(1).uniform(-3, 3, (9, turning))
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    positions = np.array([0, 8, 3, 3, 1], np.int64)
    wanted = values.copy().astype(np.float64)
    heads = wanted[:, : 3 * size].reshape(5, 3, size)
    cos, sin = (turns[positions, side][:, None].astype(np.float64) for side in (0, 1))
    one = slice(0, 2 * turning, 2) if pairs else slice(0, turning)
    two = slice(1, 2 * turning, 2) if pairs else slice(turning, 2 * turning)
    x, y = heads[..., one].copy(), heads[..., two].copy()
    heads[..., one], heads[..., two] = x * cos - y * sin, x * sin + y * cos
    arguments = [values, values.strides[0], 3, size, turning, turns, positions]
    machine.run(rows.rotate(pairs=pairs), arguments, 5)
    np.testing.assert_allclose(values, wanted, atol=1e-6)


# The residual stream.


def rounded(machine, values: np.ndarray) -> np.ndarray:
    out = values.copy()
    machine.run(rows.round_half(machine.target), [out, out.strides[0], out.shape[1]], len(out))
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
