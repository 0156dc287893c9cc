"""What the memory estimate assumes of the stages is what the stages do."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmnode.inference.cache import layer_cache
from swarmnode.inference.kernels import code, formats, page_layout, program
from swarmnode.inference.kernels.page_layout import PageLayout
from swarmnode.inference.stage import attention, compiled_stage, weights
from swarmnode.inference.stage.compiled_stage import CompiledStage, load_compiled_stage
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.policy import memory, packed_memory
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.layers import KvType, LayerRange

KV: tuple[KvType, ...] = ("f32", "f16", "q8_0")


def test_the_estimate_and_the_reference_agree() -> None:
    assert memory.CACHE_BLOCK == layer_cache.BLOCK
    assert memory.MAX_SCORES == attention.MAX_SCORES
    assert (memory.BLOCK_ELEMENTS, memory.BLOCK_ROWS) == (weights.BLOCK_ELEMENTS, weights.BLOCK_ROWS)


def test_the_estimate_and_the_kernels_agree() -> None:
    packed = {name: (one.rows, one.block, one.size) for name, one in formats.FORMATS.items()}
    assert packed == packed_memory.PANELS
    assert (packed_memory.PANEL, packed_memory.ALIGNMENT) == (formats.PANEL, program.ALIGNMENT)
    sizes = packed_memory.PAGE, packed_memory.PART, packed_memory.LANES
    assert sizes == (page_layout.BLOCK, page_layout.PART, code.LANES)
    rows = packed_memory.STEP_ROWS, packed_memory.HEAD_ROWS
    assert rows == (compiled_stage.STEP_ROWS, compiled_stage.HEAD_ROWS)
    most = max(formats.K256_BYTES / 256, formats.K32_BYTES / 32)
    assert most == packed_memory.ACTIVATION_BYTES


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("head_dim", [16, 40, 64])
def test_pages_are_as_large_as_their_layout_says(kv: KvType, head_dim: int, tmp_path: Path) -> None:
    model = RandomModel(layers=3, heads=4, kv_heads=2, head_dim=head_dim)
    with GgufFile(write_random_model(tmp_path / "m.gguf", model)) as gguf:
        facts = read_facts(gguf)
    layout = PageLayout(2, head_dim, kv)
    assert packed_memory.page_bytes(facts, 3, kv) == -(-3 * layout.layer_bytes // 64) * 64


MODELS = {
    "q4_k_m": RandomModel(weights="Q4_K_M", hidden=256, feed_forward=512, heads=4, head_dim=64, vocab=333),
    "a type without panels": RandomModel(weights="Q5_0"),
    "f16, tied": RandomModel(weights="F16", tied=True, vocab=1001),
    "experts": RandomModel(weights="Q8_0", experts=4),
    "one tensor for query, key and value": RandomModel("phi3", weights="Q4_0"),
    "two rotations": RandomModel("gemma3", layers=6, window=64, weights="Q6_K", hidden=256,
                                 feed_forward=256, heads=4, head_dim=64),
    "odd widths": RandomModel(hidden=72, feed_forward=104, heads=3, kv_heads=1, head_dim=24),
}  # fmt: skip


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_weights_and_work_are_as_large_as_they_are(
    model: RandomModel, tmp_path: Path, machine_code: Path
) -> None:
    path = write_random_model(tmp_path / "m.gguf", model)
    for layers in (LayerRange(0, model.layers), LayerRange(1, 2), LayerRange(1, model.layers)):
        with GgufFile(path) as gguf:
            facts = read_facts(gguf)
            stage = load_compiled_stage(gguf, layers=layers, context=100, cache=machine_code)
            assert packed_memory.packed_bytes(facts, layers) == stage._model.weights.bytes
            head = layers.end == facts.layers
            work = packed_memory.workspace_bytes(facts, head=head)
            assert work == pytest.approx(stage._work.bytes, rel=0.1)
            if len(layers) == facts.layers:
                assert packed_memory.rotation_bytes(facts, 100) == _rotation_bytes(stage)
            stage.shut()


def _rotation_bytes(stage: CompiledStage) -> int:
    kept = {id(array): array.nbytes for array in stage._model.writers[1].kept if array.ndim == 3}
    return sum(kept.values())
