from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from twisted.internet.task import Clock as TwistedClock

from swarmnode.services.request_record import RequestSummary
from swarmnode.services.serve_chat import ResponseCore
from swarmnode.values.cards import ModelCard
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
from swarmnode.values.settings import ServingSettings


@dataclass
class Sink:
    events: list[Any] = field(default_factory=list)

    def event(self, event: Any) -> None:
        self.events.append(event)

    @property
    def error(self) -> Any:
        last = self.events[-1]
        assert isinstance(last, Failed)
        return last.error


@dataclass
class Run:
    request: GenerationRequest
    sink: Any
    calls: list[str] = field(default_factory=list)

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def cancel(self) -> None:
        self.calls.append("cancel")

    def answer(self, text: str = "hi") -> None:
        self.sink.event(Started(self.request.model, 3))
        self.sink.event(TextDelta(0, text, (7,)))
        self.sink.event(ChoiceFinished(0, "stop"))
        self.sink.event(Finished(Usage(3, 1)))


class Generator:
    name = "fake"

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self.runs: list[Run] = []

    def cards(self) -> tuple[ModelCard, ...]:
        return tuple(ModelCard(label, "fake") for label in self.labels)

    def generate(self, request: GenerationRequest, sink: Any) -> Run:
        self.runs.append(Run(request, sink))
        return self.runs[-1]


@dataclass
class Watcher:
    summaries: list[RequestSummary] = field(default_factory=list)
    loads: list[tuple[int, int]] = field(default_factory=list)

    def request_finished(self, summary: RequestSummary) -> None:
        self.summaries.append(summary)

    def requests_changed(self, running: int, waiting: int) -> None:
        self.loads.append((running, waiting))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def generator() -> Generator:
    return Generator("alpha", "beta")


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def core(generator: Generator, watcher: Watcher, clock: Clock) -> ResponseCore:
    return ResponseCore(
        [generator], ServingSettings(max_concurrent_requests=2, max_queue=2), clock, [watcher]
    )


def ask(model: str = "auto") -> GenerationRequest:
    return GenerationRequest("r", model, RawText("x"))


def test_a_request_reaches_the_generator_under_its_label(core: ResponseCore, generator: Generator) -> None:
    sink = Sink()
    core.submit(ask("al"), sink)
    generator.runs[0].answer()
    assert generator.runs[0].request.model == "alpha"
    assert [type(event).__name__ for event in sink.events] == [
        "Started",
        "TextDelta",
        "ChoiceFinished",
        "Finished",
    ]


def test_an_unknown_model_fails_without_running(core: ResponseCore, generator: Generator) -> None:
    sink = Sink()
    core.submit(ask("gamma"), sink)
    assert sink.error.code == "model_not_found"
    assert "alpha, beta" in sink.error.message
    assert not generator.runs


def test_requests_beyond_the_limit_wait_and_then_run_in_order(
    core: ResponseCore, generator: Generator
) -> None:
    for _ in range(4):
        core.submit(ask(), Sink())
    assert (core.active, core.waiting) == (2, 2)
    generator.runs[0].answer()
    assert len(generator.runs) == 3
    assert (core.active, core.waiting) == (2, 1)


def test_a_full_queue_refuses_by_name(core: ResponseCore) -> None:
    sinks = [Sink() for _ in range(5)]
    for sink in sinks:
        core.submit(ask(), sink)
    assert sinks[4].error.code == "queue_full"
    assert "max_concurrent_requests" in sinks[4].error.hint


def test_a_cancelled_request_in_the_queue_never_runs(core: ResponseCore, generator: Generator) -> None:
    handles = [core.submit(ask(), Sink()) for _ in range(3)]
    handles[2].cancel()
    generator.runs[0].answer()
    assert len(generator.runs) == 2


def test_cancelling_stops_the_run_and_silences_it(
    core: ResponseCore, generator: Generator, watcher: Watcher
) -> None:
    sink = Sink()
    core.submit(ask(), sink).cancel()
    generator.runs[0].answer()
    assert generator.runs[0].calls == ["cancel"]
    assert sink.events == []
    assert watcher.summaries[0].outcome == "cancelled"
    assert core.active == 0


