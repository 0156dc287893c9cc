"""The engine alone, measured: prompt and answer speed of one model without node or network."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from swarmnode.inference.kernel_cache import own_cache_directory
from swarmnode.inference.stage.choosing import COMPILED, load_named_stage, shut
from swarmnode.inference.stage.seam import Batch, Slice, Stage
from swarmnode.inference.watchdog import peak_bytes
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused

MAX_TOKENS = 1 << 17
#: Rows of the prompt computed together, as the engine does by default.
CHUNK = 128
WARM_UP_TOKENS = 8
#: The reference holds weights as float32 where they fit in this.
HELD_BYTES = 2 << 30


def run(
    model_path: str,
    prompt_tokens: int,
    max_tokens: int,
    threads: int = 1,
    *,
    max_dequantised_bytes: int = HELD_BYTES,
    backend: str = COMPILED,
) -> dict[str, Any]:
    """Prefill `prompt_tokens` rows and decode `max_tokens` greedily, after a warm-up; loading is not
    counted. Returns `pp_tok_s` and `tg_tok_s` (tokens a second), the counts, the profile, `threads`
    as used (never more than physical cores; the reference has one), `load_seconds`, `resident_bytes` of the
    stage, and `peak_bytes` of the process when it was loaded, mapped pages included. Raises `Refused`.
    """
    if not (1 <= prompt_tokens <= MAX_TOKENS and 1 <= max_tokens <= MAX_TOKENS):
        raise Refused(f"counts of tokens go from 1 to {MAX_TOKENS}", code="bad_bench")
    with GgufFile(model_path) as gguf:
        began = time.monotonic()
        stage = load_named_stage(
            gguf,
            backend,
            threads=threads,
            context=prompt_tokens + max_tokens,
            dequantised_bytes=max_dequantised_bytes,
            cache=own_cache_directory(),
        )
        load_seconds, peak = time.monotonic() - began, peak_bytes()
        _measure(stage, min(WARM_UP_TOKENS, prompt_tokens), WARM_UP_TOKENS)
        prefill, decode = _measure(stage, prompt_tokens, max_tokens)
        shut(stage)
        return {
            "pp_tok_s": round(prompt_tokens / prefill, 3),
            "tg_tok_s": round(max_tokens / decode, 3),
            "prompt_tokens": prompt_tokens,
            "max_tokens": max_tokens,
            "threads": getattr(stage, "threads", 1),
            "threads_asked": threads,
            "profile": str(stage.profile),
            "load_seconds": round(load_seconds, 3),
            "resident_bytes": stage.resident_bytes(),
            "peak_bytes": peak,
        }


def _measure(stage: Stage, prompt_tokens: int, max_tokens: int) -> tuple[float, float]:
    """Seconds for the prompt, and seconds for the tokens after it."""
    session = 0
    stage.open(session, prompt_tokens + max_tokens)
    ids = np.arange(prompt_tokens, dtype=np.int32) % stage.facts.vocab
    began = time.perf_counter()
    for first in range(0, prompt_tokens, CHUNK):
        token = _step(stage, first, ids[first : first + CHUNK])
    prefilled = time.perf_counter()
    for position in range(prompt_tokens, prompt_tokens + max_tokens):
        token = _step(stage, position, np.array([token], np.int32))
    ended = time.perf_counter()
    stage.close(session)
    return prefilled - began, ended - prefilled


def _step(stage: Stage, first: int, tokens: np.ndarray[Any, np.dtype[np.int32]]) -> int:
    """One step of session 0; the most likely next token."""
    logits = stage.step(Batch((Slice(0, first, len(tokens)),), tokens)).logits
    assert logits is not None  # a whole model has the head
    return int(logits[0].argmax())
