"""What the compiled stage (`cpu-1`) takes: packed weights, pages of keys and values, room to work in.

The numbers are those of `inference.kernels` and `inference.stage`, which this layer may not import: a test
holds them equal. All results are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from swarmnode.values.cards import MatrixFacts, ModelFacts
from swarmnode.values.layers import KvType, LayerRange

#: Of the packed types: rows of a panel, numbers along a row in a block, bytes of a block of a panel
#: (`kernels.formats`). Every other type is packed as float32.
PANELS = {
    "Q4_K": (16, 256, 2368),
    "Q5_K": (16, 256, 2880),
    "Q6_K": (16, 256, 3360),
    "Q8_0": (16, 32, 544),
    "Q4_0": (16, 32, 288),
    "F16": (32, 1, 64),
    "BF16": (32, 1, 64),
    "F32": (32, 1, 128),
}
#: What every buffer's width is padded to, and where every matrix and page begins.
PANEL, ALIGNMENT = 32, 64
#: Positions of a page, numbers of a head that share a factor in q8_0, numbers that values are padded to.
PAGE, PART, LANES = 64, 32, 16
_ITEM: dict[KvType, int] = {"f32": 4, "f16": 2, "q8_0": 1}
#: Rows computed at a time, and rows whose logits are (`stage.compiled_stage`).
STEP_ROWS, HEAD_ROWS = 256, 16
#: Bytes of a row of quantised activations for each number of it, at most (48 bytes for 32).
ACTIVATION_BYTES = 1.5


def packed_bytes(facts: ModelFacts, layers: LayerRange) -> int:
    """The weights of a range as they are packed (the head's among them at the end)."""
    matrices = [matrix for layer in facts.layer_matrices[layers.start : layers.end] for matrix in layer]
    if facts.head is not None and layers.end == facts.layers:
        matrices.append(facts.head)
    return _all(matrices)


def _all(matrices: Iterable[MatrixFacts]) -> int:
    return sum(_aligned(matrix_bytes(matrix)) for matrix in matrices)


def matrix_bytes(matrix: MatrixFacts) -> int:
    """One matrix, or all of one shape, packed."""
    rows, block, size = PANELS.get(matrix.type_name, PANELS["F32"])
    if matrix.width % block:
        rows, block, size = PANELS["F32"]
    return matrix.groups * -(-matrix.rows // rows) * (matrix.width // block) * size


def page_bytes(facts: ModelFacts, layers: int, kv: KvType) -> int:
    """A page: 64 positions of keys and values in all of so many layers."""
    values = -(-facts.head_dim // LANES) * LANES
    factors = -(-facts.head_dim // PART) * PAGE * 2 if kv == "q8_0" else 0
    head = (facts.head_dim + values) * PAGE * _ITEM[kv] + 2 * factors
    return _aligned(layers * facts.kv_heads * head)


def rotation_bytes(facts: ModelFacts, context: int) -> int:
    """Sines and cosines of all positions."""
    return 4 * context * facts.rope_numbers


def workspace_bytes(facts: ModelFacts, *, head: bool) -> int:
    """The buffers of a step of `STEP_ROWS` rows; they lie in large pages, so shorter steps take them all."""
    rows, queries, keys = STEP_ROWS, facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    pairs = rows * max(1, facts.experts_used)
    inner = facts.expert_feed_forward if facts.experts else facts.feed_forward
    widest = max(facts.hidden, queries)
    numbers = rows * (3 * _padded(facts.hidden) + 2 * _padded(queries) + 2 * _padded(keys))
    numbers += 2 * pairs * _padded(inner)
    if facts.experts:
        numbers += pairs * _padded(facts.hidden) + rows * _padded(facts.experts)
    if head:
        numbers += HEAD_ROWS * (_padded(facts.vocab) + _padded(facts.hidden))
    return 4 * numbers + int(ACTIVATION_BYTES * (rows * widest + pairs * inner))


def _padded(width: int) -> int:
    return -(-width // PANEL) * PANEL


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
