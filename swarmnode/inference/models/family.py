"""What sets one family of decoder models apart from another.

Common to all: pre-norm blocks (grouped-query attention with rotary positions, then a feed-forward
network or a mixture of experts), tensors and metadata named as llama.cpp's converter names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Presence = Literal["none", "optional", "required"]


@dataclass(frozen=True, slots=True)
class Family:
    """One family.

    architecture: what `general.architecture` says.
    rope: which numbers of a head turn together: `pairs` (0 with 1, 2 with 3, ...) or
    `halves` (i with i + n/2, called neox elsewhere).
    projection_bias: biases of the query, key and value projections. output_bias: of the attention's
    output. feed_forward_bias: of all projections of the feed-forward network.
    head_norm: an RMSNorm of each head's query and key before the rotation.
    norm: `rms` (RMSNorm) or `layer` (LayerNorm with bias).
    activation: `silu`, or `gelu` in its tanh approximation (arXiv 1606.08415).
    gated: down(activation(gate(x)) * up(x)), else down(activation(up(x))).
    fused_qkv: query, key and value may come as one tensor `attn_qkv`. fused_gate: gate and up are one
    tensor `ffn_up`, the gate its first half.
    post_norms: norms of what attention and feed-forward network give, before it is added.
    window_period: of the layers, every one whose number + 1 is a multiple of this sees everything,
    the others see a window; 0: every layer sees a window. Only where the header has a window, or
    default_window (0: none) says that there is one all the same.
    local_rope_base: base of the rotary positions of layers with a window, which are not scaled; None:
    they turn as the others do.
    attention_softcap, final_softcap: what holds where the header does not say (0: no cap).
    scaled_embedding: embeddings are multiplied by sqrt(hidden).
    shared_width_layers: models of so many layers scale queries by (hidden / heads)**-0.5, not
    head_dim**-0.5 (the header does not say it; llama.cpp goes by the number of layers too).
    experts: a mixture of experts in place of the feed-forward networks.
    """

    architecture: str
    rope: Literal["pairs", "halves"]
    projection_bias: Presence = "none"
    output_bias: Presence = "none"
    feed_forward_bias: Presence = "none"
    head_norm: bool = False
    norm: Literal["rms", "layer"] = "rms"
    activation: Literal["silu", "gelu"] = "silu"
    gated: bool = True
    fused_qkv: bool = False
    fused_gate: bool = False
    post_norms: bool = False
    window_period: int = 0
    default_window: int = 0
    local_rope_base: float | None = None
    attention_softcap: float = 0.0
    final_softcap: float = 0.0
    scaled_embedding: bool = False
    shared_width_layers: int = 0
    experts: Presence = "none"
