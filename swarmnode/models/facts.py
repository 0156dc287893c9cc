"""The numbers that planning and loading need, read from a GGUF header alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from swarmnode.models.gguf import BadModelFile, GgufFile, TensorInfo
from swarmnode.models.keys import Keys
from swarmnode.values.cards import MatrixFacts, ModelFacts
from swarmnode.values.errors import Refused

#: The families of `swarmnode.inference.models`, by the word `general.architecture` has for them.
SUPPORTED_ARCHITECTURES = (
    "llama",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "gemma",
    "gemma2",
    "gemma3",
    "phi3",
    "glm4",
    "starcoder2",
)
#: Those of them that may be mixtures of experts.
EXPERT_ARCHITECTURES = frozenset({"llama", "qwen3moe"})

#: Those whose layers with a window turn positions in another way than the others.
LOCAL_ROPE_ARCHITECTURES = frozenset({"gemma3"})

MAX_LAYERS = 1024
MAX_HIDDEN = 1 << 17
MAX_HEADS = 1024
MAX_HEAD_DIM = 1024
MAX_VOCAB = 1 << 22
MAX_CONTEXT = 1 << 30
MAX_FEED_FORWARD = 1 << 24
MAX_EXPERTS = 512

#: Weight types that are plain floats; every other type is quantised (DESIGN 6).
FLOAT_TYPES = frozenset({"F32", "F16", "BF16"})

#: general.file_type -> the name people use; the numbers of llama.cpp's `llama_ftype` (llama.h).
FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
}

_LAYER = re.compile(r"blk\.(\d{1,6})\.")


def read_facts(gguf: GgufFile) -> ModelFacts:
    """The facts of a model file; no weight is read.

    Raises `Refused` (code `unsupported_architecture`) for families that this program does not run,
    and `BadModelFile` for metadata that are missing, absurd or contradict the tensors.
    """
    architecture = read_architecture(gguf)
    keys = Keys(gguf, architecture)
    layers = keys.integer("block_count", 1, MAX_LAYERS)
    hidden = keys.integer("embedding_length", 1, MAX_HIDDEN)
    heads = keys.integer("attention.head_count", 1, MAX_HEADS)
    kv_heads = keys.integer("attention.head_count_kv", 1, heads, default=heads)
    if heads % kv_heads:
        raise BadModelFile(gguf.path, f"{heads} heads do not divide among {kv_heads} key-value heads")
    feed_forward = keys.integer("feed_forward_length", 1, MAX_FEED_FORWARD)
    experts = keys.integer("expert_count", 0, MAX_EXPERTS, default=0)
    sizes, elements = _by_layer(gguf, layers)
    head_dim = _head_dim(gguf, keys, hidden, heads)
    total = sum(tensor.nbytes for tensor in gguf.tensors.values())
    return ModelFacts(
        architecture=architecture,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=_vocab(gguf, hidden),
        context_length=keys.integer("context_length", 1, MAX_CONTEXT),
        quantization=_quantization(gguf),
        weight_bytes=total,
        layer_bytes=sizes,
        shared_bytes=total - sum(sizes),
        largest_tensor_elements=max(tensor.elements for tensor in gguf.tensors.values()),
        layer_elements=elements,
        feed_forward=feed_forward,
        tied="output.weight" not in gguf.tensors,
        experts=experts,
        experts_used=keys.integer("expert_used_count", 1, experts) if experts else 0,
        expert_feed_forward=_expert_width(keys, feed_forward) if experts else 0,
        layer_matrices=_matrices(gguf, layers),
        head=_head(gguf),
        rope_numbers=_rope_numbers(architecture, keys, head_dim),
    )


def read_architecture(gguf: GgufFile) -> str:
    """`general.architecture`, if it is a family that this program runs."""
    name = gguf.metadata.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise BadModelFile(gguf.path, "the metadata lack general.architecture")
    if name not in SUPPORTED_ARCHITECTURES:
        raise _unsupported(gguf, f"the architecture {name[:64]!r}")
    if name not in EXPERT_ARCHITECTURES and gguf.metadata.get(f"{name}.expert_count", 0):
        raise _unsupported(gguf, f"a mixture of experts of the architecture {name!r}")
    return name


def _unsupported(gguf: GgufFile, what: str) -> Refused:
    return Refused(
        f"{gguf.path.name}: {what} is not supported",
        code="unsupported_architecture",
        hint=f"Choose a model of one of these architectures: {', '.join(SUPPORTED_ARCHITECTURES)}.",
    )


def _expert_width(keys: Keys, feed_forward: int) -> int:
    return keys.integer("expert_feed_forward_length", 1, MAX_FEED_FORWARD, default=feed_forward)


def is_quantised(tensors: Iterable[TensorInfo]) -> bool:
    """Whether any of the tensors is of a quantised type."""
    return any(tensor.type_name not in FLOAT_TYPES for tensor in tensors)


def layer_of(name: str) -> int | None:
    """The layer that a tensor belongs to, by its name; None for those that belong to none."""
    match = _LAYER.match(name)
    return int(match[1]) if match else None


def _by_layer(gguf: GgufFile, layers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    sizes, elements = [0] * layers, [0] * layers
    for tensor in gguf.tensors.values():
        layer = layer_of(tensor.name)
        if layer is None:
            continue
        if layer >= layers:
            raise BadModelFile(gguf.path, f"has a tensor {tensor.name!r}, but only {layers} layers")
        sizes[layer] += tensor.nbytes
        elements[layer] += tensor.elements
    if 0 in sizes:
        raise BadModelFile(gguf.path, f"has no tensors for layer {sizes.index(0)} of {layers}")
    return tuple(sizes), tuple(elements)


def _matrices(gguf: GgufFile, layers: int) -> tuple[tuple[MatrixFacts, ...], ...]:
    found: list[list[MatrixFacts]] = [[] for _ in range(layers)]
    for tensor in gguf.tensors.values():
        layer = layer_of(tensor.name)
        if layer is not None and len(tensor.shape) > 1:
            found[layer].append(_matrix(tensor))
    return tuple(map(tuple, found))


def _head(gguf: GgufFile) -> MatrixFacts:
    table = gguf.tensors["token_embd.weight"]
    head = gguf.tensors.get("output.weight", table)
    if head.shape != table.shape:
        raise BadModelFile(
            gguf.path, f"output.weight has the shape {head.shape}, token_embd.weight {table.shape}"
        )
    return _matrix(head)


def _matrix(tensor: TensorInfo) -> MatrixFacts:
    rows, width = tensor.shape[-2:]
    return MatrixFacts(tensor.type_name, rows, width, tensor.elements // (rows * width))


def _rope_numbers(architecture: str, keys: Keys, head_dim: int) -> int:
    size = keys.integer("rope.dimension_count", 2, head_dim, default=head_dim)
    return size * (2 if architecture in LOCAL_ROPE_ARCHITECTURES or keys.has("rope.freq_base_swa") else 1)


def _head_dim(gguf: GgufFile, keys: Keys, hidden: int, heads: int) -> int:
    if not keys.has("attention.key_length") and hidden % heads:
        raise BadModelFile(gguf.path, f"a width of {hidden} does not divide among {heads} heads")
    size = keys.integer("attention.key_length", 2, MAX_HEAD_DIM, default=hidden // heads)
    values = keys.integer("attention.value_length", 2, MAX_HEAD_DIM, default=size)
    if size % 2 or values != size:
        raise BadModelFile(
            gguf.path, f"keys of {size} and values of {values} numbers a head are not supported"
        )
    return size


def _vocab(gguf: GgufFile, hidden: int) -> int:
    table = gguf.tensors.get("token_embd.weight")
    if table is None:
        raise BadModelFile(gguf.path, "has no tensor token_embd.weight")
    if len(table.shape) != 2 or table.shape[1] != hidden or table.shape[0] > MAX_VOCAB:
        raise BadModelFile(
            gguf.path, f"token_embd.weight has the shape {table.shape}, not (tokens, {hidden})"
        )
    return table.shape[0]


def _quantization(gguf: GgufFile) -> str:
    kind = gguf.metadata.get("general.file_type")
    if isinstance(kind, int) and kind in FILE_TYPES:
        return FILE_TYPES[kind]
    weights: Counter[str] = Counter()
    for tensor in gguf.tensors.values():
        weights[tensor.type_name] += tensor.elements
    return weights.most_common(1)[0][0]
