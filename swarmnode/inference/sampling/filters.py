"""Penalties and filters on logits, in float64, ties always in favour of the lower token id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swarmnode.values.generation import Sampling

Logits = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

#: How many of the most likely tokens are sorted before more are.
FIRST_SORTED = 1024


def penalise(logits: Logits, sampling: Sampling, prompt: Sequence[int], generated: Sequence[int]) -> None:
    """Apply the penalties in place. Repetition (arXiv 1909.05858) counts prompt and answer;
    frequency and presence (OpenAI's API reference) the answer only."""
    if sampling.repetition_penalty != 1.0:
        seen = np.unique(np.concatenate([_ids(prompt), _ids(generated)]))
        values = logits[seen]
        factor = sampling.repetition_penalty
        logits[seen] = np.where(values > 0, values / factor, values * factor)
    if (sampling.frequency_penalty or sampling.presence_penalty) and len(generated):
        used, counts = np.unique(_ids(generated), return_counts=True)
        logits[used] -= sampling.frequency_penalty * counts + sampling.presence_penalty


def _ids(tokens: Sequence[int]) -> Ids:
    return np.asarray(tokens, np.int64)


def kept(logits: Logits, sampling: Sampling) -> Ids:
    """The ids that top_k, top_p and min_p leave, in that order; `logits` are divided by the
    temperature already. Never empty."""
    limit = sampling.top_k if 0 < sampling.top_k < len(logits) else len(logits)
    if sampling.top_p < 1.0:
        ids = _nucleus(logits, sampling.top_p, limit)
    elif limit < len(logits):
        ids = best(logits, limit)
    else:
        ids = np.arange(len(logits))
    if sampling.min_p > 0.0:
        values = logits[ids]
        ids = ids[np.exp(values - values.max()) >= sampling.min_p]
    return ids


def best(logits: Logits, count: int) -> Ids:
    """The `count` ids with the highest logits, best first, the lower id first among equals."""
    if count < len(logits):
        threshold = np.partition(logits, len(logits) - count)[len(logits) - count]
        candidates = np.flatnonzero(logits >= threshold)
    else:
        candidates = np.arange(len(logits))
    order = np.argsort(-logits[candidates], kind="stable")
    return candidates[order[:count]]


def _nucleus(logits: Logits, top_p: float, limit: int) -> Ids:
    """The fewest of the best `limit` ids whose probabilities (among those `limit`) reach `top_p`
    (arXiv 1904.09751). Sorts only as many as it needs."""
    total = _mass(logits, limit)
    count = min(FIRST_SORTED, limit)
    while True:
        ids = best(logits, count)
        sums = np.cumsum(np.exp(logits[ids] - logits[ids[0]])) / total
        enough = int(np.searchsorted(sums, top_p)) + 1
        if enough <= count or count == limit:
            return ids[:enough]
        count = min(count * 8, limit)


def _mass(logits: Logits, limit: int) -> float:
    """Sum of exp(logit - highest) over the best `limit` ids."""
    chosen = logits if limit == len(logits) else logits[best(logits, limit)]
    return float(np.exp(chosen - chosen.max()).sum())
