"""Packing against the layout that `formats` states, numbers against the gguf package."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from swarmnode.inference.kernels.formats import (
    FORMATS,
    K32_BYTES,
    K256_BYTES,
    PANEL,
    Format,
    padded,
    row_bytes,
)
from swarmnode.inference.kernels.pack import FILE_BYTES, pack
from swarmnode.inference.kernels.program import Memory
from swarmnode.models.gguf import GGML_TYPES


def names(format: Format) -> str:
    return format.name


def random_rows(format: Format, rows: int, blocks: int) -> np.ndarray:
    rng = np.random.default_rng(rows)
    raw = rng.integers(0, 256, (rows, blocks, FILE_BYTES[format.name]), dtype=np.uint8)
    for place in {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q8_0": (0,), "Q4_0": (0,)}.get(
        format.name, ()
    ):
        raw[:, :, place : place + 2] = (
            rng.uniform(-2, 2, (rows, blocks)).astype(np.float16)[..., None].view(np.uint8)
        )
    return raw.reshape(rows, -1)


def panels_of(machine, format: Format, raw: np.ndarray, blocks: int, row_stride: int = 0) -> np.ndarray:
    """uint8 [panels, blocks, size]."""
    rows, panels = len(raw), format.panels(len(raw))
    memory = Memory(format.bytes(rows, blocks * format.block))
    machine.run(pack(format), [raw, row_stride or raw.shape[1], rows, blocks, memory.address], panels)
    return memory.bytes[: panels * blocks * format.size].reshape(panels, blocks, format.size).copy()


def signed6(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64) - 32


def numbers_of(format: Format, panels: np.ndarray) -> np.ndarray:
    """float64 [rows of all panels, width]: the layout read by its description, byte by byte."""
    count, blocks, _ = panels.shape
    out = np.zeros((count, 16, blocks, format.block))
    for place in np.ndindex(count, blocks):
        block = panels[place]
        for row in range(16):
            out[place[0], row, place[1]] = one_row(format, block, row)
    return out.reshape(count * 16, blocks * format.block)


def half(block: np.ndarray, at: int, row: int) -> float:
    return float(block[at + 2 * row : at + 2 * row + 2].view(np.float16)[0])


def one_row(format: Format, block: np.ndarray, row: int) -> np.ndarray:
    def word(vector: int) -> np.ndarray:
        return block[64 * vector + 4 * row : 64 * vector + 4 * row + 4]

    if format.name == "Q8_0":
        numbers = np.concatenate([word(index) for index in range(8)]).view(np.int8)
        return numbers * half(block, 512, row)
    low = [np.concatenate([word(4 * part + i) for i in range(4)]) for part in range(format.block // 32)]
    numbers = np.concatenate([np.concatenate([one & 15, one >> 4]) for one in low]).astype(np.int64)
    if format.name == "Q4_0":
        return (numbers - 8) * half(block, 256, row)
    index = np.arange(256)
    if format.name == "Q6_K":
        return sixth(block, row, numbers, index)
    scales = 2560 if format.name == "Q5_K" else 2048
    if format.name == "Q5_K":
        part, inner = index // 32, index % 32
        at = 2048 + 64 * part + 4 * row + inner % 4
        numbers = numbers + 16 * (block[at] >> (2 * (inner % 16 // 4) + inner // 16) & 1)
    part = index // 32
    scale = block[scales + 16 * part + row].astype(np.int64)
    least = block[scales + 128 + 16 * part + row].astype(np.int64)
    return half(block, scales + 256, row) * scale * numbers - half(block, scales + 288, row) * least


def sixth(block: np.ndarray, row: int, numbers: np.ndarray, index: np.ndarray) -> np.ndarray:
    part, inner = index // 32, index % 32
    quad = inner % 16 // 4
    at = 2048 + 128 * part + 64 * (quad // 2) + 4 * row + inner % 4
    numbers = numbers + 16 * (block[at] >> (4 * (quad % 2) + 2 * (inner // 16)) & 3)
    scale = block[3072 + 16 * (index // 16) + row].view(np.int8).astype(np.int64)
    return half(block, 3328, row) * scale * signed6(numbers)


@pytest.mark.parametrize("rows", [1, 16, 17])
@pytest.mark.parametrize("name", ["Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q4_0"])
def test_panels_hold_what_the_file_says(machine, name: str, rows: int) -> None:
    format = FORMATS[name]
    raw = random_rows(format, rows, 2)
    found = numbers_of(format, panels_of(machine, format, raw, 2))
    wanted = quants.dequantize(raw, GGMLQuantizationType[name]).astype(np.float64)
    np.testing.assert_allclose(found[:rows], wanted, rtol=1e-5, atol=1e-5)
    assert not found[rows:].any()  # rows that fill up the last panel


@pytest.mark.parametrize("rows", [1, 32, 45])
@pytest.mark.parametrize("name", ["F16", "BF16", "F32"])
def test_float_panels(machine, name: str, rows: int) -> None:
    format = FORMATS[name]
    width, item = 20, FILE_BYTES[name]
    raw = random_rows(format, rows, width)
    found = panels_of(machine, format, raw, width).reshape(-1, width, 32, item).transpose(0, 2, 1, 3)
    found = found.reshape(-1, width * item)
    np.testing.assert_array_equal(found[:rows], raw)
    assert not found[rows:].any()


def test_rows_further_apart(best) -> None:
    """Rows of the file may be taken with others between them."""
    format = FORMATS["Q8_0"]
    raw = random_rows(format, 20, 3)
    every = panels_of(best, format, np.ascontiguousarray(raw[::2]), 3)
    apart = panels_of(best, format, raw[:10], 3, row_stride=2 * raw.shape[1])
    np.testing.assert_array_equal(every, apart)


@pytest.mark.parametrize("format", FORMATS.values(), ids=names)
def test_sizes(format: Format) -> None:
    known = {name: size for name, elements, size in GGML_TYPES.values() if elements == format.block}
    assert known[format.name] == FILE_BYTES[format.name]
    width = 4 * format.block
    assert format.panels(0) == 0 and format.panels(1) == 1 and format.panels(format.rows + 1) == 2
    assert format.bytes(format.rows + 1, width) == 2 * 4 * format.size
    # As much as the file has, and what is unpacked for speed: scales of 6 bits take 8.
    assert 1 <= format.size / (format.rows * FILE_BYTES[format.name]) < 1.04
    assert PANEL % format.rows == 0


def test_rows_of_activations() -> None:
    assert row_bytes("k256", 512) == 2 * K256_BYTES
    assert row_bytes("k32", 96) == 3 * K32_BYTES
    assert row_bytes("f32", 33) == 256
    assert [padded(width) for width in (0, 1, 32, 33)] == [0, 32, 32, 64]
