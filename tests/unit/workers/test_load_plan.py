"""What a worker is told to load, from the card and the memory there is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from swarmnode.policy.memory import PROCESS_BYTES, footprint_of, held_bytes
from swarmnode.values.cards import MatrixFacts, ModelCard, ModelFacts
from swarmnode.values.layers import LayerRange
from swarmnode.values.settings import WorkerSettings
from swarmnode.workers.load_plan import MAX_HELD_BYTES, plan_load, workers_budget

MIB, GIB = 1 << 20, 1 << 30

#: TinyLlama's shapes in Q4_K_M.
FACTS = ModelFacts(
    "llama",
    22,
    2048,
    32,
    4,
    64,
    32000,
    2048,
    "Q4_K_M",
    668 * MIB,
    layer_bytes=(25 * MIB,) * 22,
    shared_bytes=110 * MIB,
    largest_tensor_elements=32000 * 2048,
    layer_elements=(44_000_000,) * 22,
    feed_forward=5632,
    layer_matrices=((MatrixFacts("Q4_K", 21504, 2048),),) * 22,
    head=MatrixFacts("Q6_K", 32000, 2048),
    rope_numbers=64,
)
CARD = ModelCard("tiny", "cpu", "/m.gguf", facts=FACTS)
REFERENCE = replace(CARD, backend="numpy")


@dataclass
class Machine:
    ram_total: int | None = 16 * GIB
    ram_available: int | None = 6 * GIB
    cgroup_limit: int | None = None
    cores: int = 4


def test_the_context_is_the_smaller_one() -> None:
    assert plan_load(CARD, WorkerSettings(), 4, 4 * GIB, {}).spec.context == 2048
    assert plan_load(CARD, WorkerSettings(context=512), 4, 4 * GIB, {}).spec.context == 512
    plain = ModelCard("s", "scripted", context_length=100)
    assert plan_load(plain, WorkerSettings(), 4, 4 * GIB, {}).spec.context == 100
    assert (
        plan_load(ModelCard("s", "scripted"), WorkerSettings(), 4, 4 * GIB, {}).footprint_bytes
        == PROCESS_BYTES
    )


@pytest.mark.parametrize("room", [MIB * 980, 2 * GIB, 6 * GIB, 64 * GIB])
@pytest.mark.parametrize("card", [CARD, REFERENCE], ids=["cpu", "numpy"])
def test_a_plan_fits_the_room_it_was_made_for(card: ModelCard, room: int) -> None:
    plan = plan_load(card, WorkerSettings(), 4, room, {})
    assert plan.footprint_bytes <= room
    assert plan.footprint_bytes == footprint_of(FACTS, plan.spec).total
    one_session = footprint_of(FACTS, replace(plan.spec, slots=1, kv_bytes=1 << 62)).cache
    assert plan.spec.kv_bytes >= one_session


def test_the_reference_holds_weights_as_floats_only_where_they_fit() -> None:
    held = held_bytes(FACTS, LayerRange(0, 22))
    assert held < MAX_HELD_BYTES
    assert plan_load(REFERENCE, WorkerSettings(), 4, 2 * GIB, {}).spec.dequantised_bytes == 0
    assert plan_load(REFERENCE, WorkerSettings(), 4, 8 * GIB, {}).spec.dequantised_bytes == held
    assert plan_load(CARD, WorkerSettings(), 4, 8 * GIB, {}).spec.dequantised_bytes == 0


def test_a_model_too_large_says_what_it_would_take() -> None:
    plan = plan_load(CARD, WorkerSettings(), 4, 100 * MIB, {})
    assert plan.footprint_bytes > 600 * MIB


def test_threads_are_those_of_the_settings_or_the_machine() -> None:
    assert plan_load(CARD, WorkerSettings(contribution="maximum"), 4, GIB, {}).spec.threads == 4
    assert plan_load(CARD, WorkerSettings(contribution="minimal"), 4, GIB, {}).spec.threads == 2
    assert plan_load(CARD, WorkerSettings(threads=3), 4, GIB, {}).spec.threads == 3
    assert plan_load(CARD, WorkerSettings(threads=64), 4, GIB, {}).spec.threads == 4


def test_what_workers_hold_counts_as_theirs_not_as_taken() -> None:
    settings = WorkerSettings(contribution="maximum")
    assert workers_budget(Machine(), settings, 0) == 6 * GIB
    assert workers_budget(Machine(), settings, 3 * GIB) == 9 * GIB
    assert workers_budget(Machine(), WorkerSettings(max_ram_mb=1000), 0) == 1000 * MIB
    assert workers_budget(Machine(cgroup_limit=GIB), settings, 0) == int(0.8 * GIB)
    assert workers_budget(Machine(None, None), settings, 0) == int(0.8 * 4 * GIB)
