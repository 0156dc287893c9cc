"""Products of bytes are exact on every instruction set, at the extremes too."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from swarmnode.inference.kernels.code import I64, Code
from swarmnode.inference.kernels.dots import (
    I8V,
    I16V,
    I32V,
    dot_group,
    dot_pairs,
    dot_signed,
    offset_of,
)

VECTORS = 8


def group(highest: int, target, module) -> None:
    code = Code(module, "dots", 3)
    weights, rows, out = code.loads(I64, code.arguments[0], 3)
    ones = [code.load(I8V, weights, 64 * index) for index in range(VECTORS)]
    twos = [code.load(I8V, rows, 64 * index) for index in range(VECTORS)]
    code.store(dot_group(code, target, ones, twos, highest), out)
    code.end()


def signed(target, module) -> None:
    code = Code(module, "dots", 3)
    weights, rows, start, out = code.loads(I64, code.arguments[0], 4)
    ones = [code.load(I8V, weights, 64 * index) for index in range(VECTORS)]
    twos = [code.load(I8V, rows, 64 * index) for index in range(VECTORS)]
    code.store(dot_signed(code, target, ones, twos, code.load(I32V, start)), out)
    code.end()


def pairs(target, module) -> None:
    code = Code(module, "dots", 3)
    one, two, start, out = code.loads(I64, code.arguments[0], 4)
    total = code.load(I32V, start)
    code.store(dot_pairs(code, target, total, code.load(I16V, one), code.load(I16V, two)), out)
    code.end()


def exact(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Four bytes a lane: i32 [16]."""
    products = weights.astype(np.int64) * rows.astype(np.int64)
    return products.reshape(VECTORS, 16, 4).sum(axis=(0, 2)).astype(np.int32)


def rows_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "random":
        return rng.integers(-127, 128, 64 * VECTORS).astype(np.int8)
    if kind == "mixed":
        return rng.choice(np.array([-127, 127], np.int8), 64 * VECTORS)
    return np.full(64 * VECTORS, 127 if kind == "highest" else -127, np.int8)


ROWS = ["random", "mixed", "highest", "lowest"]


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("highest", [15, 31, 63, 127])
def test_unsigned_groups(machine, highest: int, kind: str) -> None:
    rng = np.random.default_rng(highest)
    rows, out = rows_of(kind, rng), np.zeros(16, np.int32)
    for weights in (
        np.full(64 * VECTORS, highest, np.uint8),
        rng.integers(0, highest + 1, 64 * VECTORS).astype(np.uint8),
    ):
        machine.apply("dots", partial(group, highest, machine.target), weights, rows, out)
        np.testing.assert_array_equal(out, exact(weights, rows))


@pytest.mark.parametrize("kind", ROWS)
def test_signed_weights_of_any_value(machine, kind: str) -> None:
    rng = np.random.default_rng(1)
    rows, out = rows_of(kind, rng), np.zeros(16, np.int32)
    sums = exact(np.ones_like(rows), rows)
    for weights in (
        np.full(64 * VECTORS, -128, np.int8),
        np.full(64 * VECTORS, 127, np.int8),
        rng.integers(-128, 128, 64 * VECTORS).astype(np.int8),
    ):
        start = (sums * -offset_of(machine.target)).astype(np.int32)
        machine.apply("dots", partial(signed, machine.target), weights, rows, start, out)
        np.testing.assert_array_equal(out, exact(weights, rows))


def test_pairs_of_words(machine) -> None:
    rng = np.random.default_rng(2)
    start, out = rng.integers(-(2**20), 2**20, 16).astype(np.int32), np.zeros(16, np.int32)
    for one in (np.full(32, -32768, np.int16), rng.integers(-32768, 32768, 32).astype(np.int16)):
        two = rng.integers(-8192, 8192, 32).astype(np.int16)
        machine.apply("dots", partial(pairs, machine.target), one, two, start, out)
        expected = (one.astype(np.int64) * two).reshape(16, 2).sum(axis=1) + start
        np.testing.assert_array_equal(out, expected)
