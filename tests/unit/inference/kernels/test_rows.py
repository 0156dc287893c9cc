"""Kernels over rows against statements of the same rules in numpy and in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from swarmnode.inference.kernels import rows
from swarmnode.inference.kernels.formats import (
    padded,
)
from swarmnode.inference.kernels.program import float_bits

EPSILON = 1e-5
COUNTS = [16, 60, 64, 300]


def table(count: int, rows_: int = 5, seed: int = 1) -> np.ndarray:
    """Rows padded with zeros to whole panels."""
    out = np.zeros((rows_, padded(count)), np.float32)
    out[:, :count] = np.random.default_rng(seed).standard_normal((rows_, count))
    return out


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
