"""What sets one family of decoder models apart from another.

Common to all: pre-norm blocks (RMSNorm, grouped-query attention with rotary positions, RMSNorm, a
SwiGLU feed-forward network), tensors named as llama.cpp's converter names them.
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
    projection_bias: biases of the query, key and value projections.
    head_norm: an RMSNorm of each head's query and key before the rotation.
    """

    architecture: str
    rope: Literal["pairs", "halves"]
    projection_bias: Presence = "none"
    head_norm: bool = False
