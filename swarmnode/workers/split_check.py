"""Does a split model say the same as a whole one, also when a stage is killed in mid-answer?

The model is run whole in one worker, then cut over several that are driven by the head's machine; in the
scenarios with a kill one stage gets SIGKILL and a new worker takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks

from swarmnode.driving.pipeline import Pipeline, PipelineAnswer
from swarmnode.protocols.pipeline.head import Answer, PipelineHead
from swarmnode.protocols.pipeline.vocabulary import Sampler, SendStep
from swarmnode.protocols.worker.messages import json_bytes
from swarmnode.protocols.worker.tokens import ids_bytes, ids_from
from swarmnode.values.generation import (
    Failed,
    Finished,
    GenerationRequest,
    Prompt,
    Sampling,
    TextDelta,
    TokenIds,
    request_as_dict,
)
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadSpec
from swarmnode.workers.process import WorkerProcess
from swarmnode.workers.worker_stage import WorkerStage

FACTORY = "swarmnode.inference.serving:make_engine"
#: Chunks that a prompt is cut into at most, so that a stage can be killed between two.
_CHUNKS = 4

When = Literal["prefill", "decode"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run of the split model. killed: the stage that is killed, and when."""

    name: str
    sampling: Sampling
    killed: tuple[When, int] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario gave. `kills`: how many stages were in fact killed."""

    scenario: Scenario
    tokens: int
    kills: int
    identical: bool
    text: str
    expected: str

    @property
    def passed(self) -> bool:
        """Whether the text was the same, and the stage was killed that was to be."""
        return self.identical and self.kills == (self.scenario.killed is not None)


def scenarios(seed: int, kills: Sequence[When], stages: int) -> list[Scenario]:
    """Greedy and seeded, each without a kill, then with one of every stage at each of the times."""
    made = []
    for name, sampling in (
        ("greedy", Sampling(temperature=0.0)),
        ("seeded", Sampling(temperature=0.8, seed=seed)),
    ):
        made.append(Scenario(name, sampling))
        for when in kills:
            made += [
                Scenario(f"{name}, stage {i} killed in {when}", sampling, (when, i)) for i in range(stages)
            ]
    return made


@dataclass(slots=True)
class _Killer:
    """Kills a stage's worker once, in the middle of a step."""

    killed: tuple[When, int]
    prompt: int
    half: int
    kills: int = field(default=0)

    def watch(self, effect: Any, stage: Any) -> None:
        if (
            self.kills
            or not isinstance(effect, SendStep)
            or not effect.stage.startswith(f"{self.killed[1]}/")
        ):
            return
        if self.killed[0] == "prefill":
            due = effect.first > 0 or effect.count == self.prompt
        else:
            due = effect.first >= self.prompt + self.half
        if due:
            self.kills += 1
            stage.worker.kill()


