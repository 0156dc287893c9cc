"""The arithmetic of one decoder layer on a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.attention_cache import AttentionCache
from swarmnode.inference.models.rope import Rotation
from swarmnode.inference.stage.attention import Sight, attend
from swarmnode.inference.stage.elementwise import apply_norm, gelu, normalise, silu
from swarmnode.inference.stage.layer_tensors import Norm
from swarmnode.inference.stage.layer_weights import LayerWeights, Network
from swarmnode.inference.stage.scratch import Scratch
from swarmnode.inference.stage.shape import Shape
from swarmnode.inference.stage.weights import Matrix

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Rows start..stop of a step: consecutive rows of one session, the first at position `first`;
    and the session's cache of this layer."""

    start: int
    stop: int
    first: int
    cache: AttentionCache


class Layer:
    """One layer: attention and feed-forward network, each added to the residual stream."""

    def __init__(self, weights: LayerWeights, shape: Shape, scratch: Scratch) -> None:
        self.weights = weights
        self._shape = shape
        self._scratch = scratch
        self._activate = gelu if shape.family.activation == "gelu" else silu

    def run(self, hidden: Floats, rotation: Rotation, window: int, spans: Sequence[Span]) -> None:
        """Advance `hidden` (float32 [rows, hidden]) in place; append to the caches of the spans.

        window: how many positions a row sees, its own among them; 0: all before it."""
        rows = len(hidden)
        normed = self._scratch.take("normed", rows, self._shape.hidden)
        delta = self._scratch.take("delta", rows, self._shape.hidden)
        weights, epsilon = self.weights, self._shape.epsilon
        apply_norm(hidden, weights.attention_norm, epsilon, normed)
        self._attention(normed, rotation, window, spans, delta)
        hidden += self._after(delta, weights.post_attention_norm, normed)
        apply_norm(hidden, weights.feed_forward_norm, epsilon, normed)
        if weights.router is None:
            self._feed_forward(weights.networks[0], normed, delta)
        else:
            self._experts(weights.router, normed, delta)
        hidden += self._after(delta, weights.post_feed_forward_norm, normed)

    def _after(self, delta: Floats, norm: Norm | None, room: Floats) -> Floats:
        if norm is None:
            return delta
        apply_norm(delta, norm, self._shape.epsilon, room)
        return room

    def _attention(
        self, rows: Floats, rotation: Rotation, window: int, spans: Sequence[Span], out: Floats
    ) -> None:
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
        np.multiply(qkv[:, :heads], shape.query_scale, out=queries.reshape(count, heads, size))
        attended = self._scratch.take("attended", *queries.shape)
        sight = Sight(window, shape.attention_softcap)
        for span in spans:
            mine = slice(span.start, span.stop)
            span.cache.append(qkv[mine, heads : heads + kv_heads], qkv[mine, heads + kv_heads :])
            attend(queries[mine], span.cache, span.first, attended[mine], self._scratch, sight)
        weights.output.multiply(attended.reshape(count, -1), out)
        if weights.output_bias is not None:
            out += weights.output_bias

    def _feed_forward(self, network: Network, rows: Floats, out: Floats) -> None:
        """down(activation(gate(rows)) * up(rows)), as in arXiv 2002.05202, or without the gate."""
        count, inner = len(rows), network.down.width
        both = self._scratch.take("gate and up", count, network.gate_up.rows)
        network.gate_up.multiply(rows, both)
        if network.gate_up_bias is not None:
            both += network.gate_up_bias
        active = self._scratch.take("active", count, inner)
        self._activate(both[:, :inner], active)
        if self._shape.family.gated:
            active *= both[:, inner:]
        network.down.multiply(active, out)
        if network.down_bias is not None:
            out += network.down_bias

    def _experts(self, router: Matrix, rows: Floats, out: Floats) -> None:
        """out[i] = sum of weight * expert(rows[i]) over the experts that row i is sent to, in the
        order of their numbers (arXiv 2401.04088)."""
        scores = self._scratch.take("router", len(rows), self._shape.experts)
        router.multiply(rows, scores)
        shares = choose_experts(scores, self._shape.experts_used)
        out[...] = 0
        for expert in np.flatnonzero(shares.any(axis=0)):
            mine = np.flatnonzero(shares[:, expert])
            answer = self._scratch.take("expert", len(mine), rows.shape[1])
            self._feed_forward(self.weights.networks[expert], rows[mine], answer)
            answer *= shares[mine, expert, None]
            out[mine] += answer


def choose_experts(scores: Floats, used: int) -> Floats:
    """What each expert's result counts for, for each row: float32 [rows, experts], 0 where a row does
    not go. softmax over all, the `used` largest (of equal ones the first), divided by their sum.

    scores: float32 [rows, experts], overwritten."""
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, axis=-1, keepdims=True)
    best = np.sort(np.argsort(-scores, axis=-1, kind="stable")[:, :used], axis=-1)
    taken = np.take_along_axis(scores, best, axis=-1)
    taken /= np.add.reduce(taken, axis=-1, keepdims=True)
    shares = np.zeros_like(scores)
    np.put_along_axis(shares, best, taken, axis=-1)
    return shares
