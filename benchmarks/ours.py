"""Our half of a measurement on a stage that is loaded by name: the same calls as llama.cpp's half gets."""

from __future__ import annotations

import time
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.half import find
from swarmnode.inference.stage.seam import Batch, Slice, Want
from swarmnode.models.gguf import GgufFile

STAGE = "swarmnode.inference.stage.compiled_stage:load_compiled_stage"
#: Rows of a prompt in one step, as the engine has them by default.
CHUNK = 128
WARM_UP_TOKENS = 8
SESSION = 1


@cache
def _loaded(model: str, stage: str, threads: int, options: tuple[tuple[str, Any], ...]) -> Any:
    load = find(stage)
    given = {**dict(options), **({"threads": threads} if "threads" in signature(load).parameters else {})}
    return load(GgufFile(Path(model)), **given)


def run(
    model_path: str,
    prompt_tokens: int,
    max_tokens: int,
    threads: int = 1,
    *,
    stage: str = STAGE,
    chunk: int = CHUNK,
    load: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """As `swarmnode.inference.offline_bench.run`, on the loader `stage` ("package.module:function") with the
    options `load`. Loading is not counted; the loaded stage serves later calls."""
    loaded = _loaded(model_path, stage, threads, tuple((load or {}).items()))
    _timed(loaded, min(WARM_UP_TOKENS, prompt_tokens), WARM_UP_TOKENS, chunk)
    prefill, decode = _timed(loaded, prompt_tokens, max_tokens, chunk)
    return {
        "pp_tok_s": prompt_tokens / prefill,
        "tg_tok_s": max_tokens / decode,
        "prompt_tokens": prompt_tokens,
        "max_tokens": max_tokens,
        "threads": threads,
        "profile": str(loaded.profile),
        "resident_bytes": int(loaded.resident_bytes()),
    }


def _timed(stage: Any, prompt_tokens: int, max_tokens: int, chunk: int) -> tuple[float, float]:
    """Seconds for the prompt, and for the tokens after it, each the likeliest of the logits before."""
    rng = np.random.default_rng(1)
    ids = rng.integers(3, stage.facts.vocab, prompt_tokens).astype(np.int32)
    stage.open(SESSION, prompt_tokens + max_tokens)
    token = 0
    began = time.perf_counter()
    for first in range(0, prompt_tokens, chunk):
        part = ids[first : first + chunk]
        want: Want = "last" if first + chunk >= prompt_tokens else "none"
        logits = stage.step(Batch((Slice(SESSION, first, len(part), want),), part)).logits
    token = int(logits[0].argmax())
    prefilled = time.perf_counter()
    for position in range(prompt_tokens, prompt_tokens + max_tokens):
        batch = Batch((Slice(SESSION, position, 1),), np.array([token], np.int32))
        token = int(stage.step(batch).logits[0].argmax())
    ended = time.perf_counter()
    stage.close(SESSION)
    return prefilled - began, ended - prefilled
