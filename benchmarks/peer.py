"""llama.cpp's half of a measurement, timed as llama-bench does: the prompt as one batch, then one token at
a time, after a warm-up; nothing is sampled. KV cache f16, weights mapped and repacked as it likes, threads
as the build ships them."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.llama_cpp import LlamaCpp, LlamaModel, find_library

WARM_UP_TOKENS = 8
#: Room that llama-bench's own contexts have beyond prompt and answer: none; a multiple of 256 is used.
CONTEXT_STEP = 256


@cache
def _library(where: str) -> LlamaCpp:
    return LlamaCpp(find_library(Path(where) if where else None))


@cache
def _loaded(where: str, model: str, context: int, threads: int) -> LlamaModel:
    return _library(where).load(Path(model), context=context, threads=threads)


def run(
    model_path: str, prompt_tokens: int, max_tokens: int, threads: int = 1, *, library: str = ""
) -> dict[str, Any]:
    """As `swarmnode.inference.offline_bench.run`: tokens a second of prompt and answer. Loading is not
    counted; the loaded model serves later calls. library: a file or folder; empty is xllamacpp."""
    context = -(-(prompt_tokens + max_tokens) // CONTEXT_STEP) * CONTEXT_STEP
    model = _loaded(library, model_path, context, threads)
    rng = np.random.default_rng(1)
    ids = rng.integers(3, model.vocab, prompt_tokens + max_tokens).astype(np.int32)
    model.forget()
    model.decode(ids[:WARM_UP_TOKENS], 0)
    model.decode(ids[:1], min(WARM_UP_TOKENS, len(ids)))
    model.forget()
    began = time.perf_counter()
    model.decode(ids[:prompt_tokens], 0)
    prefilled = time.perf_counter()
    for position in range(prompt_tokens, prompt_tokens + max_tokens):
        model.decode(ids[position : position + 1], position)
    ended = time.perf_counter()
    return {
        "pp_tok_s": prompt_tokens / (prefilled - began),
        "tg_tok_s": max_tokens / (ended - prefilled),
        "prompt_tokens": prompt_tokens,
        "max_tokens": max_tokens,
        "threads": threads,
        "profile": _library(library).system_info(),
    }


def describe(library: str) -> dict[str, Any]:
    """What a build is: the name of its file and the features it says it has."""
    found = _library(library)
    return {"library": found.path.name, "system_info": found.system_info()}
