"""The memory estimate, the budget and the choice of what to unload, with literals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmnode.policy.memory import MIB, budget, choose_eviction, footprint, footprint_of, held_bytes
from swarmnode.values.cards import MatrixFacts, ModelFacts
from swarmnode.values.errors import Refused, Unavailable
from swarmnode.values.layers import KvType, LayerRange
from swarmnode.values.loading import LoadedModel, LoadSpec

FACTS = ModelFacts(
    architecture="llama",
    layers=4,
    hidden=512,
    heads=8,
    kv_heads=2,
    head_dim=64,
    vocab=1000,
    context_length=2048,
    quantization="Q8_0",
    weight_bytes=9_000_000,
    layer_bytes=(2_000_000,) * 4,
    shared_bytes=1_000_000,
    layer_elements=(1_900_000,) * 4,
    feed_forward=1024,
)
GB = 1 << 30


def test_the_cache_is_what_its_blocks_take() -> None:
    # 100 tokens are two blocks of 64; 4 layers, keys and values, 2 heads of 64 numbers
    assert footprint(FACTS, None, 100, 3, "f16").cache == 3 * 128 * 4 * 2 * 2 * 64 * 2
    assert footprint(FACTS, LayerRange(1, 2), 100, 3, "f32").cache == 3 * 128 * 1 * 2 * 2 * 64 * 4
    assert footprint(FACTS, None, 100, 3, "f16", kv_bytes=5000).cache == 5000


def test_weights_are_held_whole_or_used_in_place() -> None:
    layers = LayerRange(2, 4)
    held = 4 * (2 * 1_900_000 + 1000 * 512)
    assert held_bytes(FACTS, layers) == held
    fits = footprint(FACTS, layers, 64, 1, max_dequantised_bytes=held)
    assert (fits.weights, fits.mapped) == (held, 0)
    tight = footprint(FACTS, layers, 64, 1, max_dequantised_bytes=held - 1)
    assert (tight.weights, tight.mapped) == (0, 2 * 2_000_000 + 500_000)
    assert tight.buffers > fits.buffers


def test_a_tied_embedding_is_counted_once() -> None:
    tied = replace(FACTS, tied=True)
    assert footprint(tied, None, 64, 1).mapped == 9_000_000
    assert footprint(tied, LayerRange(0, 1), 64, 1).mapped == 3_000_000
    assert footprint(tied, LayerRange(1, 2), 64, 1).mapped == 2_000_000
    assert footprint(FACTS, None, 64, 1).mapped == 9_000_000


def test_a_row_goes_through_experts_one_at_a_time() -> None:
    experts = replace(FACTS, experts=8, experts_used=2, expert_feed_forward=256)
    dense, sparse = (footprint(facts, None, 64, 1, prefill_chunk=64) for facts in (FACTS, experts))
    rows = 64 + 1
    assert dense.buffers - sparse.buffers == 4 * rows * (3 * (1024 - 256) - 3 * 512 - 3 * 8)
    assert sparse.weights + sparse.mapped == dense.weights + dense.mapped


def test_totals_add_up_and_more_costs_more() -> None:
    one = footprint(FACTS, None, 512, 1)
    assert one.total == one.weights + one.mapped + one.cache + one.buffers + one.text + one.process
    assert one.private == one.total - one.mapped
    for more in (
        footprint(FACTS, None, 1024, 1),
        footprint(FACTS, None, 512, 2),
        footprint(FACTS, None, 512, 1, "f32"),
        footprint(FACTS, None, 512, 1, prefill_chunk=256),
    ):
        assert more.total > one.total


def test_the_profile_is_known_by_its_class() -> None:
    same = footprint(FACTS, None, 64, 1, "f16", "numpy-1/Haswell:kv=f16:residual=f16")
    assert same == footprint(FACTS, None, 64, 1)
    with pytest.raises(Refused, match="cuda-9"):
        footprint(FACTS, None, 64, 1, "f16", "cuda-9")


def test_a_text_worker_takes_text_only() -> None:
    whole = footprint_of(FACTS, LoadSpec("m", "m.gguf", backend="numpy"))
    text = footprint_of(FACTS, LoadSpec("m", "m.gguf", weights=False))
    assert text.total == whole.text + whole.process
    assert footprint_of(FACTS, LoadSpec("m", "m.gguf", text=False)).text == 0


def test_the_estimate_never_counts_more_context_than_the_model_has() -> None:
    assert footprint_of(FACTS, LoadSpec("m", "m", context=1 << 20)) == footprint_of(
        FACTS, LoadSpec("m", "m", context=2048)
    )


Q8 = replace(
    FACTS,
    layer_matrices=((MatrixFacts("Q8_0", 512, 512), MatrixFacts("Q5_1", 100, 64, groups=8)),) * 4,
    head=MatrixFacts("Q8_0", 1000, 512),
    rope_numbers=64,
)
#: 32 panels of 16 blocks of 544 bytes; 8 times 4 panels of 32 rows of 64 float32.
LAYER = 32 * 16 * 544 + 8 * 4 * 32 * 64 * 4
HEAD = 63 * 16 * 544


def test_the_compiled_stage_packs_all_weights() -> None:
    whole = footprint(Q8, None, 64, 1, profile="cpu-1:kv=f16:residual=f16", max_dequantised_bytes=1 << 40)
    assert (whole.weights, whole.mapped) == (4 * LAYER + HEAD, 500_000)
    middle = footprint(Q8, LayerRange(1, 3), 64, 1, profile="cpu-1")
    assert (middle.weights, middle.mapped) == (2 * LAYER, 0)
    assert footprint(Q8, LayerRange(3, 4), 64, 1, profile="cpu-1").weights == LAYER + HEAD


@pytest.mark.parametrize(("kv", "head"), [("f32", 2 * 64 * 4), ("f16", 2 * 64 * 2), ("q8_0", 2 * (64 + 4))])
def test_the_compiled_stage_keeps_pages(kv: KvType, head: int) -> None:
    # 100 tokens are two pages of 64 positions, of 4 layers with 2 heads of 64 numbers
    assert footprint(Q8, None, 100, 3, kv, "cpu-1").cache == 3 * 2 * 64 * 4 * 2 * head
    assert footprint(Q8, None, 100, 3, kv, "cpu-1", kv_bytes=5000).cache == 5000


def test_values_of_narrow_heads_are_padded() -> None:
    narrow = replace(Q8, head_dim=40)
    assert footprint(narrow, None, 64, 1, "f16", "cpu-1").cache == 64 * 4 * 2 * (40 + 48) * 2


def test_the_compiled_stage_knows_the_turns_of_all_positions() -> None:
    short, long = (footprint(Q8, None, context, 1, profile="cpu-1").buffers for context in (1000, 2000))
    assert long - short == 4 * 1000 * 64


def test_the_back_end_decides_how_it_is_counted() -> None:
    spec = LoadSpec("m", "m.gguf", kv_bytes=1 << 20)
    assert footprint_of(Q8, spec) == footprint(Q8, None, 2048, 8, profile="cpu-1", kv_bytes=1 << 20)
    reference = footprint(Q8, None, 2048, 8, profile="numpy-1", kv_bytes=1 << 20)
    assert footprint_of(Q8, replace(spec, backend="numpy")) == reference


@pytest.mark.parametrize(
    ("contribution", "gpu", "percent"),
    [
        ("minimal", False, 50),
        ("moderate", False, 65),
        ("maximum", False, 80),
        ("minimal", True, 31),
        ("moderate", True, 41),
        ("maximum", True, 50),
    ],
)
def test_without_a_ceiling_the_share_follows_the_contribution(
    contribution: str, gpu: bool, percent: int
) -> None:
    assert budget(100 * GB, 100 * GB, None, 0, contribution, gpu=gpu) == GB * percent


def test_a_ceiling_is_obeyed_whatever_is_free() -> None:
    assert budget(100 * GB, GB, None, 4096, "minimal") == 4 * GB
    assert budget(2 * GB, GB, None, 4096, "minimal") == 2 * GB


def test_a_cgroup_counts_as_the_machine() -> None:
    assert budget(100 * GB, 90 * GB, 4 * GB, 0, "minimal") == 2 * GB
    assert budget(100 * GB, 90 * GB, 4 * GB, 50 * 1024, "minimal") == 4 * GB
    assert budget(4 * GB, 4 * GB, 100 * GB, 0, "minimal") == 2 * GB


def test_no_more_than_is_free() -> None:
    assert budget(100 * GB, 3 * GB, None, 0, "maximum") == 3 * GB


def test_an_unknown_contribution_is_named() -> None:
    with pytest.raises(Refused, match="huge") as caught:
        budget(GB, GB, None, 0, "huge")
    assert "minimal, moderate, maximum" in caught.value.hint


def model(label: str, megabytes: int, idle: float, active: int = 0) -> LoadedModel:
    return LoadedModel(label, 1, "ready", active, 0, megabytes * MIB, idle)


LOADED = (model("new", 100, 1.0), model("busy", 300, 0.0, active=2), model("old", 200, 90.0))


@pytest.mark.parametrize(
    ("needed", "leaving"),
    [(400, ()), (401, ("old",)), (600, ("old",)), (601, ("old", "new")), (700, ("old", "new"))],
)
def test_the_longest_unused_goes_first_and_no_more_than_needed(needed: int, leaving: tuple[str, ...]) -> None:
    assert choose_eviction(LOADED, needed * MIB, 1000 * MIB) == leaving


def test_models_that_answer_stay_and_the_figures_are_named() -> None:
    with pytest.raises(Unavailable) as caught:
        choose_eviction(LOADED, 701 * MIB, 1000 * MIB)
    assert caught.value.code == "memory_busy"
    assert "701 MB" in caught.value.message and "700 MB" in caught.value.message


def test_what_can_never_fit_names_both_figures() -> None:
    with pytest.raises(Unavailable, match="1001 MB of memory; 1000 MB are allowed") as caught:
        choose_eviction((), 1001 * MIB, 1000 * MIB)
    assert caught.value.code == "model_too_large"
    assert "max_ram_mb" in caught.value.hint


def test_an_overfull_node_unloads_before_it_loads_the_smallest_thing() -> None:
    assert choose_eviction(LOADED, MIB, 500 * MIB) == ("old",)
