"""What a worker is told to load, and what the node knows of a loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmnode.values.layers import KvType, LayerRange, ResidualType


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """Everything a worker needs to run one model, or a range of its layers.

    layers: None for the whole model. `text` False leaves tokenizer and templates out; a worker with
    `text` True and `weights` False is a text worker.
    slots: how many requests are stepped together. context: tokens a session may hold.
    prefill_chunk: most rows of prompts in a step. prefill_ms: what they may add to a step that others
    wait for. batch_prompts: whether several prompts are computed together.
    session_seconds: how long the keys and values of a `session_id` wait for its next turn;
    cache_seconds: how long those of kept prompts do.
    kv_bytes: the room for keys and values of all sessions and kept prompts together.
    prefix_bytes: most of that for kept prompts; 0: none are kept. prefix_prompts: how many are kept.
    prefix_min_tokens, prefix_max_tokens: the shortest and the longest that is kept (0: any).
    prefix_salt: only requests under one salt share prompts; empty: the worker draws one.
    threads: that compute, never more than there are physical cores; 0: one a core.
    dequantised_bytes: what the reference (`numpy`) may hold of the weights as float32.
    residual: None for the default of the file's weight types.
    """

    label: str
    path: str
    backend: str = "cpu"
    layers: LayerRange | None = None
    weights: bool = True
    text: bool = True
    kv: KvType = "f16"
    residual: ResidualType | None = None
    context: int = 8192
    slots: int = 8
    kv_bytes: int = 1 << 30
    threads: int = 0
    prefill_chunk: int = 128
    prefill_ms: int = 200
    batch_prompts: bool = True
    session_seconds: float = 600.0
    cache_seconds: float = 600.0
    prefix_bytes: int = 2 << 30
    prefix_prompts: int = 16
    prefix_min_tokens: int = 32
    prefix_max_tokens: int = 0
    prefix_salt: str = field(default="", repr=False)
    dequantised_bytes: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A running worker, as others see it. prefix_cache: counters of its kept prompts by name, as far as it
    has told of them. loading: the part of the weights that is there while it starts, 0 to 1; None where it
    has not told of it. load: what its engine has to do, by name, as far as it has told of it; kv_bytes: the
    room for keys and values."""

    label: str
    pid: int
    state: str
    active: int
    resident_bytes: int
    footprint_bytes: int
    idle_seconds: float
    profile: str = ""
    prefix_cache: Mapping[str, int] = field(default_factory=dict)
    loading: float | None = None
    load: Mapping[str, int] = field(default_factory=dict)
    kv_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What a provider is given: its key (empty where none is set) and its own options."""

    name: str
    api_key: str = ""
    base_url: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
