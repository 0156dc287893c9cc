"""Blocks and snapshots of both stages: bit for bit what computing would have given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnode.inference.cache.block_keys import block_keys
from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.stage.compiled_stage import CompiledStage, load_compiled_stage
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
AnyStage = NumpyStage | CompiledStage


@pytest.fixture(scope="module", params=list(MODELS))
def gguf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GgufFile]:
    folder = tmp_path_factory.mktemp("model")
    with GgufFile(write_random_model(folder / "m.gguf", MODELS[request.param])) as file:
        yield file


class Loader:
    """Loads stages of one kind of one model."""

    def __init__(self, gguf: GgufFile, compiled: bool, machine_code: Path) -> None:
        self.gguf, self.compiled, self.machine_code = gguf, compiled, machine_code

    def __call__(self, **options: Any) -> AnyStage:
        if self.compiled:
            return load_compiled_stage(self.gguf, cache=self.machine_code, **options)
        return load_stage(self.gguf, max_dequantised_bytes=MIB, **options)


@pytest.fixture(scope="module", params=["numpy", "compiled"])
def load(gguf: GgufFile, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loader:
    return Loader(gguf, request.param == "compiled", tmp_path_factory.mktemp("code"))


@pytest.fixture(params=["f16", "f32"])
def stage(load: Loader, request: pytest.FixtureRequest) -> AnyStage:
    return load(kv=request.param, blocks=BlockLimits(64 * MIB))


def compute(stage: AnyStage, session: int, end: int, tokens: int = 300) -> np.ndarray:
    """The last logits of the first `end` positions, computed from where the session is."""
    stage.open(session, tokens)
    first = stage.length(session)
    logits = stage.step(Batch((Slice(session, first, end - first),), IDS[first:end])).logits
    assert logits is not None
    return logits


def test_an_adopted_prompt_goes_on_bit_for_bit(stage: AnyStage) -> None:
    expected = compute(stage, 1, 290)
    stage.publish(1, KEYS)
    stage.close(1)
    stage.open(2, 300)
    assert stage.adopt(2, KEYS[:4]) == stage.length(2) == 4 * BLOCK
    assert (compute(stage, 2, 290) == expected).all()


def test_shared_blocks_are_nobodys_to_change(stage: AnyStage) -> None:
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


def test_only_what_a_session_holds_in_full_is_published(stage: AnyStage) -> None:
    compute(stage, 1, 2 * BLOCK - 1)
    stage.publish(1, KEYS)
    assert stage.block_counts().blocks == 1
    stage.open(2, 300)
    assert stage.adopt(2, KEYS) == BLOCK


def test_no_more_is_adopted_than_the_session_has_room_for(stage: AnyStage) -> None:
    compute(stage, 1, 256)
    stage.publish(1, KEYS)
    stage.open(2, 2 * BLOCK + 1)
    assert stage.adopt(2, KEYS) == 2 * BLOCK


def test_only_an_open_and_empty_session_adopts(stage: AnyStage) -> None:
    compute(stage, 1, 64)
    with pytest.raises(Refused) as caught:
        stage.adopt(1, KEYS)
    assert caught.value.code == "session_not_empty"
    with pytest.raises(Refused) as caught:
        stage.adopt(9, KEYS)
    assert caught.value.code == "unknown_session"


def test_blocks_go_when_told(stage: AnyStage) -> None:
    before = stage.resident_bytes()
    compute(stage, 1, 256)
    stage.publish(1, KEYS)
    stage.close(1)
    held = stage.resident_bytes()
    assert held - before >= stage.block_counts().bytes > 0
    stage.open(2, 300)
    stage.adopt(2, KEYS)
    stage.forget_blocks()
    assert stage.length(2) == 256 and stage.block_counts().bytes == 0
    stage.close(2)
    assert stage.resident_bytes() < held
    stage.open(3, 300)
    assert stage.adopt(3, KEYS) == 0


def test_blocks_expire(stage: AnyStage) -> None:
    stage.expire(100.0)
    compute(stage, 1, 256)
    stage.publish(1, KEYS)
    stage.expire(699.0)
    assert stage.block_counts().blocks == 4
    stage.expire(700.0)
    assert stage.block_counts().blocks == 0


def test_a_session_takes_the_room_of_blocks_and_they_only_what_is_left(load: Loader) -> None:
    a_block = load()._sessions.reserved_bytes(BLOCK)
    stage = load(kv_bytes=8 * a_block, blocks=BlockLimits(64 * MIB))
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


def test_without_limits_nothing_is_shared(load: Loader) -> None:
    stage = load()
    compute(stage, 1, 256)
    stage.publish(1, KEYS)
    stage.open(2, 300)
    assert stage.adopt(2, KEYS) == 0 == stage.block_counts().blocks


@pytest.mark.parametrize("position", [1, 63, 64, 100, 290])
def test_a_snapshot_goes_on_bit_for_bit_elsewhere(stage: AnyStage, load: Loader, position: int) -> None:
    expected = compute(stage, 1, 290)
    snapshot = stage.export(1, position)
    other = load(kv=stage.profile.kv)
    other.open(7, 300)
    other.restore(7, snapshot)
    assert other.length(7) == position and other.export(7, position) == snapshot
    if position < 290:
        assert (compute(other, 7, 290) == expected).all()
    other.truncate(7, 1)
    compute(other, 7, 200)
    assert other.export(7, min(position, 200)) == stage.export(1, min(position, 200))


@pytest.mark.parametrize("position", [0, -1, 101])
def test_there_is_no_snapshot_beyond_what_is_held(stage: AnyStage, position: int) -> None:
    compute(stage, 1, 100)
    with pytest.raises(Refused) as caught:
        stage.export(1, position)
    assert caught.value.code == "bad_position"


def test_a_snapshot_that_does_not_fit_leaves_the_session_empty(stage: AnyStage, load: Loader) -> None:
    compute(stage, 1, 100)
    snapshot = stage.export(1, 100)
    stage.open(2, 99)
    part = load(kv=stage.profile.kv, layers=LayerRange(0, 2))
    part.open(2, 300)
    other_kv = load(kv="f32" if stage.profile.kv == "f16" else "f16")
    other_kv.open(2, 300)
    for where in (stage, part, other_kv):
        with pytest.raises(Refused) as caught:
            where.restore(2, snapshot)
        assert caught.value.code == "bad_snapshot" and where.length(2) == 0
    with pytest.raises(Refused) as caught:
        stage.restore(1, snapshot)
    assert caught.value.code == "session_not_empty"


def test_q8_0_goes_on_bit_for_bit_too(gguf: GgufFile, tmp_path: Path) -> None:
    stage, other = (
        load_compiled_stage(gguf, kv="q8_0", cache=tmp_path, blocks=BlockLimits(64 * MIB)) for _ in range(2)
    )
    expected = compute(stage, 1, 290)
    stage.publish(1, KEYS)
    stage.open(2, 300)
    assert stage.adopt(2, KEYS) == 256
    assert (compute(stage, 2, 290) == expected).all()
    snapshot = stage.export(1, 100)
    other.open(3, 300)
    other.restore(3, snapshot)
    assert other.export(3, 100) == snapshot
    assert (compute(other, 3, 290) == expected).all()


def test_a_session_that_fits_gives_room_to_others_and_goes_on(load: Loader) -> None:
    a_block = load()._sessions.reserved_bytes(BLOCK)
    stage = load(kv_bytes=5 * a_block, blocks=BlockLimits(64 * MIB))
    plain = load()
    compute(plain, 1, 200, 300)
    compute(stage, 1, 100, 300)
    assert stage.reserved_bytes() == 5 * a_block
    stage.fit(1)
    assert stage.reserved_bytes() == 2 * a_block and stage.length(1) == 100
    stage.open(2, 3 * BLOCK)
    with pytest.raises(Unavailable):
        stage.open(1, 200)
    stage.close(2)
    stage.open(1, 200)
    part, whole = (
        one.step(Batch((Slice(1, 100, 100, "all"),), IDS[100:200])).logits for one in (stage, plain)
    )
    np.testing.assert_array_equal(part, whole)
    stage.fit(1)
    assert stage.reserved_bytes() == 4 * a_block
    stage.truncate(1, 0)
    stage.fit(1)
    assert stage.reserved_bytes() == a_block
    with pytest.raises(Refused):
        stage.fit(7)


def test_where_a_session_can_be_cut_back_to(load: Loader) -> None:
    stage, plain = load(), load()
    compute(stage, 1, 10)
    with pytest.raises(Refused) as caught:
        stage.truncate(1, -1)
    assert caught.value.code == "bad_position" and stage.length(1) == 10
    stage.truncate(1, 11)  # beyond the end: nothing changes
    assert stage.length(1) == 10
    np.testing.assert_array_equal(compute(stage, 1, 20), compute(plain, 1, 20))
