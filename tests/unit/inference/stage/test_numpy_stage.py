"""What a stage refuses, what it reports, and how it comes back from a failed step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.stage.numpy_stage import NumpyStage, load_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import LocalFault, Refused, Unavailable
from swarmnode.values.layers import LayerRange

MODEL = RandomModel()
IDS = np.arange(10, dtype=np.int32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("models") / "random.gguf", MODEL)


@pytest.fixture
def stage(path: Path) -> NumpyStage:
    loaded = load_stage(GgufFile(path), kv="f32")
    loaded.open(1, 100)
    return loaded


def damaged(path: Path, copy: Path, tensor: str, change: Callable[[np.ndarray], None]) -> GgufFile:
    """A copy of the file with the float32 numbers of one tensor changed."""
    data = bytearray(path.read_bytes())
    with GgufFile(path) as gguf:
        info = gguf.tensors[tensor]
    numbers = np.frombuffer(data, np.float32, info.elements, info.offset)
    change(numbers)
    copy.write_bytes(data)
    return GgufFile(copy)


def prompt(session: int = 1, first: int = 0, ids: np.ndarray = IDS) -> Batch:
    return Batch((Slice(session, first, len(ids)),), ids)


def refused(stage: NumpyStage, batch: Batch, code: str) -> str:
    with pytest.raises(Refused) as caught:
        stage.step(batch)
    assert caught.value.code == code
    assert stage.length(1) == 0
    return caught.value.message


@pytest.mark.parametrize("bad", [-1, MODEL.vocab, 2**31 - 1])
def test_tokens_out_of_range(stage: NumpyStage, bad: int) -> None:
    assert str(bad) in refused(stage, prompt(ids=np.array([1, bad], np.int32)), "bad_token")


def test_unknown_sessions(stage: NumpyStage) -> None:
    refused(stage, prompt(session=9), "unknown_session")


def test_a_gap(stage: NumpyStage) -> None:
    refused(stage, prompt(first=1), "cache_gap")


@pytest.mark.parametrize(
    "batch",
    [
        Batch(()),
        Batch((Slice(1, 0, 5),), IDS),
        Batch((Slice(1, 0, 5), Slice(1, 5, 5)), IDS),
        Batch((Slice(1, 0, 10),)),
        Batch((Slice(1, 0, 10),), IDS, np.zeros((10, 64), np.float32)),
        Batch((Slice(1, 0, 10),), hidden=np.zeros((10, 63), np.float32)),
    ],
)
def test_batches_that_contradict_themselves(stage: NumpyStage, batch: Batch) -> None:
    refused(stage, batch, "bad_batch")


def test_an_empty_slice(stage: NumpyStage) -> None:
    refused(stage, Batch((Slice(1, 0, 0),), IDS[:0]), "cache_gap")


def test_a_middle_stage_takes_no_tokens(path: Path) -> None:
    stage = load_stage(GgufFile(path), layers=LayerRange(1, 2))
    stage.open(1, 10)
    assert (stage.embeds, stage.has_head) == (False, False)
    refused(stage, prompt(), "bad_batch")


def test_layers_that_do_not_exist(path: Path) -> None:
    with pytest.raises(Refused, match="0-2") as caught:
        load_stage(GgufFile(path), layers=LayerRange(2, 4))
    assert caught.value.code == "bad_layer_range"


def test_the_q8_0_cache_is_refused_by_name(path: Path) -> None:
    with pytest.raises(Refused, match="q8_0") as caught:
        load_stage(GgufFile(path), kv="q8_0")
    assert caught.value.code == "unsupported_kv_type"


def test_profiles_follow_the_weights(path: Path, tmp_path: Path) -> None:
    profile = load_stage(GgufFile(path), kv="f16").profile
    assert profile.kernel.startswith("numpy-1/") and not profile.kernel.endswith("unknown")
    assert (profile.kv, profile.residual) == ("f16", "f32")
    packed = write_random_model(tmp_path / "q.gguf", RandomModel(weights="Q8_0"))
    assert load_stage(GgufFile(packed)).profile.residual == "f16"
    assert load_stage(GgufFile(packed), residual="f32").profile.residual == "f32"


def test_room_for_keys_and_values_is_limited_and_given_back(path: Path) -> None:
    # a block of 64 positions: 3 layers, keys and values, 2 heads of 16 numbers of 2 bytes
    block = 64 * 3 * 2 * 2 * 16 * 2
    stage = load_stage(GgufFile(path), kv="f16", kv_bytes=3 * block)
    stage.open(1, 65)
    with pytest.raises(Unavailable, match=str(block)) as caught:
        stage.open(2, 65)
    assert caught.value.code == "no_cache_room"
    stage.open(2, 64)
    stage.close(1)
    stage.open(2, 192)


def test_more_room_keeps_what_a_session_holds(stage: NumpyStage) -> None:
    expected = stage.step(prompt()).logits
    stage.open(1, 300)
    assert stage.length(1) == 10
    again = stage.step(prompt(first=9, ids=IDS[9:])).logits
    np.testing.assert_array_equal(again.view(np.uint32), expected.view(np.uint32))


def test_closing_frees_and_forgets(stage: NumpyStage) -> None:
    stage.step(prompt())
    before = stage.resident_bytes()
    stage.close(1)
    stage.close(1)
    assert stage.resident_bytes() == before - 64 * 3 * 2 * 2 * 16 * 4
    with pytest.raises(Refused):
        stage.length(1)


def test_held_weights_count_as_resident(path: Path) -> None:
    gguf = GgufFile(path)
    with_copies, without = load_stage(gguf, max_dequantised_bytes=1 << 30), load_stage(gguf)
    matrices = [info for name, info in gguf.tensors.items() if len(info.shape) == 2 and "embd" not in name]
    assert with_copies.resident_bytes() - without.resident_bytes() == 4 * sum(i.elements for i in matrices)


def test_progress_counts_layers(stage: NumpyStage) -> None:
    stage.step(prompt())
    assert stage.progress == MODEL.layers


def test_weights_that_are_no_numbers_name_the_layers(path: Path, tmp_path: Path) -> None:
    def spoil(numbers: np.ndarray) -> None:
        numbers[3] = np.nan

    gguf = damaged(path, tmp_path / "bad.gguf", "blk.2.ffn_up.weight", spoil)
    stage = load_stage(gguf, layers=LayerRange(1, 3))
    stage.open(1, 100)
    hidden = np.ones((4, MODEL.hidden), np.float32)
    with pytest.raises(LocalFault, match="layers 1-2") as caught:
        stage.step(Batch((Slice(1, 0, 4),), hidden=hidden))
    assert caught.value.code == "not_finite"
    assert stage.length(1) == 0


def test_keys_too_large_for_float16_are_a_fault_that_f32_does_not_have(path: Path, tmp_path: Path) -> None:
    def enlarge(numbers: np.ndarray) -> None:
        numbers *= 1e6

    gguf = damaged(path, tmp_path / "big.gguf", "blk.1.attn_v.weight", enlarge)
    stage = load_stage(gguf, kv="f16")
    stage.open(1, 100)
    with pytest.raises(LocalFault, match="f32 cache") as caught:
        stage.step(prompt())
    assert caught.value.code == "not_finite"
    assert {cache.length for cache in stage._sessions.get(1).caches} == {0}
    wide = load_stage(gguf, kv="f32")
    wide.open(1, 100)
    assert np.isfinite(wide.step(prompt()).logits).all()


def test_a_failed_step_leaves_a_session_that_works(
    stage: NumpyStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = stage.step(prompt()).logits
    last = stage._layers[-1]
    monkeypatch.setattr(last, "run", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.step(prompt(first=5, ids=IDS[5:]))
    assert stage.length(1) == 5
    monkeypatch.undo()
    again = stage.step(prompt(first=5, ids=IDS[5:])).logits
    np.testing.assert_array_equal(again, expected)


def test_a_tensor_nobody_expects_is_refused(path: Path) -> None:
    gguf = GgufFile(path)
    gguf.tensors["blk.1.attn_sinks.weight"] = gguf.tensors["blk.1.attn_norm.weight"]
    with pytest.raises(Refused, match=r"blk\.1\.attn_sinks\.weight") as caught:
        load_stage(gguf)
    assert caught.value.code == "unsupported_tensor"


def test_a_tensor_that_is_missing_or_of_the_wrong_shape_is_named(path: Path) -> None:
    gguf = GgufFile(path)
    gguf.tensors["blk.0.attn_k.weight"] = gguf.tensors["blk.0.attn_q.weight"]
    with pytest.raises(
        BadModelFile, match=r"blk\.0\.attn_k\.weight has the shape \(64, 64\), not \(32, 64\)"
    ):
        load_stage(gguf)
    del gguf.tensors["blk.0.attn_k.weight"]
    with pytest.raises(BadModelFile, match=r"has no tensor blk\.0\.attn_k\.weight"):
        load_stage(gguf)
