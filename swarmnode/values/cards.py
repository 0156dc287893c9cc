"""What the node knows of a model without reading its weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MatrixFacts:
    """A matrix of weights, or `groups` of one shape (the experts of a layer): rows of `width` numbers each.

    type_name: the ggml type's name ("Q4_K", "F16", ...).
    """

    type_name: str
    rows: int
    width: int
    groups: int = 1


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The numbers of a GGUF header that planning and loading need (no weights are read).

    weight_bytes: the size of all tensor data in the file or files, in bytes.
    layer_bytes: the same for each layer; what belongs to no layer is in `shared_bytes`.
    layer_elements: how many numbers each layer's tensors hold.
    feed_forward: the width of the feed-forward network. tied: the output head is the embedding.
    experts: how many a layer has (0: none, all weights work for every token); experts_used: how many
    a token goes through; expert_feed_forward: the width of each.
    layer_matrices: the matrices of each layer. head: that of the output (the embedding's where it is
    tied); None where it is not known. rope_numbers: how many sines and cosines a position has, over all
    ways in which layers turn it.
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context_length: int
    quantization: str
    weight_bytes: int
    layer_bytes: tuple[int, ...] = ()
    shared_bytes: int = 0
    largest_tensor_elements: int = 0
    layer_elements: tuple[int, ...] = ()
    feed_forward: int = 0
    tied: bool = False
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    layer_matrices: tuple[tuple[MatrixFacts, ...], ...] = ()
    head: MatrixFacts | None = None
    rope_numbers: int = 0


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that can be asked for by `label`.

    backend: the name of the inference back end or provider that runs it.
    path: the file (the first one of a split file), empty where there is none.
    owned_by: `local`, `builtin`, or a provider's name.
    created: Unix time in seconds, of the file where there is one.
    """

    label: str
    backend: str
    path: str = ""
    owned_by: str = "local"
    created: int = 0
    facts: ModelFacts | None = None
    context_length: int | None = None
    problem: str = ""
