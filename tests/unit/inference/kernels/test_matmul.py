"""Products of packed weights against `gguf.quants` and exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from swarmnode.inference.kernels.formats import (
    FORMATS,
    K32_SCALES,
    K32_SUM16,
    SHARING,
    SUB_BYTES,
    SUB_SCALE,
    SUB_SHARE,
    SUB_SUM16,
    Format,
    padded,
    row_bytes,
)
from swarmnode.inference.kernels.matmul import matmul
from swarmnode.inference.kernels.pack import FILE_BYTES, pack
from swarmnode.inference.kernels.program import Memory

QUANTISED = [one for one in FORMATS.values() if one.activation != "f32"]
FLOATS = [one for one in FORMATS.values() if one.activation == "f32"]
FACTORS = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q8_0": (0,), "Q4_0": (0,)}


def names(format: Format) -> str:
    return format.name


def file_rows(format: Format, rows: int, width: int, factor: float, seed: int = 1) -> np.ndarray:
    """Random blocks of a file, uint8 [rows, bytes]; all float16 factors are +-`factor`."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (rows, width // format.block, FILE_BYTES[format.name]), dtype=np.uint8)
    for place in FACTORS[format.name]:
        signs = rng.choice(np.array([factor, -factor], np.float16), blocks.shape[:2])
        blocks[:, :, place : place + 2] = signs[:, :, None].view(np.uint8)
    return blocks.reshape(rows, -1)


def unpacked(format: Format, raw: np.ndarray) -> np.ndarray:
    """float64 [rows, width], by the gguf package."""
    return quants.dequantize(raw, GGMLQuantizationType[format.name]).astype(np.float64)


