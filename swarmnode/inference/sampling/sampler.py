"""One draw after another for one choice of one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.sampling.filters import best, kept, penalise
from swarmnode.inference.sampling.philox import gumbels
from swarmnode.values.errors import LocalFault
from swarmnode.values.generation import Sampling


@dataclass(frozen=True, slots=True)
class Sampled:
    """The token drawn. logprob and top (token id, log-probability; the best first) come from the raw
    logits, and are None and empty where log-probabilities were not asked for."""

    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Draws tokens for choice number `choice` of a request with that sampling and seed.

    It keeps nothing between draws: the answer depends on the arguments alone (DESIGN 6), so a draw
    can be repeated by another node. logprobs: None for off, else how many alternatives to report.
    """

    def __init__(
        self, sampling: Sampling, seed: int, choice: int, vocab: int, logprobs: int | None = None
    ) -> None:
        self._sampling = sampling
        self._seed = seed
        self._choice = choice
        self._vocab = vocab
        self._logprobs = logprobs

    def sample(
        self,
        logits: npt.NDArray[np.float32],
        position: int,
        prompt: Sequence[int] = (),
        generated: Sequence[int] = (),
    ) -> Sampled:
        """Draw the token at absolute `position` from logits, float32 [vocab], of the one before.

        prompt, generated: all tokens before it; they are looked at only where a penalty is set.
        Raises `LocalFault` (code `not_finite`) for logits that are no numbers.
        """
        if logits.shape != (self._vocab,) or not np.isfinite(logits).any() or np.isnan(logits).any():
            raise LocalFault(
                f"{logits.shape} logits for {self._vocab} tokens hold no numbers", code="not_finite"
            )
        raw = logits.astype(np.float64)
        token = self._draw(raw.copy(), position, prompt, generated)
        if self._logprobs is None:
            return Sampled(token)
        return _reported(raw, token, self._logprobs)

    def _draw(
        self,
        logits: npt.NDArray[np.float64],
        position: int,
        prompt: Sequence[int],
        generated: Sequence[int],
    ) -> int:
        """Penalties, temperature, top_k, top_p, min_p, then the highest of logit + Gumbel noise:
        a draw from the softmax over what is left (arXiv 1611.01144)."""
        penalise(logits, self._sampling, prompt, generated)
        if self._sampling.temperature <= 0.0:
            return int(logits.argmax())
        logits /= self._sampling.temperature
        ids = np.sort(kept(logits, self._sampling))
        noisy = logits[ids] + gumbels(self._seed, self._choice, position, ids)
        return int(ids[noisy.argmax()])


def log_softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Natural logarithms of the probabilities over the last axis, in float64."""
    values = np.asarray(logits, np.float64)
    values = values - values.max(axis=-1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))


def _reported(raw: npt.NDArray[np.float64], token: int, count: int) -> Sampled:
    logprobs = log_softmax(raw)
    top = tuple((int(i), float(logprobs[i])) for i in best(raw, count)) if count else ()
    return Sampled(token, float(logprobs[token]), top)