def test_what_begins_while_the_node_stops_is_stopped(
    core: ResponseCore, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = generator.generate
    monkeypatch.setattr(generator, "generate", lambda *words: (core.close(), begin(*words))[1])
    sink = Sink()
    core.submit(ask(), sink)
    assert sink.error.code == "stopping"
    assert generator.runs[0].calls == ["cancel"]


def test_pausing_in_the_queue_is_remembered(core: ResponseCore, generator: Generator) -> None:
    handles = [core.submit(ask(), Sink()) for _ in range(3)]
    handles[2].pause()
    generator.runs[0].answer()
    assert generator.runs[2].calls == ["pause"]
    handles[2].resume()
    assert generator.runs[2].calls == ["pause", "resume"]


def test_nothing_follows_the_end(core: ResponseCore, generator: Generator) -> None:
    sink = Sink()
    core.submit(ask(), sink)
    generator.runs[0].answer()
    generator.runs[0].answer()
    assert len(sink.events) == 4


def test_a_generator_that_raises_fails_its_request_only(core: ResponseCore, generator: Generator) -> None:
    def explode(request: Any, sink: Any) -> Any:
        raise ValueError("boom")

    generator.generate = explode  # type: ignore[method-assign]
    sink = Sink()
    core.submit(ask(), sink)
    assert sink.error.code == "internal_error"
    assert core.active == 0


def test_the_summary_measures_what_was_seen(
    core: ResponseCore, generator: Generator, watcher: Watcher, clock: Clock
) -> None:
    sink = Sink()
    core.submit(ask(), sink)
    run = generator.runs[0]
    clock.now += 0.5
    for i in range(3):
        run.sink.event(TextDelta(0, "a", (i,)))
        clock.now += 0.1
    run.sink.event(Finished(Usage(5, 3)))
    summary = watcher.summaries[0]
    assert summary.outcome == "ok"
    assert summary.queue_ms == 0
    assert summary.ttft_ms == pytest.approx(500)
    assert summary.decode_ms == pytest.approx(200)
    assert summary.tok_per_sec == pytest.approx(10)
    assert (summary.prompt_tokens, summary.tokens) == (5, 3)
    assert sink.events[-1].timings.decode_ms == pytest.approx(200)


def test_what_was_not_measured_is_absent(core: ResponseCore, watcher: Watcher) -> None:
    core.submit(ask("gamma"), Sink())
    summary = watcher.summaries[0]
    assert (summary.outcome, summary.error_type) == ("error", "model_not_found")
    assert summary.ttft_ms is summary.tok_per_sec is summary.tokens is summary.queue_ms is None


def test_closing_ends_all_by_name(core: ResponseCore, generator: Generator) -> None:
    sinks = [Sink() for _ in range(3)]
    for sink in sinks:
        core.submit(ask(), sink)
    core.close()
    assert {sink.error.code for sink in sinks} == {"stopping"}
    assert generator.runs[0].calls == ["cancel"]
    late = Sink()
    core.submit(ask(), late)
    assert late.error.code == "stopping"
    assert len(generator.runs) == 2


def test_the_first_generator_wins_a_shared_label(clock: Clock) -> None:
    first, second = Generator("same"), Generator("same", "other")
    core = ResponseCore([first, second], ServingSettings(), clock)
    core.submit(ask("same"), Sink())
    core.submit(ask("other"), Sink())
    assert (len(first.runs), len(second.runs)) == (1, 1)


def test_each_step_of_a_request_is_traced(generator: Generator, clock: Clock) -> None:
    seen: list[str] = []
    core = ResponseCore(
        [generator],
        ServingSettings(max_concurrent_requests=1),
        clock,
        trace=lambda kind, **fields: seen.append(kind),
    )
    core.submit(ask(), Sink())
    core.submit(ask(), Sink())
    generator.runs[0].answer()
    assert seen == ["dispatch", "queued", "execute", "done", "dispatch"]


class TestTimeouts:
    """One place; `core` on a clock of Twisted's."""

    @pytest.fixture
    def time(self) -> TwistedClock:
        return TwistedClock()

    @pytest.fixture
    def core(self, generator: Generator, watcher: Watcher, time: TwistedClock) -> ResponseCore:
        settings = ServingSettings(max_concurrent_requests=1, max_queue=2)
        return ResponseCore([generator], settings, time.seconds, [watcher], call_later=time.callLater)

    def test_what_runs_too_long_is_ended(
        self, core: ResponseCore, generator: Generator, watcher: Watcher, time: TwistedClock
    ) -> None:
        sink = Sink()
        core.submit(replace(ask(), timeout_seconds=5.0), sink)
        time.advance(4.9)
        assert not sink.events
        time.advance(0.1)
        assert (sink.error.code, sink.error.param) == ("deadline_exceeded", "timeout")
        assert "within 5.0 s" in sink.error.message and "waited 0.0 s" in sink.error.message
        assert generator.runs[0].calls == ["cancel"] and core.active == 0
        assert [summary.outcome for summary in watcher.summaries] == ["error"]

    def test_what_waits_too_long_is_ended_without_running(
        self, core: ResponseCore, generator: Generator, time: TwistedClock
    ) -> None:
        sink = Sink()
        core.submit(ask(), Sink())
        core.submit(replace(ask(), timeout_seconds=2.0), sink)
        time.advance(2.0)
        assert sink.error.code == "deadline_exceeded" and "waited 2.0 s" in sink.error.message
        assert len(generator.runs) == 1 and core.waiting == 0 and core.active == 1

    def test_who_runs_it_is_told_what_is_left(
        self, core: ResponseCore, generator: Generator, time: TwistedClock
    ) -> None:
        core.submit(ask(), Sink())
        core.submit(replace(ask(), timeout_seconds=3.0), Sink())
        time.advance(1.0)
        generator.runs[0].answer()
        assert [run.request.timeout_seconds for run in generator.runs] == [None, 2.0]

    @pytest.mark.parametrize("end", ["answer", "cancel", "unknown model", "full"])
    def test_no_timer_is_left(
        self, core: ResponseCore, generator: Generator, time: TwistedClock, end: str
    ) -> None:
        sink = Sink()
        if end == "full":
            for _ in range(3):
                core.submit(ask(), Sink())
        model = "nosuch" if end == "unknown model" else "auto"
        generation = core.submit(replace(ask(model), timeout_seconds=3.0), sink)
        if end == "answer":
            generator.runs[0].answer()
        elif end == "cancel":
            generation.cancel()
        count = len(sink.events)
        assert time.getDelayedCalls() == []
        time.advance(10)
        assert len(sink.events) == count
