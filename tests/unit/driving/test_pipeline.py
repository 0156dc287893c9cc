"""A pipeline and stages that come late, or are not wanted any more."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.driving.pipeline import Pipeline
from swarmnode.protocols.pipeline import vocabulary as words
from swarmnode.protocols.pipeline.head import Answer, PipelineHead
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.generation import Sampling
from swarmnode.values.layers import LayerRange

SAMPLER = words.Sampler(Sampling(), 0, 0, None, 2)


class Stage:
    """Draws tokens from 10 upwards; opens when told."""

    def __init__(self) -> None:
        self.heard: Any = None
        self.opening: Deferred[Any] = Deferred()
        self.error: SwarmnodeError | None = None
        self.closed = self.dropped = 0

    def open(self, opening: words.OpenSession, sampler: words.Sampler) -> Deferred[Any]:
        assert sampler is SAMPLER
        return self.opening

    def step(self, step: words.SendStep) -> Deferred[words.StageResult]:
        if self.error:
            return fail(self.error)
        drawn = words.Drawn(9 + step.first + step.count)
        return succeed(words.StageResult(step.stage, step.epoch, step.first, step.count, b"", drawn))

    def close(self) -> None:
        self.closed += 1

    def drop(self, error: SwarmnodeError) -> None:
        self.dropped += 1


class Bench:
    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.found: list[Deferred[Stage]] = []
        self.results: list[Any] = []
        head = PipelineHead(Answer((1, 2), 2, frozenset()), (LayerRange(0, 4),), row_bytes=8, chunk=8)
        self.pipeline = Pipeline(Clock(), "p", head, self.find, SAMPLER)
        self.answer = self.pipeline.run().addBoth(self.results.append)

    def find(self, index: int, layers: LayerRange) -> Deferred[Stage]:
        self.found.append(Deferred())
        return self.found[-1]

    def give(self) -> Stage:
        self.stages.append(Stage())
        self.found[-1].callback(self.stages[-1])
        return self.stages[-1]


def test_an_answer_of_one_stage() -> None:
    bench = Bench()
    stage = bench.give()
    stage.opening.callback(None)
    assert bench.results[0].ids == (11, 12)
    assert (stage.closed, stage.dropped) == (1, 0)


def test_a_lost_stage_is_closed_and_another_one_found() -> None:
    bench = Bench()
    lost = bench.give()
    lost.error = Unavailable("gone", code="peer_gone")
    lost.opening.callback(None)
    assert lost.closed == 1
    bench.give().opening.callback(None)
    assert bench.results[0].ids == (11, 12)


def test_who_is_found_after_the_end_is_closed() -> None:
    bench = Bench()
    bench.answer.cancel()
    assert bench.results[0].reason == "cancelled"
    late = bench.give()
    assert late.closed == 1


def test_who_opens_after_the_end_is_closed() -> None:
    bench = Bench()
    stage = bench.give()
    bench.pipeline.stop()
    assert stage.closed == 1
    stage.opening.callback(None)
    assert stage.closed == 2 and len(bench.results) == 1
