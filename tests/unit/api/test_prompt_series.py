"""Several prompts told as one stream."""

from __future__ import annotations

from typing import Any

from swarmnode.api.prompt_series import PromptSeries
from swarmnode.testing.fake_core import FakeCore
from swarmnode.values.errors import LocalFault
from swarmnode.values.generation import (
    ChoiceFinished,
    Failed,
    Finished,
    GenerationRequest,
    RawText,
    Started,
    TextDelta,
    Usage,
)

STARTED = Started("echo", 1)


class Sink:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def event(self, event: Any) -> None:
        self.events.append(event)


def series(core: FakeCore, count: int, n: int = 1) -> tuple[PromptSeries, Sink]:
    sink = Sink()
    requests = tuple(
        GenerationRequest(f"id{index}", "echo", RawText(f"p{index}"), n=n) for index in range(count)
    )
    return PromptSeries(core, requests, sink).start(), sink


def test_one_at_a_time_with_choices_moved_and_usage_summed() -> None:
    core = FakeCore(None)
    _, sink = series(core, 2, n=2)
    assert len(core.generations) == 1
    core.generations[0].send(STARTED, TextDelta(1, "a"), ChoiceFinished(0, "stop"), Finished(Usage(1, 2, 3)))
    assert len(core.generations) == 2
    core.generations[1].send(
        STARTED, TextDelta(1, "b"), ChoiceFinished(1, "stop"), Finished(Usage(10, 20, 30))
    )
    assert sink.events == [
        STARTED,
        TextDelta(1, "a"),
        ChoiceFinished(0, "stop"),
        TextDelta(3, "b"),
        ChoiceFinished(3, "stop"),
        Finished(Usage(11, 22, 33)),
    ]


def test_many_prompts_answered_at_once_do_not_nest() -> None:
    _, sink = series(FakeCore(), 5000)
    assert [event.choice for event in sink.events if isinstance(event, TextDelta)] == list(range(5000))
    assert isinstance(sink.events[-1], Finished)


def test_the_first_failure_ends_all() -> None:
    core = FakeCore(None)
    failed = Failed(LocalFault("x", code="worker_lost"))
    _, sink = series(core, 3)
    core.generations[0].send(STARTED, Finished(Usage()))
    core.generations[1].send(failed, Finished(Usage()))
    assert sink.events == [STARTED, failed]
    assert len(core.generations) == 2


def test_steering_reaches_the_one_that_runs() -> None:
    core = FakeCore(None)
    running, sink = series(core, 3)
    running.pause()
    assert core.generations[0].paused
    core.generations[0].send(Finished(Usage()))
    assert core.generations[1].paused, "the pause holds for the next prompt"
    running.resume()
    assert not core.generations[1].paused
    running.cancel()
    assert core.generations[1].cancelled
    core.generations[1].sink.event(Finished(Usage()))
    assert len(core.generations) == 2
    assert sink.events == []
