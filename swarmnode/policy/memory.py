"""The one memory estimate: for loading, admission, eviction, planning and announcements (DESIGN 4).

All figures are bytes. "Resident" is what the system cannot take back without loss (RssAnon and
RssShmem) plus the mapped weights that are in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmnode.policy.packed_memory import packed_bytes, page_bytes, rotation_bytes, workspace_bytes
from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import Refused, Unavailable
from swarmnode.values.layers import KvType, LayerRange
from swarmnode.values.loading import LoadedModel, LoadSpec

MIB = 1 << 20

#: Positions a block of the cache (`inference.cache`).
CACHE_BLOCK = 64
#: Scores of attention computed at a time (`inference.stage.attention`).
MAX_SCORES = 1 << 20
#: Elements and rows of weights unpacked at a time (`inference.stage.weights`).
BLOCK_ELEMENTS, BLOCK_ROWS = 1 << 18, 64
#: What unpacking a block takes besides its result, in copies of it.
UNPACKING_COPIES = 1
#: A worker before it has loaded anything: interpreter, numpy, the worker's program (measured); and what
#: the compiler of kernels adds to it when all of them come from the disk.
PROCESS_BYTES = 20 * MIB
COMPILER_BYTES = 7 * MIB
#: Copies of a step's logits for each token of the vocabulary, in float32: the stage's, and a sampler's in
#: float64.
LOGIT_COPIES = 7
#: A tokenizer, for each token of its vocabulary (measured on five real ones: 570 to 920).
TEXT_BYTES_PER_TOKEN = 750
#: Bytes of a number of keys and values in the reference; `packed_memory` has those of the compiled stage.
KV_BYTES: dict[KvType, float] = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}

#: Part of the machine's memory that models may take when nobody says how much: without and with a
#: graphics card.
SHARES = {"minimal": (0.50, 0.31), "moderate": (0.65, 0.41), "maximum": (0.80, 0.50)}


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a worker comes to take, by part.

    weights: copies of weights in memory. mapped: packed weights used in place in the file. cache:
    keys and values when all room is used. buffers: what a step needs. text: tokenizer and templates.
    """

    weights: int
    mapped: int
    cache: int
    buffers: int
    text: int
    process: int

    @property
    def private(self) -> int:
        """Everything but the mapped file."""
        return self.weights + self.cache + self.buffers + self.text + self.process

    @property
    def total(self) -> int:
        return self.private + self.mapped


def footprint(
    facts: ModelFacts,
    layers: LayerRange | None,
    context: int,
    slots: int,
    kv: KvType = "f16",
    profile: str = "numpy-1",
    *,
    max_dequantised_bytes: int = 0,
    kv_bytes: int | None = None,
    prefill_chunk: int = 128,
    text: bool = True,
) -> Footprint:
    """The memory of a worker that runs `layers` (None: all) for `slots` sessions of `context` tokens.

    profile: the kernel class, with or without what follows it (`numpy-1/Haswell:kv=...`). Raises
    `Refused` for classes that nobody has measured. max_dequantised_bytes is of no effect on `cpu-1`, which
    packs all weights, and neither is prefill_chunk.
    """
    kernel = profile.partition("/")[0].partition(":")[0]
    if kernel == "cpu-1":
        layers = layers or LayerRange(0, facts.layers)
        return _compiled(facts, layers, context, slots, kv, kv_bytes, text)
    if kernel != "numpy-1":
        raise Refused(f"the memory of the kernel class {profile!r} is not known", code="unknown_profile")
    layers = layers or LayerRange(0, facts.layers)
    held = held_bytes(facts, layers)
    fits = held <= max_dequantised_bytes
    packed = _packed_bytes(facts, layers)
    return Footprint(
        weights=held if fits else 0,
        mapped=_table_bytes(facts) * (layers.start == 0) if fits else packed,
        cache=_cache_bytes(facts, len(layers), context, slots, kv, kv_bytes),
        buffers=_buffer_bytes(facts, layers, context, slots, kv, prefill_chunk) + _block_bytes(facts, fits),
        text=facts.vocab * TEXT_BYTES_PER_TOKEN if text else 0,
        process=PROCESS_BYTES,
    )


def footprint_of(facts: ModelFacts, spec: LoadSpec) -> Footprint:
    """The footprint of a worker that is told to load `spec`."""
    if not spec.weights:
        return Footprint(0, 0, 0, 0, facts.vocab * TEXT_BYTES_PER_TOKEN, PROCESS_BYTES)
    return footprint(
        facts,
        spec.layers,
        min(spec.context, facts.context_length),
        spec.slots,
        spec.kv,
        kernel_class(spec.backend),
        max_dequantised_bytes=spec.dequantised_bytes,
        kv_bytes=spec.kv_bytes,
        prefill_chunk=spec.prefill_chunk,
        text=spec.text,
    )


def kernel_class(backend: str) -> str:
    """The kernel class of a back end: `cpu-1` of the compiled one, else that of the reference."""
    return "cpu-1" if backend == "cpu" else "numpy-1"


