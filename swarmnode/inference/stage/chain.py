"""Stages one after another in one process: a model cut anywhere, run as if it were not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swarmnode.inference.stage.choosing import REFERENCE, load_named_stage
from swarmnode.inference.stage.seam import Batch, Slice, Stage, StepResult
from swarmnode.models.gguf import GgufFile
from swarmnode.values.layers import KvType, LayerRange, ResidualType

#: Rows computed together.
CHUNK = 128


def load_chain(
    gguf: GgufFile,
    ranges: Sequence[LayerRange],
    *,
    kv: KvType,
    residual: ResidualType | None,
    max_dequantised_bytes: int,
    backend: str = REFERENCE,
    cache: Path | None = None,
    context: int | None = None,
) -> list[Stage]:
    """One stage a range. The reference may hold float32 weights as far as the one budget goes. cache:
    where compiled stages keep machine code. context: positions of a session, None for the model's."""
    stages: list[Stage] = []
    left = max_dequantised_bytes
    for layers in ranges:
        stage = load_named_stage(
            gguf,
            backend,
            layers=layers,
            kv=kv,
            residual=residual,
            context=context,
            dequantised_bytes=left,
            cache=cache,
        )
        left = max(left - stage.resident_bytes(), 0)
        stages.append(stage)
    return stages


def step_through(stages: Sequence[Stage], batch: Batch) -> StepResult:
    """The batch through all stages; the answer of the last."""
    result = stages[0].step(batch)
    for stage in stages[1:]:
        result = stage.step(Batch(batch.slices, hidden=result.hidden))
    return result


def logits_of(
    stages: Sequence[Stage], ids: npt.NDArray[np.int32], chunk: int = CHUNK
) -> Iterator[npt.NDArray[np.float32]]:
    """The logits of every position, a chunk at a time: float32 [rows, vocab]."""
    session = 0
    for stage in stages:
        stage.open(session, len(ids))
    try:
        for first in range(0, len(ids), chunk):
            tokens = ids[first : first + chunk]
            result = step_through(stages, Batch((Slice(session, first, len(tokens), "all"),), tokens))
            assert result.logits is not None  # the last stage of a whole model has the head
            yield result.logits
    finally:
        for stage in stages:
            stage.close(session)