class SplitCheck:
    """Runs the scenarios one after another. say: told what is going on, a line at a time."""

    def __init__(
        self,
        reactor: Any,
        spec: LoadSpec,
        ranges: Sequence[LayerRange],
        prompt: Prompt,
        max_tokens: int,
        say: Callable[[str], None],
    ) -> None:
        self._reactor, self._spec, self._ranges = reactor, spec, tuple(ranges)
        self._prompt, self._max_tokens, self._say = prompt, max_tokens, say
        self._stages: dict[int, WorkerProcess] = {}
        self._all: list[WorkerProcess] = []
        self._description: dict[str, Any] = {}

    @property
    def profile(self) -> str:
        """The numerics profile of the whole model's worker, once it was loaded."""
        return str(self._description.get("profile", ""))

    @inlineCallbacks
    def run(self, wanted: Sequence[Scenario]) -> Generator[Deferred[Any], Any, list[Outcome]]:
        """The outcomes, in order. All workers are gone when it fires, also when it fails."""
        try:
            expected = yield self._unsplit(wanted)
            text = yield self._worker("text", weights=False)
            outcomes = []
            for scenario in wanted:
                outcome = yield self._outcome(scenario, expected[scenario.sampling], text)
                outcomes.append(outcome)
                self._say(f"{scenario.name}: {_verdict(outcome)}")
            return outcomes
        finally:
            yield DeferredList([worker.leave() for worker in self._all])

    @inlineCallbacks
    def _unsplit(self, wanted: Sequence[Scenario]) -> Generator[Deferred[Any], Any, dict[Sampling, Any]]:
        """The whole model's answers, by sampling, as (ids, text)."""
        self._say(f"{self._spec.label}: whole, in one worker")
        whole = yield self._worker("whole")
        question = json_bytes(request_as_dict(self._request(self._prompt, Sampling())))
        tokens = yield whole.call("tokenize", {}, question)
        self._prompt = TokenIds(ids_from(tokens.payload))
        answers = {}
        for sampling in dict.fromkeys(scenario.sampling for scenario in wanted):
            answers[sampling] = yield self._answer(whole, sampling)
        yield whole.leave()
        return answers

    def _answer(self, worker: WorkerProcess, sampling: Sampling) -> Deferred[Any]:
        collector = _Collector()
        worker.generate(self._request(self._prompt, sampling), collector)
        return collector.done

    def _request(self, prompt: Prompt, sampling: Sampling) -> GenerationRequest:
        return GenerationRequest("split-check", self._spec.label, prompt, sampling, self._max_tokens)

    def _worker(self, what: str, **changes: Any) -> Deferred[Any]:
        """A worker that has loaded the spec, changed as said."""
        worker = WorkerProcess(self._reactor, f"{self._spec.label} {what}")
        self._all.append(worker)

        def loaded(description: Any) -> WorkerProcess:
            self._description.update(description)
            return worker

        return worker.load(replace(self._spec, **changes), FACTORY).addCallback(loaded)

    @inlineCallbacks
    def _outcome(
        self, scenario: Scenario, expected: Any, text: WorkerProcess
    ) -> Generator[Deferred[Any], Any, Outcome]:
        assert isinstance(self._prompt, TokenIds)  # since the whole model's tokenizer has seen it
        prompt = self._prompt.ids
        killer = _Killer(scenario.killed or ("decode", -1), len(prompt), len(expected[0]) // 2)
        answer: PipelineAnswer = yield self._pipeline(scenario, prompt, killer).run()
        decoded = yield text.call("detokenize", {}, ids_bytes(answer.ids))
        said = bytes(decoded.payload).decode("utf-8", "replace")
        whole = yield text.call("detokenize", {}, ids_bytes(expected[0]))
        identical = answer.ids == expected[0] and decoded.payload == whole.payload
        return Outcome(scenario, len(answer.ids), killer.kills, identical, said, expected[1])

    def _pipeline(self, scenario: Scenario, prompt: tuple[int, ...], killer: _Killer) -> Pipeline:
        known = self._description
        room = int(known["context_length"]) - len(prompt)
        answer = Answer(prompt, min(self._max_tokens, room), frozenset(known["eos_ids"]))
        chunk = min(self._spec.prefill_chunk, -(-len(prompt) // _CHUNKS))
        head = PipelineHead(answer, self._ranges, row_bytes=4 * int(known["hidden"]), chunk=chunk)
        sampling = scenario.sampling
        sampler = Sampler(sampling, sampling.seed or 0, 0, None, len(prompt))

        def find(index: int, layers: LayerRange) -> Deferred[Any]:
            return self._find(index, layers).addCallback(_StageOf, scenario.name)

        return Pipeline(self._reactor, scenario.name, head, find, sampler, killer.watch)

    def _find(self, index: int, layers: LayerRange) -> Deferred[Any]:
        """The worker of a place; a new one when it is the first or the old one is gone."""
        worker = self._stages.get(index)
        if worker is not None and worker.alive:
            ready: Deferred[Any] = Deferred()
            ready.callback(worker)
            return ready
        self._say(f"a worker for layers {layers}")

        def keep(made: WorkerProcess) -> WorkerProcess:
            self._stages[index] = made
            return made

        return self._worker(f"layers {layers}", layers=layers, text=False).addCallback(keep)


class _StageOf(WorkerStage):
    """A session on a worker that has no other."""

    def __init__(self, worker: WorkerProcess, name: str) -> None:
        super().__init__(worker.call, name, worker.kill)
        self.worker = worker
        worker.measured = lambda values: self.heard()


def _verdict(outcome: Outcome) -> str:
    if not outcome.identical:
        return "DIFFERENT"
    return "identical" if outcome.passed else "identical, but too short for the kill"


class _Collector:
    """Collects an answer: fires with (ids, text)."""

    def __init__(self) -> None:
        self.done: Deferred[tuple[tuple[int, ...], str]] = Deferred()
        self._ids: list[int] = []
        self._text: list[str] = []

    def event(self, event: Any) -> None:
        if isinstance(event, TextDelta):
            self._ids += event.token_ids
            self._text.append(event.text)
        elif isinstance(event, Finished):
            self.done.callback((tuple(self._ids), "".join(self._text)))
        elif isinstance(event, Failed):
            self.done.errback(event.error)
