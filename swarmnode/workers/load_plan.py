"""From a model's card and the node's settings to what its worker is told to load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmnode.values.cards import ModelCard
from swarmnode.values.loading import LoadSpec
from swarmnode.values.settings import WorkerSettings

#: Room for keys and values of one model, at most, and as a part of the budget.
MAX_KV_BYTES = 4 << 30
_KV_PART = 4
#: Weights held as float32, as a part of the budget.
_HELD_PART = 2
MAX_HELD_BYTES = 4 << 30


def load_spec(
    card: ModelCard, settings: WorkerSettings, budget_bytes: int, options: Mapping[str, Any]
) -> LoadSpec:
    """What to load for a card when `budget_bytes` of memory are for all models together.

    The context is the smaller of the node's and the model's.
    """
    trained = card.context_length or (card.facts.context_length if card.facts else 0)
    return LoadSpec(
        label=card.label,
        path=card.path,
        backend=card.backend,
        kv=settings.kv,
        context=min(settings.context, trained) if trained else settings.context,
        slots=settings.slots,
        kv_bytes=min(MAX_KV_BYTES, budget_bytes // _KV_PART),
        threads=max(1, settings.threads),
        prefill_chunk=settings.prefill_chunk,
        dequantised_bytes=min(MAX_HELD_BYTES, budget_bytes // _HELD_PART),
        options=dict(options),
    )
