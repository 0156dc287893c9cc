"""The scripted back end does what its options say."""

from __future__ import annotations

from typing import Any

import pytest

from swarmnode.inference import scripted
from swarmnode.inference.scripted import SENTENCE, ScriptedEngine, make_engine
from swarmnode.protocols.worker.events import encode_event
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.generation import (
    ChoiceFinished,
    Conversation,
    Failed,
    Finished,
    GenerationRequest,
    Message,
    RawText,
    Started,
    TextDelta,
    TokenIds,
    ToolCallDelta,
    Usage,
)
from swarmnode.values.loading import LoadSpec


class Bench:
    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.rests: list[float] = []
        self.events: list[Any] = []
        self.engine = ScriptedEngine(options, lambda: self.now, self.rest)

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds

    def ask(self, text: str = "one two", **fields: Any) -> int:
        return self.engine.submit(GenerationRequest("r", "m", RawText(text), **fields), self.events.append)

    def run(self) -> list[Any]:
        while self.engine.step():
            pass
        return self.events

    def texts(self) -> list[str]:
        return [event.text for event in self.run() if isinstance(event, TextDelta)]


def test_it_says_what_it_was_told_token_by_token() -> None:
    bench = Bench(say="a b  c\n")
    bench.ask()
    assert bench.run() == [
        Started("m", 2, 0, 0, "scripted"),
        TextDelta(0, "a", (97,)),
        TextDelta(0, " b", (32,)),
        TextDelta(0, "  c", (32,)),
        TextDelta(0, "\n", (10,)),
        ChoiceFinished(0, "stop", None),
        Finished(Usage(2, 4, 0)),
    ]


def test_without_options_it_says_a_sentence() -> None:
    bench = Bench()
    bench.ask()
    assert "".join(bench.texts()) == SENTENCE


@pytest.mark.parametrize(
    "prompt",
    [
        RawText("what I say"),
        TokenIds(tuple(map(ord, "what I say"))),
        Conversation((Message("system", "s"), Message("user", "what I say"), Message("assistant", "x"))),
    ],
)
def test_echo_repeats_the_last_user_word_by_word(prompt: Any) -> None:
    bench = Bench(echo=True)
    bench.engine.submit(GenerationRequest("r", "m", prompt), bench.events.append)
    assert bench.texts() == ["what", " I", " say"]


def test_limits_stops_and_choices_count() -> None:
    bench = Bench(say="a b c d")
    bench.ask(max_tokens=2, n=2, logprobs=2)
    events = bench.run()
    assert [e.reason for e in events if isinstance(e, ChoiceFinished)] == ["length", "length"]
    assert events[-1] == Finished(Usage(2, 4, 0))
    assert [len(e.logprobs[0].top) for e in events if isinstance(e, TextDelta)] == [2] * 4
    bench.events.clear()
    bench.ask(stop=("z", " c", "b c"))
    assert "".join(bench.texts()) == "a "
    assert bench.events[-2] == ChoiceFinished(0, "stop", "b c")


def test_scripted_events_come_as_they_are() -> None:
    wanted = [ToolCallDelta(0, 0, "c1", "f", "{}"), ChoiceFinished(0, "tool_calls"), Finished(Usage(1, 2))]
    bench = Bench(events=[encode_event(event) for event in wanted])
    bench.ask()
    assert bench.run()[1:] == wanted


def test_a_rate_spreads_tokens_and_rests_between_them() -> None:
    bench = Bench(say="a b c", tokens_per_second=10)
    bench.ask()
    bench.run()
    assert bench.now == pytest.approx(0.3, abs=0.01)
    assert max(bench.rests) <= 0.02


def test_pause_resume_and_cancel() -> None:
    bench = Bench(say="a b c")
    slot = bench.ask()
    bench.engine.step()
    bench.engine.pause(slot)
    assert bench.engine.step() is False and len(bench.events) == 1
    bench.engine.resume(slot)
    assert bench.engine.step() is True and len(bench.events) == 2
    bench.engine.cancel(slot)
    bench.engine.pause(slot)
    assert bench.engine.step() is False and len(bench.events) == 2


def test_an_error_fails_the_request_after_so_many_tokens() -> None:
    bench = Bench(say="a b c", fault={"kind": "error", "after": 2})
    bench.ask()
    events = bench.run()
    assert [type(e) for e in events] == [Started, TextDelta, TextDelta, Failed]


def test_an_exception_leaves_the_step() -> None:
    bench = Bench(fault={"kind": "exception"})
    bench.ask()
    with pytest.raises(RuntimeError):
        bench.engine.step()


def test_a_crash_kills_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = []
    monkeypatch.setattr(scripted.os, "kill", lambda *what: killed.append(what))
    bench = Bench(fault={"kind": "crash"})
    bench.ask()
    bench.engine.step()
    assert killed == [(scripted.os.getpid(), scripted.signal.SIGKILL)]


def test_loading_can_fail() -> None:
    with pytest.raises(LocalFault):
        make_engine(LoadSpec("m", "", options={"fault": {"kind": "load"}}))
    assert make_engine(LoadSpec("m", "")).describe()["profile"] == "scripted"


def test_a_prompt_too_long_is_refused_with_both_numbers() -> None:
    bench = Bench(context=2)
    with pytest.raises(Refused, match="3 tokens.* 2"):
        bench.engine.prepare(GenerationRequest("r", "m", RawText("a b c")))


def test_words_are_tokens() -> None:
    engine = ScriptedEngine({})
    assert engine.tokenize(RawText("ab c")) == (97, 32)
    assert engine.detokenize((97, 98)) == "ab"
