"""The sizes and constants that a stage computes with, read from the header."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.models.family import Family
from swarmnode.inference.models.registry import family_of
from swarmnode.inference.models.rope import frequencies
from swarmnode.models.gguf import GgufFile
from swarmnode.models.keys import Keys
from swarmnode.values.cards import ModelFacts


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Sizes of one model. rope: radians a position of each pair, float64 [rope_dim / 2]."""

    family: Family
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    epsilon: np.float32
    rope: npt.NDArray[np.float64]

    @property
    def query_size(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.kv_heads * self.head_dim


def read_shape(gguf: GgufFile, facts: ModelFacts) -> Shape:
    """The shape of a model whose facts are known."""
    keys = Keys(gguf, facts.architecture)
    return Shape(
        family=family_of(facts.architecture),
        hidden=facts.hidden,
        feed_forward=facts.feed_forward,
        heads=facts.heads,
        kv_heads=facts.kv_heads,
        head_dim=facts.head_dim,
        epsilon=np.float32(keys.number("attention.layer_norm_rms_epsilon", 0.0, 1.0)),
        rope=frequencies(gguf, keys, facts.head_dim),
    )
