"""Which stage a back end's name stands for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.stage.numpy_stage import load_stage
from swarmnode.inference.stage.seam import Stage
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused
from swarmnode.values.layers import KvType, LayerRange, ResidualType
from swarmnode.values.loading import LoadSpec

#: The compiled stage and the reference, by the names of their plug-ins.
COMPILED, REFERENCE = "cpu", "numpy"
BACKENDS = (COMPILED, REFERENCE)
#: More threads than any machine has cores: the stage takes as many as there are.
ALL_CORES = 1 << 16

Told = Callable[[int, int], None]


def _nobody(_done: int, _total: int) -> None:
    """Nobody wants to know."""


def load_named_stage(
    gguf: GgufFile,
    backend: str,
    *,
    layers: LayerRange | None = None,
    kv: KvType = "f16",
    residual: ResidualType | None = None,
    kv_bytes: int | None = None,
    blocks: BlockLimits | None = None,
    context: int | None = None,
    threads: int = 0,
    dequantised_bytes: int = 0,
    cache: Path | None = None,
    progress: Told = _nobody,
) -> Stage:
    """The stage of a back end over a range of layers (None: all).

    threads: 0 for one a physical core; never more than those. dequantised_bytes: what the reference may hold
    as float32. cache: where machine code is kept. progress(bytes packed, bytes in all) is called from any
    thread. Where LLVM cannot be imported the reference stands in for the compiled stage, and says so on
    standard error. Raises `Refused` and `BadModelFile`.
    """
    if backend not in BACKENDS:
        raise Refused(
            f"the back end {backend!r} is not known",
            code="backend_missing",
            hint=f"Choose one of {', '.join(BACKENDS)}.",
        )
    if backend == COMPILED:
        try:
            from swarmnode.inference.stage.compiled_stage import load_compiled_stage
        except (ImportError, OSError) as error:  # OSError: a library of another processor
            print(fallback_note(error), file=sys.stderr, flush=True)
        else:
            return load_compiled_stage(
                gguf,
                layers=layers,
                kv=kv,
                residual=residual,
                kv_bytes=kv_bytes,
                blocks=blocks,
                context=context,
                threads=threads or ALL_CORES,
                cache=cache,
                progress=progress,
            )
    return load_stage(
        gguf,
        layers=layers,
        kv=kv,
        residual=residual,
        max_dequantised_bytes=dequantised_bytes,
        kv_bytes=kv_bytes,
        blocks=blocks,
    )


def fallback_note(error: Exception) -> str:
    """What is said where the compiled stage cannot be had."""
    return (
        f"back end {COMPILED!r}: LLVM cannot be loaded ({error}); {REFERENCE!r} computes instead, which is "
        "many times slower. Install llvmlite."
    )


def load_spec_stage(gguf: GgufFile, spec: LoadSpec, cache: Path | None, progress: Told = _nobody) -> Stage:
    """The stage that a spec asks for."""
    return load_named_stage(
        gguf,
        spec.backend,
        layers=spec.layers,
        kv=spec.kv,
        residual=spec.residual,
        kv_bytes=spec.kv_bytes,
        blocks=BlockLimits(spec.prefix_bytes, spec.prefix_prompts, spec.cache_seconds),
        context=spec.context,
        threads=spec.threads,
        dequantised_bytes=spec.dequantised_bytes,
        cache=cache,
        progress=progress,
    )


def shut(stage: Stage) -> None:
    """End a stage's threads, where it has any."""
    end = getattr(stage, "shut", None)
    if end is not None:
        end()
