"""What changes logits before anything is chosen: the request's biases, then penalties. In float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swarmnode.values.errors import Refused
from swarmnode.values.generation import Sampling

Logits = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

#: A repetition penalty close to 0 makes logits no larger than this; they stay numbers.
MOST = 1e30


def adjusts(sampling: Sampling) -> bool:
    """Whether `adjust` can change anything."""
    return bool(
        sampling.logit_bias
        or sampling.repetition_penalty != 1.0
        or sampling.frequency_penalty
        or sampling.presence_penalty
    )


def adjust(logits: Logits, sampling: Sampling, prompt: Sequence[int], generated: Sequence[int]) -> None:
    """Add the biases, then apply the penalties, in place."""
    if sampling.logit_bias:
        ids, biases = zip(*sampling.logit_bias, strict=True)
        logits[_ids(ids)] += np.array(biases, np.float64)
    penalise(logits, sampling, prompt, generated)


def penalise(logits: Logits, sampling: Sampling, prompt: Sequence[int], generated: Sequence[int]) -> None:
    """Apply the penalties in place. Repetition (arXiv 1909.05858) counts prompt and answer;
    frequency and presence (OpenAI's API reference) the answer only."""
    if sampling.repetition_penalty != 1.0:
        seen = _marked(len(logits), prompt, generated)
        values = logits[seen]
        factor = sampling.repetition_penalty
        with np.errstate(over="ignore"):
            changed = np.where(values > 0, values / factor, values * factor)
        logits[seen] = np.minimum(changed, MOST)
    if (sampling.frequency_penalty or sampling.presence_penalty) and len(generated):
        used, counts = np.unique(_ids(generated), return_counts=True)
        logits[used] -= sampling.frequency_penalty * counts + sampling.presence_penalty


def check_biases(sampling: Sampling, vocab: int) -> None:
    """Refuse a bias for a token that a model with `vocab` tokens lacks (code `bad_token`)."""
    wrong = next((token for token, _ in sampling.logit_bias if not 0 <= token < vocab), None)
    if wrong is not None:
        raise Refused(
            f"`logit_bias` names the token {wrong}, but the model has the tokens 0 to {vocab - 1} ({vocab})",
            code="bad_token",
            hint="Token ids differ from model to model; take those of this one.",
            param="logit_bias",
        )


def _marked(vocab: int, *texts: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which tokens occur: bool [vocab]. Quicker than a sort, for long contexts."""
    marks = np.zeros(vocab, np.bool_)
    for tokens in texts:
        marks[_ids(tokens)] = True
    return marks


def _ids(tokens: Sequence[int]) -> Ids:
    return np.asarray(tokens, np.int64)
