"""Products with matrices: each row alone, in the same blocks however the weights are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.stage import weights
from swarmnode.inference.stage.blas import hold_to_one_thread
from swarmnode.inference.stage.scratch import Scratch
from swarmnode.inference.stage.weights import Matrix, Table, rows_per_block, vector_of
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model

QKV = ("blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight")


@pytest.fixture(params=["F32", "Q8_0"])
def gguf(request: pytest.FixtureRequest, tmp_path: Path) -> GgufFile:
    hold_to_one_thread()
    model = RandomModel(weights=request.param, hidden=96, heads=6, head_dim=32)
    return GgufFile(write_random_model(tmp_path / "random.gguf", model))


def products(gguf: GgufFile, names: tuple[str, ...], held: bool, rows: np.ndarray) -> np.ndarray:
    matrix = Matrix(gguf, [gguf.tensors[name] for name in names], held, Scratch())
    out = np.empty((len(rows), matrix.rows), np.float32)
    matrix.multiply(rows, out)
    return out


@pytest.mark.parametrize("block", [1, 64 * 96, 1 << 18])
def test_held_and_unpacked_at_use_give_the_same_bits(
    gguf: GgufFile, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "BLOCK_ELEMENTS", block)  # the smallest cuts 320 rows into five
    rows = np.random.default_rng(1).standard_normal((5, 96)).astype(np.float32)
    held, at_use = (products(gguf, QKV, kind, rows) for kind in (True, False))
    np.testing.assert_array_equal(held.view(np.uint32), at_use.view(np.uint32))


def test_a_stack_is_what_its_tensors_are_one_by_one(gguf: GgufFile) -> None:
    rows = np.random.default_rng(2).standard_normal((3, 96)).astype(np.float32)
    alone = np.concatenate([products(gguf, (name,), True, rows) for name in QKV], axis=1)
    np.testing.assert_allclose(products(gguf, QKV, False, rows), alone, rtol=1e-5, atol=1e-6)


def test_blocks_have_whole_multiples_of_64_rows_and_at_least_64() -> None:
    assert rows_per_block(2048) == 128
    assert rows_per_block(192) == 1344
    assert rows_per_block(1 << 17) == 64


def test_looking_up_rows_unpacks_those_rows(gguf: GgufFile) -> None:
    info = gguf.tensors["token_embd.weight"]
    everything = np.empty(info.shape, np.float32)
    Table(gguf, info).look_up(np.arange(info.shape[0]), everything)
    some = np.empty((3, info.shape[1]), np.float32)
    Table(gguf, info).look_up(np.array([7, 0, 7]), some)
    np.testing.assert_array_equal(some, everything[[7, 0, 7]])


def test_a_vector_of_the_wrong_size_is_named(gguf: GgufFile) -> None:
    with pytest.raises(BadModelFile, match=r"output_norm\.weight has the shape \(96,\), not \(95,\)"):
        vector_of(gguf, "output_norm.weight", 95)