def packed(machine, format: Format, raw: np.ndarray, width: int) -> Memory:
    memory = Memory(format.bytes(len(raw), width))
    fields = [raw, raw.shape[1], len(raw), width // format.block, memory.address]
    machine.run(pack(format), fields, format.panels(len(raw)))
    return memory


def activations(format: Format, numbers: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Blocks by hand. numbers: int8 [rows, width]; scales: float32 [rows, groups that share one]."""
    rows, width = numbers.shape
    out = np.zeros((rows, width // 32, SUB_BYTES), np.uint8)
    out[:, :, :32] = numbers.reshape(rows, -1, 32).view(np.uint8)
    sums = numbers.reshape(rows, -1, 2, 16).astype(np.int64).sum(axis=3)

    def put(place: int, values: np.ndarray) -> None:
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(rows, width // 32, -1)
        out[:, :, place : place + raw.shape[2]] = raw

    if format.activation == "k256":
        put(SUB_SUM16, sums.astype(np.int16))
        put(SUB_SCALE, scales)
        put(SUB_SHARE, scales * sums.sum(axis=2).astype(np.float32))
    else:
        put(K32_SUM16, sums.astype(np.int32))
        put(K32_SCALES, scales)
    return out.reshape(rows, -1)


def multiply(
    machine, format: Format, weights: Memory, weight_rows: int, width: int, inputs: np.ndarray
) -> np.ndarray:
    """float32 [rows, weight_rows]."""
    rows, order = len(inputs), np.arange(len(inputs), dtype=np.int64)
    out = np.full((rows, padded(weight_rows)), np.nan, np.float32)
    panels = format.panels(weight_rows)
    counts, starts = np.array([rows], np.int64), np.zeros(1, np.int64)
    machine.run(
        matmul(format, machine.target),
        [
            weights.address,
            panels,
            0,
            width // format.block,
            inputs,
            inputs.strides[0],
            out,
            out.strides[0],
            counts,
            starts,
            order,
            order,
        ],
        panels,
    )
    assert not np.isnan(out[:, : panels * format.rows]).any()
    return out[:, :weight_rows]


@pytest.mark.parametrize("rows", range(1, 10))
@pytest.mark.parametrize("format", QUANTISED, ids=names)
def test_equal_to_exact_arithmetic(machine, format: Format, rows: int) -> None:
    """With powers of two as factors nothing is rounded: every bit must be right. Odd numbers of rows of
    weights, widths of one block and of several."""
    rng = np.random.default_rng(rows)
    for weight_rows, blocks in ((1, 1), (16, 3), (17, 2), (33, 1)):
        width = format.block * blocks
        raw = file_rows(format, weight_rows, width, 2.0**-6, rows)
        numbers = rng.integers(-127, 128, (rows, width)).astype(np.int8)
        if format.block == 256:
            numbers //= 32  # sums of superblocks stay below 2**24
        shared = SHARING[format.activation]
        scales = (2.0 ** rng.integers(-3, 0, (rows, width // shared))).astype(np.float32)
        inputs = activations(format, numbers, scales)
        found = multiply(machine, format, packed(machine, format, raw, width), weight_rows, width, inputs)
        values = numbers * np.repeat(scales, shared, axis=1).astype(np.float64)
        np.testing.assert_array_equal(found, values @ unpacked(format, raw).T)


@pytest.mark.parametrize("format", QUANTISED, ids=names)
@pytest.mark.parametrize("byte", [0x00, 0x0F, 0x7F, 0x80, 0xFF])
@pytest.mark.parametrize("number", [127, -127])
def test_extremes_do_not_overflow(machine, format: Format, byte: int, number: int) -> None:
    """All numbers of all blocks at an end of their range, and the activations too."""
    raw = file_rows(format, 3, 2 * format.block, 0.5)
    blocks = raw.reshape(3, 2, -1)
    factors = {place: blocks[:, :, place : place + 2].copy() for place in FACTORS[format.name]}
    blocks[...] = byte
    for place, factor in factors.items():
        blocks[:, :, place : place + 2] = factor
    width = 2 * format.block
    numbers = np.full((2, width), number, np.int8)
    scales = np.ones((2, width // SHARING[format.activation]), np.float32)
    inputs = activations(format, numbers, scales)
    found = multiply(machine, format, packed(machine, format, raw, width), 3, width, inputs)
    exact = numbers.astype(np.float64) @ unpacked(format, raw).T
    parts = np.abs(numbers).astype(np.float64) @ np.abs(unpacked(format, raw)).T
    # One rounding of each block's integer and one of each sum.
    assert (np.abs(found - exact) <= 2.0**-22 * parts + 1e-30).all()


@pytest.mark.parametrize("format", QUANTISED, ids=names)
def test_usual_factors(machine, format: Format) -> None:
    rng = np.random.default_rng(3)
    weight_rows, width, rows = 40, 4 * format.block, 7
    raw = file_rows(format, weight_rows, width, 0.0123)
    numbers = rng.integers(-127, 128, (rows, width)).astype(np.int8)
    shared = SHARING[format.activation]
    scales = rng.uniform(0.001, 0.1, (rows, width // shared)).astype(np.float32)
    inputs = activations(format, numbers, scales)
    found = multiply(machine, format, packed(machine, format, raw, width), weight_rows, width, inputs)
    values = numbers * np.repeat(scales, shared, axis=1).astype(np.float64)
    weights = unpacked(format, raw)
    bound = np.abs(values) @ np.abs(weights).T
    assert (np.abs(found - values @ weights.T) <= 2.0**-20 * bound).all()


@pytest.mark.parametrize("rows", range(1, 10))
@pytest.mark.parametrize("format", FLOATS, ids=names)
def test_float_weights(machine, format: Format, rows: int) -> None:
    """Whole numbers are exact; others are as close as float32 sums can be."""
    rng = np.random.default_rng(rows)
    for weight_rows, width in ((1, 1), (33, 20), (32, 256), (40, 600)):
        for whole in (True, False):
            weights = rng.standard_normal((weight_rows, width))
            values = rng.standard_normal((rows, width)).astype(np.float32)
            if whole:
                weights, values = np.rint(weights * 9), np.rint(values * 9)
            if format.name == "F16":
                raw = weights.astype(np.float16).view(np.uint8)
                exact = weights.astype(np.float16)
            else:
                raw = weights.astype(np.float32).view(np.uint8)
                exact = weights.astype(np.float32)
            if format.name == "BF16":
                raw = np.ascontiguousarray(raw.reshape(weight_rows, width, 4)[:, :, 2:])
                exact = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
            raw = raw.reshape(weight_rows, -1)
            exact = exact.reshape(weight_rows, width).astype(np.float64)
            inputs = np.zeros((rows, padded(width)), np.float32)
            inputs[:, :width] = values
            memory = packed(machine, format, raw, width)
            found = multiply(machine, format, memory, weight_rows, width, inputs)
            wanted = values.astype(np.float64) @ exact.T
            if whole:
                np.testing.assert_array_equal(found, wanted)
            else:
                bound = np.abs(values).astype(np.float64) @ np.abs(exact).T
                assert (np.abs(found - wanted) <= 2.0**-18 * bound).all()


@pytest.mark.parametrize("format", FORMATS.values(), ids=names)
def test_groups_of_experts(machine, format: Format) -> None:
    """Rows of several groups, some empty, taken from anywhere and put anywhere: the bits of one group
    alone."""
    rng = np.random.default_rng(4)
    experts, weight_rows, width, rows = 4, 19, 2 * format.block, 12
    if format.activation == "f32":
        raw = rng.standard_normal((experts * weight_rows, width)).astype(np.float16)
        raw = raw.astype(np.float32) if format.name == "F32" else raw
        raw = raw.view(np.uint8).reshape(experts * weight_rows, -1)
        inputs = np.zeros((rows, padded(width)), np.float32)
        inputs[:, :width] = rng.standard_normal((rows, width))
    else:
        raw = file_rows(format, experts * weight_rows, width, 0.011)
        numbers = rng.integers(-127, 128, (rows, width)).astype(np.int8)
        scales = rng.uniform(0.01, 1, (rows, width // SHARING[format.activation]))
        inputs = activations(format, numbers, scales.astype(np.float32))
    size, panels = format.bytes(weight_rows, width), format.panels(weight_rows)
    memory, alone = Memory(experts * size), []
    for expert in range(experts):
        mine = packed(machine, format, np.ascontiguousarray(raw[expert * weight_rows :][:weight_rows]), width)
        memory.bytes[expert * size : (expert + 1) * size] = mine.bytes[:size]
        alone.append(multiply(machine, format, mine, weight_rows, width, inputs))
    counts = np.array([5, 0, 9, 2], np.int64)
    starts = np.array([0, 5, 5, 14], np.int64)
    sources = rng.integers(0, rows, 16)
    targets = rng.permutation(16)
    out = np.full((16, padded(weight_rows)), np.nan, np.float32)
    place = [memory.address, panels, size, width // format.block, inputs, inputs.strides[0]]
    fields = [*place, out, out.strides[0], counts, starts, sources, targets]
    machine.run(matmul(format, machine.target), fields, panels * experts)
    owners = np.repeat(np.arange(experts), counts)
    for owner, source, target in zip(owners, sources, targets, strict=True):
        np.testing.assert_array_equal(
            out[target, :weight_rows].view(np.uint32), alone[owner][source].view(np.uint32)
        )


@pytest.mark.parametrize("format", FORMATS.values(), ids=names)
def test_a_range_of_items_touches_its_panels_only(best, format: Format) -> None:
    weight_rows, width = 3 * format.rows, format.block
    raw = np.ones((weight_rows, FILE_BYTES[format.name]), np.uint8)
    memory = packed(best, format, raw, width)
    inputs = np.zeros((1, max(row_bytes(format.activation, max(width, 32)), 128)), np.uint8)
    out = np.full((1, padded(weight_rows)), 7, np.float32)
    one, zero = np.ones(1, np.int64), np.zeros(1, np.int64)
    fields = [memory.address, 3, 0, 1, inputs, inputs.shape[1], out, out.nbytes, one, zero, zero, zero]
    best.run(matmul(format, best.target), fields, 2, first=1)
    touched = np.zeros(padded(weight_rows), bool)
    touched[format.rows : 2 * format.rows] = True
    assert ((out[0] != 7) == touched).all()
