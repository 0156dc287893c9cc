"""From a model's card and the machine's memory to what its worker is told to load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from swarmnode.policy.memory import PROCESS_BYTES, budget, footprint_of, held_bytes, kernel_class
from swarmnode.policy.threads import threads_for
from swarmnode.values.cards import ModelCard
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadSpec
from swarmnode.values.settings import WorkerSettings

#: Weights of one model held as float32, at most.
MAX_HELD_BYTES = 4 << 30
#: What is assumed of a machine that does not say how much memory it has.
_UNKNOWN_MEMORY = 4 << 30
#: Room for keys and values where nothing is known of the model.
_PLAIN_KV_BYTES = 1 << 30


class Memory(Protocol):
    """The machine's memory in bytes; None where it cannot be learnt (`observability.machine`)."""

    @property
    def ram_total(self) -> int | None: ...
    @property
    def ram_available(self) -> int | None: ...
    @property
    def cgroup_limit(self) -> int | None: ...
    @property
    def cores(self) -> int: ...


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to load, and the memory it comes to take."""

    spec: LoadSpec
    footprint_bytes: int


def workers_budget(memory: Memory, settings: WorkerSettings, held: int) -> int:
    """What all workers together may take. held: what they take now, which is not free but theirs."""
    total = memory.ram_total or _UNKNOWN_MEMORY
    available = memory.ram_available if memory.ram_available is not None else total
    limit, contribution = memory.cgroup_limit, settings.contribution
    return budget(total, min(total, available + held), limit, settings.max_ram_mb, contribution)


def plan_load(
    card: ModelCard,
    settings: WorkerSettings,
    cores: int,
    room: int,
    options: Mapping[str, Any],
    layers: LayerRange | None = None,
) -> LoadPlan:
    """What to load for a card, or some of its layers without its text, when `room` bytes are for it alone.

    The context is the smaller of the node's and the model's. Keys and values get the room that all slots
    could use, but leave half of what is free to others; the reference holds weights as float32 where they
    fit in the rest.
    """
    spec = _plain_spec(card, settings, cores, options)
    if layers is not None:
        spec = replace(spec, label=stage_label(card, layers), layers=layers, text=False, prefix_bytes=0)
    facts = card.facts
    if facts is None:
        return LoadPlan(spec, PROCESS_BYTES)
    smallest = footprint_of(facts, replace(spec, slots=1)).total
    full = footprint_of(facts, replace(spec, kv_bytes=1 << 62)).cache
    one = footprint_of(facts, replace(spec, slots=1, kv_bytes=1 << 62)).cache
    free = max(0, room - smallest)
    spec = replace(spec, kv_bytes=min(full, one + free // 2))
    if kernel_class(spec.backend) != "numpy-1":
        return LoadPlan(spec, footprint_of(facts, spec).total)
    held = held_bytes(facts, layers or LayerRange(0, facts.layers))
    left = room - footprint_of(facts, spec).total
    if held <= min(left, MAX_HELD_BYTES):
        spec = replace(spec, dequantised_bytes=held)
    return LoadPlan(spec, footprint_of(facts, spec).total)


def stage_label(card: ModelCard, layers: LayerRange | None) -> str:
    """What a worker for some layers of a model is called."""
    return card.label if layers is None else f"{card.label} [{layers}]"


def _plain_spec(
    card: ModelCard, settings: WorkerSettings, cores: int, options: Mapping[str, Any]
) -> LoadSpec:
    trained = card.context_length or (card.facts.context_length if card.facts else 0)
    return LoadSpec(
        label=card.label,
        path=card.path,
        backend=card.backend,
        kv=settings.kv,
        context=min(settings.context, trained) if trained else settings.context,
        slots=settings.slots,
        kv_bytes=_PLAIN_KV_BYTES,
        threads=threads_for(cores, settings.contribution, settings.threads),
        prefill_chunk=settings.prefill_chunk,
        prefill_ms=settings.prefill_ms,
        batch_prompts=settings.batch_prompts,
        session_seconds=float(settings.session_seconds),
        cache_seconds=float(settings.cache_seconds),
        prefix_bytes=settings.prefix_mb << 20,
        prefix_prompts=settings.prefix_prompts,
        prefix_min_tokens=settings.prefix_min_tokens,
        prefix_max_tokens=settings.prefix_max_tokens,
        options=dict(options),
    )
