"""Snapshots as bytes: read back as written, and refused by name when anything is not right."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.inference.cache.snapshots import MAX_HEADER, SnapshotShape, pack, unpack
from swarmnode.values.errors import Refused

SHAPE = SnapshotShape("llama", 4, 64, 300, 2, 8, 1, 3, "numpy-1/X:kv=f16:residual=f16", "f16")
POSITIONS = 3
ROWS = np.arange(2 * 2 * POSITIONS * 2 * 8, dtype="<f2").tobytes()
SNAPSHOT = pack(SHAPE, POSITIONS, ROWS)


def refused(snapshot: bytes, shape: SnapshotShape = SHAPE) -> str:
    with pytest.raises(Refused) as caught:
        unpack(shape, snapshot)
    assert caught.value.code == "bad_snapshot" and caught.value.hint
    return caught.value.message


def with_header(header: bytes, rows: bytes = ROWS) -> bytes:
    return b"SNKV\1\0" + len(header).to_bytes(2, "little") + header + rows


def test_what_is_packed_is_unpacked() -> None:
    position, rows = unpack(SHAPE, SNAPSHOT)
    assert position == POSITIONS and bytes(rows) == ROWS
    assert len(ROWS) == POSITIONS * SHAPE.position_bytes


def test_it_says_what_it_is() -> None:
    assert SNAPSHOT[:6] == b"SNKV\1\0"
    length = int.from_bytes(SNAPSHOT[6:8], "little")
    header = json.loads(SNAPSHOT[8 : 8 + length])
    assert header["position"] == 3 and header["profile"] == SHAPE.profile and header["end_layer"] == 3


def test_a_row_has_the_bytes_of_its_type() -> None:
    assert replace(SHAPE, kv="f32").position_bytes == 2 * SHAPE.position_bytes == 2 * (2 * 2 * 2 * 8) * 2
    assert replace(SHAPE, kv="q8_0", head_dim=64).head_bytes == 2 * 34


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("architecture", "qwen2"),
        ("model_layers", 5),
        ("hidden", 65),
        ("vocab", 301),
        ("kv_heads", 1),
        ("head_dim", 16),
        ("first_layer", 0),
        ("end_layer", 4),
        ("profile", "numpy-1/Y:kv=f16:residual=f16"),
        ("kv", "f32"),
    ],
)
def test_one_of_another_shape_is_refused_by_name(field: str, value: object) -> None:
    assert f"its {field} is" in refused(SNAPSHOT, replace(SHAPE, **{field: value}))


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (b"", "does not begin"),
        (b"SNKV", "does not begin"),
        (b"X" + SNAPSHOT[1:], "does not begin"),
        (b"SNKV\2\0" + SNAPSHOT[6:], "version 2"),
        (SNAPSHOT[:30], "not whole"),
        (b"SNKV\1\0\xff\xff" + bytes(70_000), f"longer than {MAX_HEADER}"),
        (with_header(b"{"), "cannot be read"),
        (with_header(b"[]"), "cannot be read"),
        (with_header(b"[" * 4000), "cannot be read"),
        (with_header(b"\xff"), "cannot be read"),
        (with_header(b"{}"), "architecture"),
        (SNAPSHOT[:-1], "383 bytes of rows, not 384"),
        (SNAPSHOT + b"\0", "385 bytes of rows"),
        (pack(SHAPE, 0, b""), "of 0 positions"),
        (pack(SHAPE, True, ROWS), "of True positions"),
        (pack(SHAPE, -1, ROWS), "of -1 positions"),
        (pack(SHAPE, 1 << 62, ROWS), "bytes of rows"),
    ],
)
def test_a_damaged_one_is_refused(snapshot: bytes, why: str) -> None:
    assert why in refused(snapshot)


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kv", ["f16", "f32"])
def test_numbers_that_are_not_finite_are_refused(number: float, kv: str) -> None:
    shape = replace(SHAPE, kv=kv)
    rows = np.zeros(POSITIONS * 64, "<f2" if kv == "f16" else "<f4")
    assert unpack(shape, pack(shape, POSITIONS, rows.tobytes()))[0] == POSITIONS
    rows[77] = number
    assert "not finite" in refused(pack(shape, POSITIONS, rows.tobytes()), shape)


def test_the_scales_of_q8_0_must_be_finite() -> None:
    shape = replace(SHAPE, kv="q8_0", head_dim=32)
    rows = np.zeros((8, 17), "<u2")
    rows[:, 1:] = 0x7FFF  # small whole numbers, whatever they look like as float16
    assert unpack(shape, pack(shape, 1, rows.tobytes()))[0] == 1
    rows[5, 0] = 0x7C00
    assert "not finite" in refused(pack(shape, 1, rows.tobytes()), shape)


@given(st.binary(max_size=300), st.integers(0, len(SNAPSHOT)))
def test_anything_else_is_refused_too(noise: bytes, at: int) -> None:
    damaged = SNAPSHOT[:at] + noise + SNAPSHOT[at + len(noise) + 1 :]
    try:
        assert unpack(SHAPE, damaged)[0] == POSITIONS
    except Refused as error:
        assert error.code == "bad_snapshot"
