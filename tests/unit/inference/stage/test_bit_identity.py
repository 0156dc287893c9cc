"""A row depends on its token and its prefix only: every other circumstance leaves its bits alone."""

from __future__ import annotations

import numpy as np
import pytest

from swarmnode.inference.stage.chain import load_chain, logits_of, step_through
from swarmnode.inference.stage.numpy_stage import NumpyStage, load_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.models.gguf import GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.layers import LayerRange

ROWS = 150  # more than two blocks of 64
PLENTY = 1 << 30
IDS = np.random.default_rng(5).integers(0, 320, ROWS).astype(np.int32)

CASES = {
    "llama f32": (RandomModel(), "f32", None),
    "llama f16 cache, odd sizes": (
        RandomModel(hidden=60, heads=3, kv_heads=1, head_dim=20, feed_forward=100, vocab=301),
        "f16",
        None,
    ),
    "llama one head a group": (RandomModel(kv_heads=4, tied=True), "f32", "f16"),
    "qwen2 q8_0": (RandomModel(architecture="qwen2", weights="Q8_0"), "f16", None),
    "qwen3 q4_k_m": (
        RandomModel(
            architecture="qwen3", weights="Q4_K_M", hidden=256, feed_forward=256, head_dim=64, layers=2
        ),
        "f16",
        None,
    ),
    "gemma2, windows, caps": (
        RandomModel(architecture="gemma2", window=40, feed_forward=100, tied=True),
        "f32",
        None,
    ),
    "gemma3, windows, two speeds": (
        RandomModel(architecture="gemma3", layers=7, window=65, vocab=301, tied=True),
        "f16",
        "f16",
    ),
    "mistral, a wide window": (RandomModel(window=100, heads=6, weights="Q5_1"), "f16", None),
    "mixtral": (RandomModel(experts=5, layers=2), "f32", None),
    "qwen3moe q4_0": (
        RandomModel(
            architecture="qwen3moe", experts=8, experts_used=3, expert_feed_forward=96, weights="Q4_0"
        ),
        "f16",
        None,
    ),
    "starcoder2, odd sizes": (
        RandomModel(
            architecture="starcoder2", hidden=60, heads=3, kv_heads=1, head_dim=20, feed_forward=99, vocab=301
        ),
        "f32",
        None,
    ),
    "glm4": (RandomModel(architecture="glm4", rope_dim=8, layers=2), "f16", "f16"),
    "phi3 q8_0": (RandomModel(architecture="phi3", window=64, weights="Q8_0"), "f16", None),
    "llama f16 cache, wide": (RandomModel(hidden=512, feed_forward=768, weights="BF16"), "f16", None),
}


class Case:
    """A model, how it is loaded, and the logits of all rows computed in one step."""

    def __init__(self, gguf: GgufFile, kv: str, residual: str | None) -> None:
        self.gguf, self.options = gguf, {"kv": kv, "residual": residual}
        self.ids = IDS % load_stage(gguf).facts.vocab
        self.whole = rows_in_chunks(self.stage(), self.ids, ROWS)

    def stage(self, held: int = PLENTY) -> NumpyStage:
        return load_stage(self.gguf, max_dequantised_bytes=held, **self.options)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    model, kv, residual = CASES[request.param]
    path = write_random_model(tmp_path_factory.mktemp("models") / "random.gguf", model)
    return Case(GgufFile(path), kv, residual)


def rows_in_chunks(stage: NumpyStage, ids: np.ndarray, chunk: int, room: int | None = None) -> np.ndarray:
    stage.open(1, room or len(ids))
    parts = []
    for first in range(0, len(ids), chunk):
        tokens = ids[first : first + chunk]
        parts.append(stage.step(Batch((Slice(1, first, len(tokens), "all"),), tokens)).logits)
    stage.close(1)
    return np.concatenate(parts)


def same_bits(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32))


@pytest.mark.parametrize("chunk", [1, 7, 64, 100])
def test_chunks(case: Case, chunk: int) -> None:
    same_bits(rows_in_chunks(case.stage(), case.ids, chunk), case.whole)


