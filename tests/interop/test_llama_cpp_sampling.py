"""What is left of a distribution after biases, penalties and filters, against llama.cpp itself.

llama.cpp reports the probabilities of the tokens that came through its chain of samplers. The chain is
put into our order here (ours has the temperature before the filters), and its own logits are given to
our filters, so only what the samplers do is compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnode.inference.sampling.adjusting import adjust
from swarmnode.inference.sampling.filters import kept
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.generation import Sampling

xllamacpp = pytest.importorskip("xllamacpp", reason="llama.cpp (xllamacpp) is not installed")

VOCAB = 400
SEEDS = 30
PROMPT = [1, 301, 302, 303, 302, 305]
CHAIN = ["penalties", "temperature", "top_k", "typ_p", "top_p", "min_p"]


class LlamaCpp:
    """llama.cpp with a random model, always asked for the token after `PROMPT`."""

    def __init__(self, path: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.warmup, params.n_gpu_layers = 512, 1, False, 0
        params.cpuparams.n_threads = 1
        params.verbosity = -1
        self._server = xllamacpp.Server(params)

    def ask(self, **fields: Any) -> dict[str, Any]:
        request = {"prompt": PROMPT, "n_predict": 1, "cache_prompt": False, "n_probs": VOCAB, **fields}
        for seed in range(SEEDS):  # a draw that ends the text comes without probabilities
            answers: list[dict[str, Any]] = []
            asked = {**request, "seed": seed}
            self._server.handle_completions(asked, lambda answer, to=answers: to.append(answer) or False)
            if logprobs := answers[-1]["choices"][0]["logprobs"]:
                found: dict[str, Any] = logprobs["content"][0]
                return found
        pytest.fail(f"llama.cpp drew an end {SEEDS} times")

    def logits(self) -> np.ndarray:
        """All log-probabilities before any sampler: logits but for a constant."""
        values = np.full(VOCAB, np.nan)
        for entry in self.ask(temperature=1.0)["top_logprobs"]:
            values[entry["id"]] = entry["logprob"]
        assert np.isfinite(values).all()
        return values

    def left(self, sampling: Sampling) -> dict[int, float]:
        """The tokens that come through, with their probabilities."""
        found = self.ask(
            post_sampling_probs=True,
            samplers=CHAIN,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            typical_p=sampling.typical_p,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            repeat_last_n=64,
            logit_bias=[list(pair) for pair in sampling.logit_bias],
        )
        return {entry["id"]: entry["prob"] for entry in found["top_probs"]}


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> LlamaCpp:
    model = RandomModel(vocab=VOCAB, hidden=256, feed_forward=512, heads=8, head_dim=32)
    return LlamaCpp(write_random_model(tmp_path_factory.mktemp("model") / "random.gguf", model))


def ours(logits: np.ndarray, sampling: Sampling) -> dict[int, float]:
    values = logits.copy()
    # llama.cpp counts the prompt for every penalty; we count the answer: so the prompt stands for one.
    adjust(values, sampling, [], PROMPT)
    values = (values - values.max()) / sampling.temperature
    ids, left = kept(values, sampling)
    weights = np.exp(left)
    return dict(zip(ids.tolist(), (weights / weights.sum()).tolist(), strict=True))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.8),
        Sampling(0.8, top_k=30),
        Sampling(0.8, top_p=0.7),
        Sampling(0.6, min_p=0.1),
        Sampling(0.8, typical_p=0.2),
        Sampling(0.3, typical_p=0.5),
        Sampling(0.3, typical_p=0.9),
        Sampling(0.2, typical_p=0.97),
        Sampling(0.5, top_k=100, typical_p=0.8, top_p=0.9, min_p=0.2),
        Sampling(0.5, logit_bias=((7, 3.0), (141, -2.5), (399, 1.5)), typical_p=0.6),
        Sampling(0.7, logit_bias=((141, -100.0), (301, 2.0)), top_k=20),
        Sampling(0.7, frequency_penalty=1.5, presence_penalty=-0.5, top_p=0.9),
        Sampling(0.7, frequency_penalty=-2.0, presence_penalty=0.25, typical_p=0.9),
    ],
    ids=str,
)
def test_the_same_tokens_are_left_with_the_same_probabilities(
    llama_cpp: LlamaCpp, sampling: Sampling
) -> None:
    theirs, mine = llama_cpp.left(sampling), ours(llama_cpp.logits(), sampling)
    assert set(mine) == set(theirs)
    np.testing.assert_allclose([mine[token] for token in theirs], list(theirs.values()), rtol=2e-4)


def test_the_cases_can_tell_the_filters_apart(llama_cpp: LlamaCpp) -> None:
    logits = llama_cpp.logits()
    plain = set(ours(logits, Sampling(0.3)))
    typical, nucleus = (set(ours(logits, Sampling(0.3, **{name: 0.5}))) for name in ("typical_p", "top_p"))
    assert len(plain) == VOCAB and 5 < len(typical) < VOCAB / 2
    assert typical != nucleus
