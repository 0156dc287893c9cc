"""Snapshots of paged sessions: every cache type, damage named, the same bytes as the reference's layout."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from swarmnode.inference.cache.snapshots import SnapshotShape, pack, unpack
from swarmnode.inference.kernels.page_layout import PageLayout
from swarmnode.inference.stage.paged_sessions import PagedSessions
from swarmnode.inference.stage.paged_snapshots import export_pages, restore_pages
from swarmnode.values.errors import Refused

LAYERS, HEADS, POSITIONS = 2, 3, 150
KV = ["f32", "f16", "q8_0"]
DIMS = [8, 32, 48]


def shape_of(kv: str, dim: int) -> SnapshotShape:
    return SnapshotShape("llama", 4, 96, 300, HEADS, dim, 1, 3, "cpu-1", kv)


def rows_of(kv: str, dim: int, positions: int = POSITIONS) -> bytes:
    """Rows as the file has them: [layer, keys then values, position, head, numbers]."""
    numbers = (
        np.random.default_rng(dim).standard_normal((LAYERS, 2, positions, HEADS, dim)).astype(np.float32)
    )
    if kv != "q8_0":
        return numbers.astype({"f32": "<f4", "f16": "<f2"}[kv]).tobytes()
    padded = np.zeros((*numbers.shape[:4], -(-dim // 32) * 32), np.float32)
    padded[..., :dim] = numbers
    return quants.quantize(padded, GGMLQuantizationType.Q8_0).tobytes()


def sessions(kv: str, dim: int, tokens: int = 200) -> PagedSessions:
    found = PagedSessions(LAYERS, PageLayout(HEADS, dim, kv), None, None)
    found.open(1, tokens)
    return found


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("dim", DIMS)
def test_there_and_back(kv: str, dim: int) -> None:
    shape, found = shape_of(kv, dim), sessions(kv, dim)
    snapshot = pack(shape, POSITIONS, rows_of(kv, dim))
    restore_pages(shape, found, 1, snapshot)
    assert found.get(1).length == POSITIONS and len(found.get(1).pages) == 3
    assert export_pages(shape, found, 1, POSITIONS) == snapshot
    other = sessions(kv, dim)
    for position in (1, 63, 64, 65, 128):
        part = export_pages(shape, found, 1, position)
        restore_pages(shape, other, 1, part)
        assert export_pages(shape, other, 1, position) == part
        other.truncate(1, 0)


@pytest.mark.parametrize("kv", KV)
def test_numbers_lie_where_kernels_look(kv: str) -> None:
    """Against the layout that the attention kernel states: keys by number, values by position."""
    dim = 48
    shape, found = shape_of(kv, dim), sessions(kv, dim)
    restore_pages(shape, found, 1, pack(shape, POSITIONS, rows_of(kv, dim)))
    layer, head, position, number = 1, 2, 130, 37
    page, slot = found.get(1).pages[2], 130 - 128
    layout = found.layout
    start = page.offset + layer * layout.layer_bytes
    raw = page.slab.memory.bytes[start : start + layout.layer_bytes]
    keys = raw[head * layout.key_bytes :]
    values = raw[layout.values + head * layout.value_bytes :]
    kind = {"f32": np.float32, "f16": np.float16, "q8_0": np.int8}[kv]
    size = np.dtype(kind).itemsize
    at = {0: (number * 64 + slot) * size, 1: (slot * 48 + number) * size}
    for side, memory in ((0, keys), (1, values)):
        there = memory[at[side] : at[side] + size].view(kind)[0]
        rows = np.frombuffer(rows_of(kv, dim), np.uint8).reshape(LAYERS, 2, POSITIONS, HEADS, -1)
        row = rows[layer, side, position, head]
        if kv == "q8_0":
            assert there == row.reshape(2, 34)[1, 2 + number - 32].view(np.int8)
            factors = memory[dim * 64 :][: 2 * 2 * 64].view(np.float16)
            place = 1 * 64 + slot if side == 0 else slot * 2 + 1
            assert factors[place] == row.reshape(2, 34)[1, :2].view(np.float16)[0]
        else:
            assert there == row.view(kind)[number]


@pytest.mark.parametrize("kv", KV)
def test_damage_is_refused_and_the_session_stays_empty(kv: str) -> None:
    shape, rows = shape_of(kv, 32), bytearray(rows_of(kv, 32))
    found = sessions(kv, 32)
    good = pack(shape, POSITIONS, bytes(rows))
    fault = {"f32": np.float32, "f16": np.float16, "q8_0": np.float16}[kv](np.nan).tobytes()
    nan = fault + bytes(rows[len(fault) :])
    for bad in (
        b"",
        good[:-1],
        good + b"\0",
        good[:100],
        b"X" + good[1:],
        pack(shape, POSITIONS, nan),
        pack(shape_of(kv, 8), POSITIONS, rows_of(kv, 8)),
        pack(shape, POSITIONS - 1, bytes(rows)),
    ):
        with pytest.raises(Refused) as caught:
            restore_pages(shape, found, 1, bad)
        assert caught.value.code == "bad_snapshot"
        assert found.get(1).length == 0 and found.pool.bytes == 0
    restore_pages(shape, found, 1, good)


def test_refusals() -> None:
    shape, found = shape_of("f16", 8), sessions("f16", 8, tokens=100)
    snapshot = pack(shape, POSITIONS, rows_of("f16", 8))
    with pytest.raises(Refused) as caught:
        restore_pages(shape, found, 1, snapshot)
    assert caught.value.code == "bad_snapshot" and "100" in caught.value.message
    for position in (0, -1, 1):
        with pytest.raises(Refused) as caught:
            export_pages(shape, found, 1, position)
        assert caught.value.code == "bad_position"
    found.open(1, 200)
    restore_pages(shape, found, 1, snapshot)
    with pytest.raises(Refused) as caught:
        restore_pages(shape, found, 1, snapshot)
    assert caught.value.code == "session_not_empty"
    assert unpack(shape, export_pages(shape, found, 1, 70))[0] == 70