def test_weights_unpacked_at_use(case: Case) -> None:
    same_bits(rows_in_chunks(case.stage(held=0), case.ids, 64), case.whole)


@pytest.mark.parametrize("room", [ROWS + 1, 5000])
def test_room_in_the_cache(case: Case, room: int) -> None:
    same_bits(rows_in_chunks(case.stage(), case.ids, 50, room), case.whole)


def test_every_cut(case: Case) -> None:
    last = case.stage().facts.layers
    for cut in range(1, last):
        ranges = (LayerRange(0, cut), LayerRange(cut, last))
        stages = load_chain(case.gguf, ranges, max_dequantised_bytes=0, **case.options)
        same_bits(np.concatenate(list(logits_of(stages, case.ids, 33))), case.whole)


def test_a_batch_with_others(case: Case) -> None:
    """Three sessions at different positions of the same text, stepped together, in either order."""
    stage = case.stage()
    starts = {1: 0, 2: 40, 3: 63}
    for session, start in starts.items():
        stage.open(session, ROWS)
        if start:
            stage.step(Batch((Slice(session, 0, start, "none"),), case.ids[:start]))
    for step in range(60):
        order = list(starts.items())[:: 1 if step % 2 else -1]
        counts = [1 + (session + step) % 2 for session, _ in order]
        slices = tuple(
            Slice(session, stage.length(session), count, "all")
            for (session, _), count in zip(order, counts, strict=True)
        )
        places = np.concatenate([np.arange(s.first, s.first + s.count) for s in slices])
        if places.max() >= ROWS:
            break
        same_bits(stage.step(Batch(slices, case.ids[places])).logits, case.whole[places])
    assert stage.length(3) > 128


def test_truncating_and_replaying(case: Case) -> None:
    stage = case.stage()
    stage.open(1, ROWS)
    stage.step(Batch((Slice(1, 0, ROWS),), case.ids[::-1]))  # another text, to be forgotten
    stage.truncate(1, 0)
    stage.step(Batch((Slice(1, 0, 100, "none"),), case.ids[:100]))
    stage.step(Batch((Slice(1, 100, 50, "none"),), case.ids[:50]))  # a wrong turn
    back = stage.step(Batch((Slice(1, 70, 80, "all"),), case.ids[70:]))  # a step goes back by itself
    same_bits(back.logits, case.whole[70:])


def test_rows_embedded_elsewhere(case: Case) -> None:
    """What one stage embeds, another one may take as hidden rows, at the very first layer."""
    stage = case.stage()
    hidden = stage._start(Batch((Slice(1, 0, ROWS),), case.ids))
    stage.open(1, ROWS)
    same_bits(stage.step(Batch((Slice(1, 0, ROWS, "all"),), hidden=hidden)).logits, case.whole)


def test_the_q8_0_residual_holds_while_the_cuts_stay(case: Case) -> None:
    ranges = (LayerRange(0, 1), LayerRange(1, case.stage().facts.layers))
    options = {"kv": case.options["kv"], "residual": "q8_0", "max_dequantised_bytes": 0}
    stages = load_chain(case.gguf, ranges, **options)
    whole = np.concatenate(list(logits_of(stages, case.ids, ROWS)))
    same_bits(np.concatenate(list(logits_of(stages, case.ids, 7))), whole)
    assert not np.array_equal(whole, case.whole)


def test_the_answer_is_not_the_same_for_every_text(case: Case) -> None:
    """The comparisons above compare something."""
    other = rows_in_chunks(case.stage(), case.ids[::-1].copy(), ROWS)
    assert not np.array_equal(other, case.whole)
    assert len(np.unique(case.whole, axis=0)) == ROWS


def test_only_wanted_rows_get_logits(case: Case) -> None:
    stage = case.stage()
    for session in (1, 2, 3):
        stage.open(session, 10)
    slices = (Slice(1, 0, 10, "last"), Slice(2, 0, 10, "none"), Slice(3, 0, 10, "all"))
    ids = np.concatenate([case.ids[:10]] * 3)
    logits = step_through([stage], Batch(slices, ids)).logits
    same_bits(logits, np.concatenate([case.whole[9:10], case.whole[:10]]))
