"""One draw after another for one choice of one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.sampling.adjusting import adjust, adjusts, check_biases
from swarmnode.inference.sampling.drawing import draw
from swarmnode.inference.sampling.filters import best, kept
from swarmnode.values.errors import LocalFault
from swarmnode.values.generation import Sampling

Logits = npt.NDArray[np.float32]


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
    Raises `Refused` (code `bad_token`) for a bias of a token outside the vocabulary.
    """

    def __init__(
        self, sampling: Sampling, seed: int, choice: int, vocab: int, logprobs: int | None = None
    ) -> None:
        check_biases(sampling, vocab)
        self._sampling = sampling
        self._seed = seed
        self._choice = choice
        self._vocab = vocab
        self._logprobs = logprobs
        self._greedy = sampling.temperature <= 0.0
        self._adjusts = adjusts(sampling)

    def sample(
        self,
        logits: Logits,
        position: int,
        prompt: Sequence[int] = (),
        generated: Sequence[int] = (),
    ) -> Sampled:
        """Draw the token at absolute `position` from logits, float32 [vocab], of the one before.

        prompt, generated: all tokens before it; they are looked at only where a penalty is set.
        Raises `LocalFault` (code `not_finite`) for logits that are no numbers: any that is NaN or
        infinite, or minus infinity for all. Minus infinity bars a token.
        """
        # The highest is NaN if any is.
        if logits.shape != (self._vocab,) or not np.isfinite(highest := logits.max()):
            raise LocalFault(
                f"{logits.shape} logits for {self._vocab} tokens hold no numbers", code="not_finite"
            )
        if self._greedy and not self._adjusts:
            token = int(logits.argmax())
        else:
            token = self._draw(logits.astype(np.float64), position, prompt, generated)
        if self._logprobs is None:
            return Sampled(token)
        return _reported(logits, float(highest), token, self._logprobs)

    def _draw(
        self,
        values: npt.NDArray[np.float64],
        position: int,
        prompt: Sequence[int],
        generated: Sequence[int],
    ) -> int:
        """Biases, penalties, temperature, top_k, typical_p, top_p, min_p, then the highest of logit +
        Gumbel noise: a draw from the softmax over what is left (arXiv 1611.01144).

        llama.cpp's default chain has the same order, but for the temperature, which comes last there.
        """
        if self._adjusts:
            adjust(values, self._sampling, prompt, generated)
        if self._greedy:
            return int(values.argmax())
        values -= values.max()
        with np.errstate(over="ignore"):  # minus infinity is right for a tiny temperature
            values /= self._sampling.temperature
        ids, left = kept(values, self._sampling)
        return draw(left, ids, self._seed, self._choice, position)


def log_softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Natural logarithms of the probabilities over the last axis, in float64."""
    values = np.asarray(logits, np.float64)
    values = values - values.max(axis=-1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))


def _reported(logits: Logits, highest: float, token: int, count: int) -> Sampled:
    """The token with what `log_softmax` of the raw logits says of it and of the best `count`."""
    values = logits.astype(np.float64) - highest
    mass = float(np.log(np.exp(values).sum()))
    top = tuple((int(i), float(values[i]) - mass) for i in best(logits, count)) if count else ()
    return Sampled(token, float(values[token]) - mass, top)
