"""Where keys and values lie in a page: 64 positions of all layers of a stage.

For each layer a page has the keys of each key-value head, [head_dim][64 positions], then the values of each,
[64 positions][head_dim, padded to 16]; q8_0 has the factors (float16, one for 32 numbers of a head) of the
keys, [parts][64], after the keys of a head and those of the values, [64][parts], after its values. Keys lie
position by position so that a vector holds 16 positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.inference.kernels.code import LANES
from swarmnode.values.layers import KvType

#: Positions of a page.
BLOCK = 64
#: Numbers of a head that share a factor in q8_0.
PART = 32
#: Bytes of a number, by cache type.
ITEM_BYTES = {"f32": 4, "f16": 2, "q8_0": 1}


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Where keys and values of one layer lie in a page; in bytes where nothing else is said."""

    kv_heads: int
    head_dim: int
    kv: KvType

    @property
    def padded_dim(self) -> int:
        """Numbers that the values of a head take at one position."""
        return -(-self.head_dim // LANES) * LANES

    @property
    def parts(self) -> int:
        """Factors of a head at one position, of q8_0."""
        return -(-self.head_dim // PART)

    @property
    def key_bytes(self) -> int:
        """Keys of one head."""
        return self.head_dim * BLOCK * ITEM_BYTES[self.kv] + self._factors

    @property
    def value_bytes(self) -> int:
        """Values of one head."""
        return self.padded_dim * BLOCK * ITEM_BYTES[self.kv] + self._factors

    @property
    def _factors(self) -> int:
        return self.parts * BLOCK * 2 if self.kv == "q8_0" else 0

    @property
    def values(self) -> int:
        """Where the values begin."""
        return self.kv_heads * self.key_bytes

    @property
    def layer_bytes(self) -> int:
        """One layer's part of a page."""
        return self.kv_heads * (self.key_bytes + self.value_bytes)
