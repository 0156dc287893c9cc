"""The sizes and constants that a stage computes with, read from the header."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.models.family import Family
from swarmnode.inference.models.registry import family_of
from swarmnode.inference.models.rope import Speeds, read_speeds
from swarmnode.inference.models.windows import read_windows
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.models.keys import Keys
from swarmnode.values.cards import ModelFacts

MAX_SOFTCAP = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Sizes and constants of one model.

    query_scale: what queries are multiplied by before they meet the keys.
    ropes: one a layer, radians a position of each pair, float64 [rope_dim / 2]; layers that turn alike
    share one array. rope_factor: what all sines and cosines are multiplied by.
    windows: one a layer; key j is seen by query i iff j <= i and (window == 0 or i - j < window).
    attention_softcap, final_softcap: scores (scaled, not masked yet) and logits x become
    cap * tanh(x / cap); 0: they stay.
    embedding_scale: what embeddings are multiplied by before anything else.
    experts: how many a layer has, 0 for dense models; experts_used: how many a row goes through;
    expert_feed_forward: the width of each. The router's scores of a row go through a softmax over all
    experts, the experts_used largest are taken (of equal ones the first), and divided by their sum:
    these weights multiply the experts' results.
    """

    family: Family
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    epsilon: np.float32
    query_scale: np.float32
    ropes: tuple[npt.NDArray[np.float64], ...]
    rope_factor: float
    windows: tuple[int, ...]
    attention_softcap: float
    final_softcap: float
    embedding_scale: np.float32
    experts: int
    experts_used: int
    expert_feed_forward: int

    @property
    def query_size(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.kv_heads * self.head_dim


def read_shape(gguf: GgufFile, facts: ModelFacts) -> Shape:
    """The shape of a model whose facts are known. Raises `BadModelFile` for absurd numbers, `Refused`
    for positions scaled in ways that are not supported."""
    keys, family = Keys(gguf, facts.architecture), family_of(facts.architecture)
    if family.experts == "required" and not facts.experts:
        raise BadModelFile(gguf.path, f"the metadata lack {facts.architecture}.expert_count")
    epsilon = "attention.layer_norm_epsilon" if family.norm == "layer" else "attention.layer_norm_rms_epsilon"
    windows = read_windows(keys, family, facts.layers)
    speeds = read_speeds(gguf, keys, facts.head_dim, family.local_rope_base)
    return Shape(
        family=family,
        hidden=facts.hidden,
        feed_forward=facts.feed_forward,
        heads=facts.heads,
        kv_heads=facts.kv_heads,
        head_dim=facts.head_dim,
        epsilon=np.float32(keys.number(epsilon, 0.0, 1.0)),
        query_scale=_query_scale(family, facts),
        ropes=_ropes(speeds, windows),
        rope_factor=speeds.factor,
        windows=windows,
        attention_softcap=keys.number("attn_logit_softcapping", 0.0, MAX_SOFTCAP, family.attention_softcap),
        final_softcap=keys.number("final_logit_softcapping", 0.0, MAX_SOFTCAP, family.final_softcap),
        embedding_scale=np.float32(facts.hidden**0.5 if family.scaled_embedding else 1.0),
        experts=facts.experts,
        experts_used=facts.experts_used,
        expert_feed_forward=facts.expert_feed_forward,
    )


def _query_scale(family: Family, facts: ModelFacts) -> np.float32:
    shared = facts.layers == family.shared_width_layers
    return np.float32((facts.hidden / facts.heads if shared else facts.head_dim) ** -0.5)


def _ropes(speeds: Speeds, windows: tuple[int, ...]) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(speeds.local if window else speeds.everywhere for window in windows)
