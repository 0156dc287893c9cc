"""Functions of floats against the C library's in double precision, and against numpy's float16."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from swarmnode.inference.kernels import floats
from swarmnode.inference.kernels.code import F32V, I16, I64, LANES, Code, vector

EVERY_HALF = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)


def of_floats(work: Callable, target, module) -> None:
    """out = work(numbers), 16 at a time."""
    code = Code(module, "work", 3)
    numbers, out, counts = code.loads(I64, code.arguments[0], 3)
    with code.range(0, code.load(I64, counts), LANES) as index:
        code.store(work(code, code.load(F32V, numbers + index * 4)), out + index * 4)
    code.end()


def widen(target, module) -> None:
    code = Code(module, "work", 3)
    numbers, out, counts = code.loads(I64, code.arguments[0], 3)
    with code.range(0, code.load(I64, counts), LANES) as index:
        wide = floats.load_half(code, target, numbers + index * 2)
        code.store(wide, out + index * 4)
    code.end()


def narrow(target, module) -> None:
    code = Code(module, "work", 3)
    numbers, out, counts = code.loads(I64, code.arguments[0], 3)
    with code.range(0, code.load(I64, counts), LANES) as index:
        halves = floats.narrow_half(code, target, code.load(F32V, numbers + index * 4))
        code.store(halves, out + index * 2)
    code.end()


def widen_bfloat(target, module) -> None:
    code = Code(module, "work", 3)
    numbers, out, counts = code.loads(I64, code.arguments[0], 3)
    with code.range(0, code.load(I64, counts), LANES) as index:
        bits = code.load(vector(I16, LANES), numbers + index * 2)
        code.store(floats.widen_bfloat(code, bits), out + index * 4)
    code.end()


def computed(machine, work: Callable, numbers: np.ndarray, kind: type = np.float32) -> np.ndarray:
    out = np.zeros(len(numbers), kind)
    machine.apply("work", partial(work, machine.target), numbers, out, np.array([len(numbers)], np.int64))
    return out


def function(machine, work: Callable, numbers: np.ndarray) -> np.ndarray:
    return computed(machine, partial(of_floats, work), numbers)


def ulps(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance in units of the last place of the exact value as float32."""
    return float(
        (np.abs(found.astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(np.float32))).max()
    )


def test_exp(machine) -> None:
    numbers = np.concatenate(
        [np.linspace(-87, 88, 100_000), np.linspace(-1e-3, 1e-3, 1001), [0.0, -0.0, 1.0] * 5]
    ).astype(np.float32)[: 101_008 // 16 * 16]
    exact = np.array([math.exp(float(number)) for number in numbers])
    assert ulps(function(machine, floats.exp, numbers), exact) <= 1.1


def test_exp_at_its_ends(machine) -> None:
    ends = [-87, -100, -np.inf, -3e38, 88, 100, np.inf, 3e38, np.nan, -np.nan, 0, 1e-45]
    found = function(machine, floats.exp, np.array(ends + [0] * 4, np.float32))
    assert (found[:4] == found[0]).all() and 0 < found[0] < 2e-38
    assert (found[4:8] == found[4]).all() and 1e38 < found[4] < np.inf
    assert np.isnan(found[8:10]).all()
    assert (found[10:] == 1).all()


@pytest.mark.parametrize(
    ("work", "exact", "allowed"),
    [
        (floats.sigmoid, lambda x: 1 / (1 + math.exp(-x)), 4.0),
        (floats.silu, lambda x: x / (1 + math.exp(-x)), 4.0),
    ],
)
def test_sigmoid_and_silu(machine, work: Callable, exact: Callable, allowed: float) -> None:
    numbers = np.linspace(-80, 80, 16_000).astype(np.float32)
    assert ulps(function(machine, work, numbers), np.array([exact(float(x)) for x in numbers])) <= allowed


def gelu(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(("work", "exact"), [(floats.tanh, math.tanh), (floats.gelu, gelu)])
def test_tanh_and_gelu(machine, work: Callable, exact: Callable) -> None:
    """Their absolute error is that of one rounding near 1, times the number for GELU."""
    numbers = np.linspace(-20, 20, 16_000).astype(np.float32)
    wanted = np.array([exact(float(number)) for number in numbers])
    error = np.abs(function(machine, work, numbers) - wanted)
    assert (error <= 3e-7 * np.maximum(1, np.abs(numbers))).all()


def test_activations_far_out(machine) -> None:
    numbers = np.array([1e30, -1e30, 3e38, -3e38, 500, -500, 0, 1e-40] * 2, np.float32)
    silu = function(machine, floats.silu, numbers)
    assert (silu[numbers >= 500] == numbers[numbers >= 500]).all()
    assert np.isfinite(silu).all() and np.abs(silu[5]) < 1e-30
    assert (function(machine, floats.tanh, numbers)[[0, 1]] == [1, -1]).all()


def test_every_half_widens_exactly(machine) -> None:
    found = computed(machine, widen, EVERY_HALF)
    exact = EVERY_HALF.view(np.float16).astype(np.float32)
    numbers = ~np.isnan(exact)
    np.testing.assert_array_equal(found[numbers].view(np.uint32), exact[numbers].view(np.uint32))
    assert np.isnan(found[~numbers]).all() and (~numbers).sum() == 2046


def test_every_bfloat_widens_exactly(machine) -> None:
    found = computed(machine, widen_bfloat, EVERY_HALF)
    np.testing.assert_array_equal(found.view(np.uint32), EVERY_HALF.astype(np.uint32) << 16)


def test_halves_come_back(machine) -> None:
    halves = EVERY_HALF.view(np.float16)
    found = computed(machine, narrow, halves.astype(np.float32), np.uint16)
    numbers = ~np.isnan(halves)
    np.testing.assert_array_equal(found[numbers], EVERY_HALF[numbers])
    assert np.isnan(found[~numbers].view(np.float16)).all()


def test_narrowing_rounds_as_numpy(machine) -> None:
    """Every tie between two float16, its two neighbours, all powers of two, and random bits."""
    finite = np.arange(0x7C00, dtype=np.uint32)
    low, high = (finite[:-1] + step for step in (0, 1))
    ties = (low.astype(np.uint16).view(np.float16).astype(np.float32) / 2) + (
        high.astype(np.uint16).view(np.float16).astype(np.float32) / 2
    )
    bits = ties.view(np.uint32)
    powers = np.arange(256, dtype=np.uint32) << 23
    random = np.random.default_rng(1).integers(0, 1 << 32, 100_000, dtype=np.uint64).astype(np.uint32)
    special = np.array([65504, 65519.996, 65520, 65536, np.inf, 1e-45, 2**-25, 2**-24], np.float32)
    numbers = np.concatenate([bits, bits - 1, bits + 1, powers, powers + 1, random, special.view(np.uint32)])
    numbers = np.concatenate([numbers, numbers | np.uint32(1 << 31)])
    numbers = numbers[: len(numbers) // 16 * 16].view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        exact = numbers.astype(np.float16)
    found = computed(machine, narrow, numbers, np.uint16)
    known = ~np.isnan(numbers)
    np.testing.assert_array_equal(found[known], exact[known].view(np.uint16))
    assert np.isnan(found[~known].view(np.float16)).all()
