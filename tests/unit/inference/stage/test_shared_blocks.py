"""Blocks and snapshots of the reference stage: bit for bit what computing would have given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from swarmnode.inference.cache.block_keys import block_keys
from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.stage.numpy_stage import NumpyStage, load_stage
from swarmnode.inference.stage.seam import BLOCK, Batch, Slice
from swarmnode.models.gguf import GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused, Unavailable
from swarmnode.values.layers import LayerRange

MODELS = {
    "llama": RandomModel(),
    "q8_0, windows": RandomModel(architecture="gemma3", layers=7, window=65, vocab=301, tied=True),
}
IDS = np.random.default_rng(3).integers(0, 300, 300).astype(np.int32)
KEYS = block_keys(b"salt", IDS.tolist())
MIB = 1 << 20


@pytest.fixture(scope="module", params=list(MODELS))
def gguf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GgufFile]:
    folder = tmp_path_factory.mktemp("model")
    with GgufFile(write_random_model(folder / "m.gguf", MODELS[request.param])) as file:
        yield file


@pytest.fixture(params=["f16", "f32"])
def stage(gguf: GgufFile, request: pytest.FixtureRequest) -> NumpyStage:
    return load_stage(gguf, kv=request.param, max_dequantised_bytes=MIB, blocks=BlockLimits(64 * MIB))


def compute(stage: NumpyStage, session: int, end: int, tokens: int = 300) -> np.ndarray:
    """The last logits of the first `end` positions, computed from where the session is."""
    stage.open(session, tokens)
    first = stage.length(session)
    logits = stage.step(Batch((Slice(session, first, end - first),), IDS[first:end])).logits
    assert logits is not None
    return logits


def test_an_adopted_prompt_goes_on_bit_for_bit(stage: NumpyStage) -> None:
    expected = compute(stage, 1, 290)
    stage.publish(1, KEYS)
    stage.close(1)
    stage.open(2, 300)
    assert stage.adopt(2, KEYS[:4]) == stage.length(2) == 4 * BLOCK
    assert (compute(stage, 2, 290) == expected).all()


def test_shared_blocks_are_nobodys_to_change(stage: NumpyStage) -> None:
    """Neither the session that gave them nor one that took them changes what the next one gets."""
    expected = compute(stage, 1, 290)
    stage.publish(1, KEYS)
    stage.truncate(1, 0)
    stage.step(Batch((Slice(1, 0, 200),), IDS[100:300]))
    stage.open(2, 300)
    stage.adopt(2, KEYS)
    stage.truncate(2, 10)
    stage.step(Batch((Slice(2, 10, 100),), IDS[150:250]))
    stage.open(3, 300)
    stage.adopt(3, KEYS)
    assert (compute(stage, 3, 290) == expected).all()


def test_only_what_a_session_holds_in_full_is_published(stage: NumpyStage) -> None:
    compute(stage, 1, 2 * BLOCK - 1)
    stage.publish(1, KEYS)
    assert stage.block_counts().blocks == 1
    stage.open(2, 300)
    assert stage.adopt(2, KEYS) == BLOCK


def test_no_more_is_adopted_than_the_session_has_room_for(stage: NumpyStage) -> None:
    compute(stage, 1, 256)
    stage.publish(1, KEYS)
    stage.open(2, 2 * BLOCK + 1)
    assert stage.adopt(2, KEYS) == 2 * BLOCK


def test_only_an_open_and_empty_session_adopts(stage: NumpyStage) -> None:
    compute(stage, 1, 64)
    with pytest.raises(Refused) as caught:
        stage.adopt(1, KEYS)
    assert caught.value.code == "session_not_empty"
    with pytest.raises(Refused) as caught:
        stage.adopt(9, KEYS)
    assert caught.value.code == "unknown_session"


def test_blocks_count_as_memory_and_go_when_told(stage: NumpyStage) -> None:
    compute(stage, 1, 256)
    before = stage.resident_bytes()
    stage.publish(1, KEYS)
    assert stage.resident_bytes() - before == stage.block_counts().bytes > 0
    stage.forget_blocks()
    assert stage.resident_bytes() == before
    stage.open(2, 300)
    assert stage.adopt(2, KEYS) == 0


def test_blocks_expire(stage: NumpyStage) -> None:
    stage.expire(100.0)
    compute(stage, 1, 256)
    stage.publish(1, KEYS)
    stage.expire(699.0)
    assert stage.block_counts().blocks == 4
    stage.expire(700.0)
    assert stage.block_counts().blocks == 0


def test_a_session_takes_the_room_of_blocks_and_they_only_what_is_left(gguf: GgufFile) -> None:
    plain = load_stage(gguf, max_dequantised_bytes=MIB)
    a_block = plain._sessions.reserved_bytes(BLOCK)
    stage = load_stage(gguf, max_dequantised_bytes=MIB, kv_bytes=8 * a_block, blocks=BlockLimits(64 * MIB))
    compute(stage, 1, 256, 5 * BLOCK)
    stage.publish(1, KEYS)
    assert stage.block_counts().blocks == 3
    stage.open(2, BLOCK)
    assert stage.block_counts().blocks == 2
    with pytest.raises(Unavailable) as caught:
        stage.open(3, 3 * BLOCK)
    assert caught.value.code == "no_cache_room" and stage.block_counts().blocks == 2
    stage.open(3, 2 * BLOCK)
    assert stage.block_counts().blocks == 0
    stage.publish(1, KEYS)
    assert stage.block_counts().blocks == 0


def test_without_limits_nothing_is_shared(gguf: GgufFile) -> None:
    stage = load_stage(gguf, max_dequantised_bytes=MIB)
    compute(stage, 1, 256)
    stage.publish(1, KEYS)
    stage.open(2, 300)
    assert stage.adopt(2, KEYS) == 0 == stage.block_counts().blocks


@pytest.mark.parametrize("position", [1, 63, 64, 100, 290])
def test_a_snapshot_goes_on_bit_for_bit_elsewhere(stage: NumpyStage, gguf: GgufFile, position: int) -> None:
    expected = compute(stage, 1, 290)
    snapshot = stage.export(1, position)
    other = load_stage(gguf, kv=stage.profile.kv)
    other.open(7, 300)
    other.restore(7, snapshot)
    assert other.length(7) == position and other.export(7, position) == snapshot
    if position < 290:
        assert (compute(other, 7, 290) == expected).all()
    other.truncate(7, 1)
    compute(other, 7, 200)
    assert other.export(7, min(position, 200)) == stage.export(1, min(position, 200))


@pytest.mark.parametrize("position", [0, -1, 101])
def test_there_is_no_snapshot_beyond_what_is_held(stage: NumpyStage, position: int) -> None:
    compute(stage, 1, 100)
    with pytest.raises(Refused) as caught:
        stage.export(1, position)
    assert caught.value.code == "bad_position"


def test_a_snapshot_that_does_not_fit_leaves_the_session_empty(stage: NumpyStage, gguf: GgufFile) -> None:
    compute(stage, 1, 100)
    snapshot = stage.export(1, 100)
    stage.open(2, 99)
    part = load_stage(gguf, kv=stage.profile.kv, layers=LayerRange(0, 2))
    part.open(2, 300)
    other_kv = load_stage(gguf, kv="f32" if stage.profile.kv == "f16" else "f16")
    other_kv.open(2, 300)
    for where in (stage, part, other_kv):
        with pytest.raises(Refused) as caught:
            where.restore(2, snapshot)
        assert caught.value.code == "bad_snapshot" and where.length(2) == 0
    with pytest.raises(Refused) as caught:
        stage.restore(1, snapshot)
    assert caught.value.code == "session_not_empty"
