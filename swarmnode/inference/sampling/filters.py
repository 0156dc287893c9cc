"""Filters on scaled logits, in float64, ties always in favour of the lower token id."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from swarmnode.values.generation import Sampling

Values = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
_Real = TypeVar("_Real", bound=np.floating[Any])

#: `fewest` sorts only one of so many bins, which reach up to `FARTHEST`: exp(-64) of the best token's
#: probability is nothing beside it in float64, however many tokens there are.
BINS = 4096
FARTHEST = 64.0
#: Most nuclei hold only tokens that are at least exp(-16) as likely as the best.
NEAR = 16.0


def kept(values: Values, sampling: Sampling) -> tuple[Ids, Values]:
    """The ids that top_k, typical_p, top_p and min_p leave, applied in that order, ascending and never
    none, and their values. values: float64 [vocab], divided by the temperature, the highest 0."""
    ids = np.arange(len(values))
    if 0 < sampling.top_k < len(values):
        ids = np.sort(best(values, sampling.top_k))
        values = values[ids]
    if sampling.typical_p < 1.0:
        chosen = _typical(values, sampling.typical_p)
        ids, values = ids[chosen], values[chosen]
    if sampling.top_p < 1.0:
        chosen = _nucleus(values, sampling.top_p)
        ids, values = ids[chosen], values[chosen]
    if sampling.min_p > 0.0:
        chosen = np.flatnonzero(np.exp(values - values.max()) >= sampling.min_p)
        ids, values = ids[chosen], values[chosen]
    return ids, values


def best(values: npt.NDArray[_Real], count: int) -> Ids:
    """The `count` ids with the highest values, best first, the lower id first among equals."""
    if count < len(values):
        threshold = np.partition(values, len(values) - count)[len(values) - count]
        candidates = np.flatnonzero(values >= threshold)
    else:
        candidates = np.arange(len(values))
    order = np.argsort(-values[candidates], kind="stable")
    return candidates[order[:count]]


def fewest(distance: Values, weights: Values, wanted: float) -> Ids:
    """The fewest entries, by ascending distance, whose weights add up to `wanted`; at least one, all if
    they do not. Their indices, ascending.

    distance: float64 [n] from 0 to infinity, weights: float64 [n] of at least 0. Only the entries about
    as far as the last one kept are sorted.
    """
    far = min(float(distance.max()), FARTHEST)
    scale = (BINS - 1) / far if far else 0.0
    bins = (np.minimum(distance, far) * scale).astype(np.intp)
    sums = np.cumsum(np.bincount(bins, weights, BINS))
    wanted = max(wanted, np.finfo(np.float64).tiny)
    last = int(np.searchsorted(sums, wanted))
    border = np.flatnonzero(bins == last)
    border = border[np.argsort(distance[border], kind="stable")]
    before = sums[last - 1] if last else 0.0
    enough = int(np.searchsorted(before + np.cumsum(weights[border]), wanted)) + 1
    taken = bins < last
    taken[border[:enough]] = True
    return np.flatnonzero(taken)


def _nucleus(values: Values, share: float) -> Ids:
    """The fewest of the likeliest tokens that reach `share` of the probability (arXiv 1904.09751).
    Indices, ascending."""
    distance = values.max() - values
    weights = np.exp(-distance)
    wanted = share * float(weights.sum())
    near = np.flatnonzero(distance <= NEAR)
    if len(near) < len(values) // 2 and weights[near].sum() >= wanted:
        return near[fewest(distance[near], weights[near], wanted)]
    return fewest(distance, weights, wanted)


def _typical(values: Values, share: float) -> Ids:
    """The fewest tokens, those first whose surprise is nearest to the entropy, that reach `share` of the
    probability (arXiv 2202.00666). Indices, ascending."""
    distance = values.max() - values
    weights = np.exp(-distance)
    total = float(weights.sum())
    surprise = distance + np.log(total)
    entropy = float((weights * np.where(weights > 0, surprise, 0.0)).sum()) / total
    return fewest(np.abs(surprise - entropy), weights, share * total)
