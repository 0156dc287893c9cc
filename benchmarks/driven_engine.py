"""An inference engine driven by hand: requests of tokens in, the moment of each token out; no node."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.half import find
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.values.generation import (
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Sampling,
    Started,
    TextDelta,
    TokenIds,
)
from swarmnode.values.loading import LoadSpec

ENGINE = "swarmnode.inference.serving:make_engine"
END_TOKEN = 2
#: Greedy, and never the token that ends an answer: random weights would draw it now and then.
SAMPLING = Sampling(temperature=0.0, logit_bias=((END_TOKEN, -100.0),))


@dataclass(slots=True)
class Stream:
    """One request. tokens: (moment in seconds, how many tokens came then); started: when it was submitted."""

    started: float
    tokens: list[tuple[float, int]] = field(default_factory=list)
    cached: int = 0
    done: bool = False

    @property
    def count(self) -> int:
        return sum(number for _moment, number in self.tokens)

    @property
    def first_token_seconds(self) -> float:
        """From submitting to the first token (TTFT)."""
        return self.tokens[0][0] - self.started

    def gaps(self, since: float, until: float) -> list[float]:
        """Seconds between tokens that follow one another, for those that end in the window."""
        moments = [moment for moment, _number in self.tokens]
        return [b - a for a, b in pairwise(moments) if since < b <= until]


class DrivenEngine:
    """A loaded model. factory and options as the node has them: `factory(LoadSpec(**options))`."""

    def __init__(self, model: str, threads: int, factory: str = ENGINE, **options: Any) -> None:
        with GgufFile(Path(model)) as file:
            self.facts = read_facts(file)
        context = options.pop("context", self.facts.context_length)
        spec = LoadSpec("bench", model, threads=threads, context=context, **options)
        self.engine = find(factory)(spec)
        self.steps: list[tuple[float, float]] = []
        self._numbers = 0

    def prompt(self, count: int, seed: int) -> tuple[int, ...]:
        """Random tokens after the one that begins a text; another seed is another prompt from its start."""
        rng = np.random.default_rng(seed)
        return (1, *rng.integers(259, self.facts.vocab, count - 1).tolist())

    def submit(self, prompt: tuple[int, ...], answer: int) -> Stream:
        """Send a request for exactly `answer` tokens."""
        self._numbers += 1
        request = GenerationRequest(
            f"r{self._numbers}", "bench", TokenIds(prompt), sampling=SAMPLING, max_tokens=answer
        )
        stream = Stream(time.perf_counter())
        self.engine.submit(request, lambda event: self._take(stream, event))
        return stream

    def _take(self, stream: Stream, event: GenerationEvent) -> None:
        if isinstance(event, TextDelta) and event.token_ids:
            stream.tokens.append((time.perf_counter(), len(event.token_ids)))
        elif isinstance(event, Started):
            stream.cached = event.cached_tokens
        elif isinstance(event, Failed):
            raise RuntimeError(f"a request failed: {event.error.message}")
        elif isinstance(event, Finished):
            stream.done = True

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Step until the condition holds. Raises `RuntimeError` when nothing is left to do before."""
        while not condition():
            began = time.perf_counter()
            more = self.engine.step()
            self.steps.append((began, time.perf_counter()))
            if not more and not condition():
                raise RuntimeError("the engine has nothing to do, but the condition does not hold")

    def finish(self, streams: list[Stream]) -> None:
        """Step until all are done."""
        self.run_until(lambda: all(stream.done for stream in streams))

    def warm_up(self) -> None:
        """Requests that are not counted: the engine learns its speed, kernels get compiled."""
        self.finish([self.submit(self.prompt(64, 1_000_000 + n), 8) for n in range(2)])
        self.steps.clear()

    def step_seconds(self, since: float, until: float) -> list[float]:
        """How long each step took that lay in the window."""
        return [end - begin for begin, end in self.steps if begin >= since and end <= until]

    def close(self) -> None:
        """Free the model."""
        self.engine.close()
