"""The network: a small Llama, as llama.cpp computes it (RoPE on adjacent pairs, RMSNorm, SwiGLU)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network. width and ffn are multiples of 32, the block of Q8_0."""

    vocabulary: int = 2048
    width: int = 128
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 384
    context: int = 512
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class Norm(nn.Module):
    """RMSNorm with a learnt scale."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, x.shape[-1:], self.weight, self.epsilon)


def rope_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [context, head_width / 2]."""
    rates = shape.rope_base ** (-torch.arange(0, shape.head_width, 2).float() / shape.head_width)
    angles = torch.arange(shape.context).float()[:, None] * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: [batch, heads, rows, head_width]; elements 2i and 2i+1 are a pair."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(nn.Module):
    """One layer: attention and feed-forward, each behind a norm."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        width, kv = shape.width, shape.kv_heads * shape.head_width
        self.shape = shape
        self.attn_norm = Norm(width, shape.norm_epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv, bias=False)
        self.attn_v = nn.Linear(width, kv, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = Norm(width, shape.norm_epsilon)
        self.ffn_gate = nn.Linear(width, shape.ffn, bias=False)
        self.ffn_up = nn.Linear(width, shape.ffn, bias=False)
        self.ffn_down = nn.Linear(shape.ffn, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.dropout(self.attend(self.attn_norm(x), cos, sin))
        h = self.ffn_norm(x)
        return x + self.dropout(self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h)))

    def attend(self, h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, rows, _ = h.shape

        def split(y: Tensor, heads: int) -> Tensor:
            return y.view(batch, rows, heads, self.shape.head_width).transpose(1, 2)

        q = rotate(split(self.attn_q(h), self.shape.heads), cos, sin)
        k = rotate(split(self.attn_k(h), self.shape.kv_heads), cos, sin)
        v = split(self.attn_v(h), self.shape.kv_heads)
        repeats = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attn_output(mixed.transpose(1, 2).reshape(batch, rows, -1))


class Guide(nn.Module):
    """token ids [batch, rows] -> hidden rows [batch, rows, width]; `logits` by the tied embedding."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width, shape.norm_epsilon)
        self.dropout = nn.Dropout(dropout)
        cos, sin = rope_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 if not deep else 0.02 / (2 * self.shape.layers) ** 0.5)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.dropout(self.token_embd(ids))
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.token_embd.weight)