def _compiled(
    facts: ModelFacts,
    layers: LayerRange,
    context: int,
    slots: int,
    kv: KvType,
    kv_bytes: int | None,
    text: bool,
) -> Footprint:
    has_head = layers.end == facts.layers
    cache = slots * -(-context // CACHE_BLOCK) * page_bytes(facts, len(layers), kv)
    logits = 4 * LOGIT_COPIES * facts.vocab if has_head else 0
    return Footprint(
        weights=packed_bytes(facts, layers),
        mapped=_table_bytes(facts) * (layers.start == 0),
        cache=cache if kv_bytes is None else min(cache, kv_bytes),
        buffers=workspace_bytes(facts, head=has_head) + rotation_bytes(facts, context) + logits,
        text=facts.vocab * TEXT_BYTES_PER_TOKEN if text else 0,
        process=PROCESS_BYTES + COMPILER_BYTES,
    )


def held_bytes(facts: ModelFacts, layers: LayerRange) -> int:
    """Bytes of the float32 copies of a range's matrices (the head's among them at the end)."""
    head = facts.vocab * facts.hidden if layers.end == facts.layers else 0
    return 4 * (sum(facts.layer_elements[layers.start : layers.end]) + head)


def _table_bytes(facts: ModelFacts) -> int:
    """The packed embedding; where the head is another tensor, about half of what belongs to no layer."""
    return facts.shared_bytes if facts.tied else facts.shared_bytes // 2


def _packed_bytes(facts: ModelFacts, layers: LayerRange) -> int:
    first, last = layers.start == 0, layers.end == facts.layers
    tables = max(first, last) if facts.tied else first + last
    return sum(facts.layer_bytes[layers.start : layers.end]) + tables * _table_bytes(facts)


def _cache_bytes(
    facts: ModelFacts, layers: int, context: int, slots: int, kv: KvType, limit: int | None
) -> int:
    positions = -(-context // CACHE_BLOCK) * CACHE_BLOCK
    numbers = slots * positions * layers * 2 * facts.kv_heads * facts.head_dim
    wanted = int(numbers * KV_BYTES[kv])
    return wanted if limit is None else min(wanted, limit)


def _buffer_bytes(
    facts: ModelFacts, layers: LayerRange, context: int, slots: int, kv: KvType, chunk: int
) -> int:
    """float32 buffers of a step of one chunk of a prompt and a row of every other slot."""
    queries, keys = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    row = 3 * facts.hidden + 3 * queries + 2 * keys + 3 * _inner_width(facts)
    if facts.experts:  # rows gathered for an expert, its answers and their sum; the router's scores
        row += 3 * facts.hidden + 3 * facts.experts
    positions = -(-context // CACHE_BLOCK) * CACHE_BLOCK
    rows = min(chunk, context) + slots
    alike = min(rows, CACHE_BLOCK)  # rows whose attention is computed together
    scores = max(min(MAX_SCORES, facts.heads * positions * alike), facts.heads * positions)
    parts = scores // CACHE_BLOCK * facts.head_dim
    widened = 0 if kv == "f32" else 2 * positions * keys
    logits = LOGIT_COPIES * facts.vocab if layers.end == facts.layers else 0
    return 4 * (rows * row + scores + parts + widened + logits)


def _inner_width(facts: ModelFacts) -> int:
    """Width of the feed-forward network that a row goes through at a time."""
    return facts.expert_feed_forward if facts.experts else facts.feed_forward


def _block_bytes(facts: ModelFacts, held: bool) -> int:
    """A block of weights unpacked at use."""
    if held:
        return 0
    widest = max(facts.hidden, _inner_width(facts), facts.heads * facts.head_dim)
    return 4 * max(BLOCK_ELEMENTS, BLOCK_ROWS * widest) * (1 + UNPACKING_COPIES)


def budget(
    total_bytes: int,
    available_bytes: int,
    cgroup_limit: int | None,
    max_ram_mb: int,
    contribution: str,
    *,
    gpu: bool = False,
) -> int:
    """How much all models together may take.

    max_ram_mb above 0 is a ceiling that is obeyed; 0 means a share of the memory by contribution, but
    no more than is free now. A cgroup's limit counts as the size of the machine. Raises `Refused`
    for a contribution that does not exist.
    """
    if contribution not in SHARES:
        raise Refused(
            f"the contribution {contribution!r} does not exist",
            code="bad_config",
            hint=f"Choose one of {', '.join(SHARES)}.",
            param="node.contribution",
        )
    size = total_bytes if cgroup_limit is None else min(total_bytes, cgroup_limit)
    if max_ram_mb > 0:
        return min(max_ram_mb * MIB, size)
    return min(int(size * SHARES[contribution][gpu]), available_bytes)


def choose_eviction(loaded: Sequence[LoadedModel], needed: int, budget: int) -> tuple[str, ...]:
    """The labels to unload, in order, so that `needed` bytes more fit in the budget.

    The one that was not used for longest goes first; one that has requests never goes. Raises
    `Unavailable` that names both figures when there is no way.
    """
    if needed > budget:
        raise Unavailable(
            f"the model needs about {_mb(needed)} MB of memory; {_mb(budget)} MB are allowed",
            code="model_too_large",
            hint="Raise resources.max_ram_mb, or choose a smaller model or a shorter context.",
        )
    missing = sum(model.footprint_bytes for model in loaded) + needed - budget
    leaving: list[str] = []
    for model in sorted(loaded, key=lambda model: -model.idle_seconds):
        if missing > 0 and model.active == 0:
            leaving.append(model.label)
            missing -= model.footprint_bytes
    if missing > 0:
        raise Unavailable(
            f"the model needs about {_mb(needed)} MB of memory; of {_mb(budget)} MB all but "
            f"{_mb(needed - missing)} MB are taken by models that are answering",
            code="memory_busy",
            hint="Try again when they have finished, or raise resources.max_ram_mb.",
        )
    return tuple(leaving)


def _mb(size: int) -> int:
    return -(-size // MIB)
