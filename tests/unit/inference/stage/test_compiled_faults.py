"""What is no number is found in the step that computes it; other sessions go on, and so does the stage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.kernels import team
from swarmnode.inference.kernels.targets import available
from swarmnode.inference.stage.compiled_stage import CompiledStage, load_compiled_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.models.gguf import GGML_TYPES, BadModelFile, GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.layers import LayerRange

WIDE = {"hidden": 256, "feed_forward": 256, "head_dim": 64, "layers": 2}
IDS = np.random.default_rng(5).integers(0, 250, 100).astype(np.int32)
BAD_TOKEN = 299
#: Where the first float16 factor, or number, of a block lies, and its size.
FACTORS = {"Q4_K": (0, 2), "Q6_K": (208, 2), "Q8_0": (0, 2), "F16": (0, 2), "BF16": (0, 2), "F32": (0, 4)}
FAULTS = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}


def bits(kind: str, fault: float) -> bytes:
    if kind in ("F32", "BF16"):
        return np.float32(fault).tobytes()[-FACTORS[kind][1] :]
    return np.float16(fault).tobytes()


def damaged(path: Path, kind: str, name: str, fault: float, at: int = 0) -> GgufFile:
    """The file with one number, or one factor of a block, of a tensor made no number."""
    with GgufFile(path) as gguf:
        offset = path.read_bytes().find(bytes(gguf.data(gguf.tensors[name])))
    place, size = FACTORS[kind]
    with open(path, "r+b") as file:
        file.seek(offset + at + place)
        file.write(bits(kind, fault)[:size])
    return GgufFile(path)


def step(stage: CompiledStage, session: int, ids: np.ndarray, first: int = 0) -> np.ndarray:
    result = stage.step(Batch((Slice(session, first, len(ids), "all"),), ids.astype(np.int32)))
    assert result.logits is not None
    return result.logits


@pytest.fixture
def load(kernel_cache: Path, tmp_path: Path) -> Callable[..., CompiledStage]:
    numbers = count()

    def made(kind: str, name: str = "", fault: float = np.nan, at: int = 0, **options) -> CompiledStage:
        folder = tmp_path / str(next(numbers))  # the embedding is read where it lies
        folder.mkdir()
        path = write_random_model(folder / "m.gguf", RandomModel(weights=kind, **WIDE))
        gguf = damaged(path, kind, name, fault, at) if name else GgufFile(path)
        return load_compiled_stage(gguf, target=available()[0], cache=kernel_cache, **options)

    return made


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", FACTORS)
@pytest.mark.parametrize("name", ["blk.0.attn_v.weight", "blk.1.ffn_down.weight", "output.weight"])
def test_a_weight_that_is_no_number(load, kind: str, name: str, fault: str) -> None:
    stage = load(kind, name, FAULTS[fault])
    for _ in range(2):  # every time, and the session is as before
        stage.open(1, 100)
        with pytest.raises(LocalFault) as caught:
            step(stage, 1, IDS[:5])
        assert caught.value.code == "not_finite" and caught.value.hint and "m.gguf" in caught.value.message
        assert stage.length(1) == 0
    stage.shut()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.1.attn_k.weight", "blk.0.ffn_gate.weight"])
@pytest.mark.parametrize("kv", ["f32", "f16", "q8_0"])
def test_in_scores_and_gates_too(load, name: str, fault: str, kv: str) -> None:
    stage = load("F32", name, FAULTS[fault], kv=kv)
    stage.open(1, 100)
    with pytest.raises(LocalFault, match="not finite"):
        step(stage, 1, IDS[:20])
    stage.shut()


@pytest.mark.parametrize("kind", FACTORS)
def test_one_session_fails_and_others_go_on(load, kind: str) -> None:
    """The fault is in the embedding of one token."""
    row = {name: size * 256 // elements for name, elements, size in GGML_TYPES.values()}[kind]
    stage, sound = load(kind, "token_embd.weight", np.nan, row * BAD_TOKEN), load(kind)
    for one in (stage, sound):
        for session in (1, 2):
            one.open(session, 100)
    expected = step(sound, 1, IDS)
    np.testing.assert_array_equal(step(stage, 1, IDS[:70]), expected[:70])
    step(stage, 2, IDS[:10])
    bad = np.concatenate([IDS[70:75], IDS[10:13], [BAD_TOKEN]]).astype(np.int32)
    with pytest.raises(LocalFault) as caught:
        stage.step(Batch((Slice(1, 70, 5, "all"), Slice(2, 10, 4, "all")), bad))
    assert caught.value.code == "not_finite"
    assert (stage.length(1), stage.length(2)) == (70, 10)
    np.testing.assert_array_equal(step(stage, 1, IDS[70:], 70), expected[70:])
    np.testing.assert_array_equal(step(stage, 2, IDS[10:], 10), expected[10:])
    for one in (stage, sound):
        one.shut()


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_hidden_rows_from_elsewhere(load, fault: float) -> None:
    stage = load("Q8_0", layers=LayerRange(1, 2))
    rows = np.random.default_rng(1).standard_normal((3, 256)).astype(np.float32)
    stage.open(1, 10)
    good = stage.step(Batch((Slice(1, 0, 3, "all"),), hidden=rows)).logits
    for place in (0, 100, 255):
        bad = rows.copy()
        bad[1, place] = fault
        with pytest.raises(LocalFault):
            stage.step(Batch((Slice(1, 0, 3, "all"),), hidden=bad))
    again = stage.step(Batch((Slice(1, 0, 3, "all"),), hidden=rows)).logits
    np.testing.assert_array_equal(good, again)
    stage.shut()


def test_refusals(load) -> None:
    stage = load("F32", context=64)
    with pytest.raises(Refused) as caught:
        stage.open(1, 65)
    assert caught.value.code == "context_length_exceeded"
    stage.open(1, 64)
    with pytest.raises(Refused):
        step(stage, 2, IDS[:3])
    with pytest.raises(Refused) as caught:
        step(stage, 1, IDS[:65])
    assert caught.value.code == "session_full" and stage.length(1) == 0
    with pytest.raises(Refused) as caught:
        load("F32", layers=LayerRange(1, 3))
    assert caught.value.code == "bad_layer_range"
    before = stage.progress
    step(stage, 1, IDS[:3])
    assert stage.progress > before
    stage.shut()


def test_a_fault_leaves_nothing_behind_in_the_padding(kernel_cache: Path, tmp_path: Path) -> None:
    """Rows of 72 numbers lie in buffers of 96, and are taken 16 at a time."""
    model = RandomModel(hidden=72, feed_forward=104, heads=3, kv_heads=1, head_dim=24)
    gguf = GgufFile(write_random_model(tmp_path / "m.gguf", model))
    stage = load_compiled_stage(gguf, layers=LayerRange(1, 2), target=available()[0], cache=kernel_cache)
    rows = np.random.default_rng(1).standard_normal((3, 72)).astype(np.float32)
    stage.open(1, 10)
    good = stage.step(Batch((Slice(1, 0, 3),), hidden=rows)).hidden
    assert good is not None
    with pytest.raises(LocalFault):
        stage.step(Batch((Slice(1, 0, 3),), hidden=np.full_like(rows, np.inf)))
    np.testing.assert_array_equal(good, stage.step(Batch((Slice(1, 0, 3),), hidden=rows)).hidden)
    stage.shut()


def test_threads_end_when_loading_fails(
    kernel_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "physical_cores", lambda: 3)
    gguf = GgufFile(write_random_model(tmp_path / "m.gguf", RandomModel()))
    del gguf.tensors["blk.1.attn_k.weight"]
    before = set(threading.enumerate())
    with pytest.raises(BadModelFile):
        load_compiled_stage(gguf, threads=3, target=available()[0], cache=kernel_cache)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_tables_count_as_resident(load) -> None:
    short, long = load("F32", context=64), load("F32", context=128)
    turns = 64 // 2 * 2 * 4  # of a position: a cosine and a sine, float32, for each pair of numbers
    assert long.resident_bytes() - short.resident_bytes() == 64 * turns
    for stage in (short, long):
        stage.shut()
