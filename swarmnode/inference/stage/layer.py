"""The arithmetic of one decoder layer on a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.attention_cache import AttentionCache
from swarmnode.inference.models.rope import Rotation
from swarmnode.inference.stage.attention import attend
from swarmnode.inference.stage.layer_weights import LayerWeights
from swarmnode.inference.stage.scratch import Scratch
from swarmnode.inference.stage.shape import Shape

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Rows start..stop of a step: consecutive rows of one session, the first at position `first`;
    and the session's cache of this layer."""

    start: int
    stop: int
    first: int
    cache: AttentionCache


def normalise(rows: Floats, weight: Floats, epsilon: np.float32, out: Floats) -> None:
    """RMSNorm (arXiv 1910.07467) over the last axis: out = rows / sqrt(mean(rows**2) + eps) * weight."""
    np.multiply(rows, rows, out=out)
    mean = np.add.reduce(out, axis=-1, keepdims=True)
    mean /= np.float32(rows.shape[-1])
    mean += epsilon
    np.sqrt(mean, out=mean)
    np.divide(rows, mean, out=out)
    out *= weight


class Layer:
    """One layer: attention and feed-forward network, each added to the residual stream."""

    def __init__(self, weights: LayerWeights, shape: Shape, scratch: Scratch) -> None:
        self.weights = weights
        self._shape = shape
        self._scratch = scratch
        self._scale = np.float32(shape.head_dim**-0.5)

    def run(self, hidden: Floats, rotation: Rotation, spans: Sequence[Span]) -> None:
        """Advance `hidden` (float32 [rows, hidden]) in place; append to the caches of the spans."""
        rows = len(hidden)
        normed = self._scratch.take("normed", rows, self._shape.hidden)
        delta = self._scratch.take("delta", rows, self._shape.hidden)
        normalise(hidden, self.weights.attention_norm, self._shape.epsilon, normed)
        self._attention(normed, rotation, spans, delta)
        hidden += delta
        normalise(hidden, self.weights.feed_forward_norm, self._shape.epsilon, normed)
        self._feed_forward(normed, delta)
        hidden += delta

    def _attention(self, rows: Floats, rotation: Rotation, spans: Sequence[Span], out: Floats) -> None:
        shape, weights, count = self._shape, self.weights, len(rows)
        heads, kv_heads, size = shape.heads, shape.kv_heads, shape.head_dim
        qkv = self._scratch.take("qkv", count, heads + 2 * kv_heads, size)
        weights.qkv.multiply(rows, qkv.reshape(count, -1))
        if weights.qkv_bias is not None:
            qkv.reshape(count, -1)[...] += weights.qkv_bias
        turning = qkv[:, : heads + kv_heads]
        if weights.head_norm is not None:
            normed = self._scratch.take("head norm", *turning.shape)
            normalise(turning, weights.head_norm, shape.epsilon, normed)
            turning[...] = normed
        rotation.turn(turning)
        queries = self._scratch.take("queries", count, kv_heads, heads // kv_heads, size)
        np.multiply(qkv[:, :heads], self._scale, out=queries.reshape(count, heads, size))
        attended = self._scratch.take("attended", *queries.shape)
        for span in spans:
            mine = slice(span.start, span.stop)
            span.cache.append(qkv[mine, heads : heads + kv_heads], qkv[mine, heads + kv_heads :])
            attend(queries[mine], span.cache, span.first, attended[mine], self._scratch)
        weights.output.multiply(attended.reshape(count, -1), out)
        if weights.output_bias is not None:
            out += weights.output_bias

    def _feed_forward(self, rows: Floats, out: Floats) -> None:
        """down(silu(gate(rows)) * up(rows)), as in arXiv 2002.05202."""
        count, inner = len(rows), self._shape.feed_forward
        both = self._scratch.take("gate and up", count, 2 * inner)
        self.weights.gate_up.multiply(rows, both)
        gate, up = both[:, :inner], both[:, inner:]
        active = self._scratch.take("active", count, inner)
        np.negative(gate, out=active)
        np.exp(active, out=active)
        active += np.float32(1)
        np.divide(gate, active, out=active)
        active *= up
        self.weights.down.multiply(active, out)
