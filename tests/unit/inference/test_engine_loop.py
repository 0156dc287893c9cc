"""The engine's thread, driven by hand: what is asked happens between steps, what fails has a name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from zope.interface import implementer

from swarmnode.inference.engine_loop import EngineLoop, find
from swarmnode.inference.text_loop import TextLoop
from swarmnode.interfaces.inference_backend import IStageCalls
from swarmnode.protocols.worker import vocabulary as words
from swarmnode.protocols.worker.messages import CREDIT, Message
from swarmnode.protocols.worker.tokens import ids_bytes, ids_from
from swarmnode.values.errors import Refused, Unavailable
from swarmnode.values.generation import (
    Failed,
    Finished,
    GenerationRequest,
    RawText,
    TextDelta,
    TokenIds,
    Usage,
    request_as_dict,
)
from swarmnode.values.loading import LoadSpec

REQUEST = GenerationRequest("r", "m", RawText("one two"))


@implementer(IStageCalls)
class Engine:
    """Emits one token a step for every slot, three in all."""

    progress = 17

    def __init__(self, spec: LoadSpec) -> None:
        self.spec = spec
        self.calls: list[tuple] = []
        self.emits: dict[int, Any] = {}
        self.fault: Exception | None = None

    def describe(self) -> dict[str, Any]:
        if self.spec.label == "refuse":
            raise Unavailable("no room", code="no_room")
        if self.spec.label == "bug":
            raise ValueError("oops")
        if self.spec.label == "memory":
            raise MemoryError
        return {"label": self.spec.label}

    def prefix_counts(self) -> dict[str, int]:
        return {"hits": 4}

    def load_counts(self) -> dict[str, int]:
        return {"running": 5}

    def submit(self, request: GenerationRequest, emit: Any) -> int:
        if self.fault:
            raise self.fault
        self.emits[len(self.emits) + 10] = emit
        return len(self.emits) + 9

    def step(self) -> bool:
        if self.fault:
            raise self.fault
        for emit in self.emits.values():
            emit(TextDelta(0, "x"))
        return bool(self.emits)

    def cancel(self, slot: int) -> None:
        self.calls.append(("cancel", slot))
        del self.emits[slot]

    def pause(self, slot: int) -> None:
        self.calls.append(("pause", slot))

    def resume(self, slot: int) -> None:
        self.calls.append(("resume", slot))

    def stage_call(self, kind: str, header: Any, payload: Any) -> tuple[dict[str, Any], bytes]:
        if kind == "truncate":
            raise Refused("no", code="nope")
        if kind == "close_session":
            raise KeyError("oops")
        return {"echo": header["first"]}, bytes(payload)


ENGINES: list[Engine] = []


def make(spec: LoadSpec) -> Engine:
    ENGINES.append(Engine(spec))
    return ENGINES[-1]


HERE = f"{__name__}:make"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmnode.inference.engine_loop.import_module", _import)


def _import(name: str) -> Any:
    import importlib
    import sys

    return sys.modules[__name__] if name == __name__ else importlib.import_module(name)


class Bench:
    """Runs the loop on this thread for a number of rounds."""

    def __init__(self, label: str = "m") -> None:
        self.posted: list[Any] = []
        self.loop = EngineLoop(self.posted.append)
        self.loop.call(lambda: self.loop.load(LoadSpec(label, ""), HERE))
        self.rounds()
        self.engine = ENGINES[-1]

    def rounds(self, count: int = 1) -> None:
        def stop_after(left: int) -> None:
            if left:
                self.loop.call(lambda: stop_after(left - 1))
            else:
                self.loop._quit = True

        self.loop._quit = False
        self.loop.call(lambda: stop_after(count - 1))
        self.loop.run()

    def submit(self, slot: int, request: Any = REQUEST) -> None:
        self.loop.call(lambda: self.loop.expect(slot))
        self.loop.call(lambda: self.loop.submit(slot, request))

    def events(self) -> list[tuple[int, Any]]:
        found = [row for p in self.posted if isinstance(p, words.Emitted) for row in p.events]
        self.posted.clear()
        return found


def test_a_factory_may_tell_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float | None] = []
    loop = EngineLoop(lambda event: None)

    def slowly(spec: LoadSpec, progress: Any) -> Engine:
        for done, total in ((0, 0), (0, 40), (10, 40), (50, 40)):
            progress(done, total)
            seen.append(loop.loading)
        return Engine(spec)

    monkeypatch.setattr("swarmnode.inference.engine_loop.find", lambda path: slowly)
    loop.load(LoadSpec("m", ""), HERE)
    assert seen == [None, 0.0, 0.25, 1.0]
    assert loop.loading is None, "it is loaded"


def test_a_loaded_engine_says_what_it_is() -> None:
    bench = Bench()
    assert bench.posted == [words.EngineLoaded({"label": "m"})]
    assert bench.loop.progress == 17 and bench.loop.text is None
    assert bench.loop.prefix_cache == {"hits": 4} and bench.loop.load_now == {"running": 5}


@pytest.mark.parametrize(
    ("label", "code"), [("refuse", "no_room"), ("bug", "engine_failed"), ("memory", "out_of_memory")]
)
def test_a_load_that_fails_says_why(label: str, code: str) -> None:
    (failed,) = Bench(label).posted
    assert isinstance(failed, words.EngineFailed) and failed.error.code == code


@pytest.mark.parametrize("path", ["no.such.module:x", "json:nothing", "json", "", ":"])
def test_a_factory_that_is_not_there_is_named(path: str) -> None:
    with pytest.raises(Refused, match="cannot be imported"):
        find(path)


def test_events_of_one_step_travel_together() -> None:
    bench = Bench()
    bench.submit(3)
    bench.submit(4)
    bench.rounds()
    assert bench.posted[-1] == words.Emitted(((3, TextDelta(0, "x")), (4, TextDelta(0, "x"))))


def test_a_request_cancelled_while_its_text_was_prepared_never_starts() -> None:
    bench = Bench()
    bench.loop.call(lambda: bench.loop.expect(3))
    bench.loop.call(lambda: bench.loop.cancel(3))
    bench.loop.call(lambda: bench.loop.submit(3, REQUEST))
    bench.rounds()
    assert bench.engine.emits == {} and bench.events() == []


def test_cancel_reaches_the_engine_once_and_by_its_own_number() -> None:
    bench = Bench()
    bench.submit(3)
    for _ in range(2):
        bench.loop.call(lambda: bench.loop.cancel(3))
    bench.rounds()
    assert bench.engine.calls == [("cancel", 10)]


def test_a_slot_stops_when_its_credit_is_used_and_goes_on_with_more() -> None:
    bench = Bench()
    bench.submit(3)
    bench.submit(4)
    for _ in range(CREDIT - 1):
        bench.loop.call(lambda: bench.loop.add_credit(4, 1))
        bench.rounds()
    assert bench.engine.calls == []
    bench.rounds()
    assert bench.engine.calls == [("pause", 10)]
    bench.loop.call(lambda: bench.loop.add_credit(3, 1))
    bench.loop.call(lambda: bench.loop.add_credit(3, 1))
    bench.loop.call(lambda: bench.loop.add_credit(99, 1))
    bench.rounds()
    assert bench.engine.calls[:2] == [("pause", 10), ("resume", 10)]


def test_a_slot_that_has_ended_is_forgotten() -> None:
    bench = Bench()
    bench.submit(3)
    bench.rounds()
    bench.loop.call(lambda: bench.engine.emits.pop(10)(Finished(Usage())))
    bench.loop.call(lambda: bench.loop.cancel(3))
    bench.rounds()
    assert bench.engine.calls == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Refused("no", code="nope"), "nope"),
        (ValueError("oops"), "engine_failed"),
        (MemoryError(), "out_of_memory"),
    ],
)
def test_a_request_that_cannot_start_fails_alone(fault: Exception, code: str) -> None:
    bench = Bench()
    bench.engine.fault = fault
    bench.submit(3)
    bench.loop.call(lambda: setattr(bench.engine, "fault", None))
    bench.rounds()
    ((slot, event),) = bench.events()
    assert slot == 3 and isinstance(event, Failed) and event.error.code == code


def test_a_request_whose_text_failed_fails_by_that_name() -> None:
    bench = Bench()
    bench.submit(3, Refused("too long", code="context_length_exceeded"))
    bench.rounds()
    ((_, event),) = bench.events()
    assert event.error.code == "context_length_exceeded"


def test_a_step_that_raises_breaks_the_worker_by_name() -> None:
    bench = Bench()
    bench.engine.fault = ValueError("oops")
    bench.rounds()
    assert bench.posted[-1].error.message == "The engine failed: ValueError: oops"


def test_stage_calls_are_answered_or_refused() -> None:
    bench = Bench()
    for kind in ("step", "truncate", "close_session"):
        question = Message(kind, {"call": 5, "first": 2}, b"rows")
        bench.loop.call(lambda question=question: bench.loop.stage_call(question))
    bench.rounds()
    answers = [p.message for p in bench.posted if isinstance(p, words.Answer)]
    assert (answers[0].kind, answers[0].header, answers[0].payload) == (
        "step_result",
        {"echo": 2, "call": 5},
        b"rows",
    )
    assert [a.kind for a in answers[1:]] == ["fault", "fault"]
    assert [json.loads(a.payload)["code"] for a in answers[1:]] == ["nope", "engine_failed"]


class Text:
    """A text side that fails when asked to."""

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        if request.model == "refuse":
            raise Refused("empty", code="empty_prompt")
        if request.model == "bug":
            raise ValueError("oops")
        if request.model == "memory":
            raise MemoryError
        return GenerationRequest("r", "m", TokenIds((1, 2)))

    def tokenize(self, prompt: Any) -> tuple[int, ...]:
        return tuple(map(ord, prompt.text))

    def detokenize(self, ids: tuple[int, ...]) -> str:
        return "".join(map(chr, ids))


class Asked:
    """Stands for the engine loop: keeps what the text thread hands over."""

    def __init__(self, text: Any) -> None:
        self.text = text
        self.submitted: list[tuple[int, Any]] = []

    def call(self, work: Any) -> None:
        work()

    def submit(self, slot: int, request: Any) -> None:
        self.submitted.append((slot, request))


def prepared(model: str, text: Any) -> Any:
    asked = Asked(text)
    loop = TextLoop(asked, [].append)  # type: ignore[arg-type]
    payload = json.dumps(request_as_dict(GenerationRequest("r", model, RawText("a")))).encode()
    loop._prepare(3, payload)
    ((slot, request),) = asked.submitted
    assert slot == 3
    return request


def test_prompts_become_tokens_before_the_engine_sees_them() -> None:
    assert prepared("m", Text()).prompt == TokenIds((1, 2))
    assert prepared("m", None).prompt == RawText("a")


@pytest.mark.parametrize(
    ("model", "code"), [("refuse", "empty_prompt"), ("bug", "engine_failed"), ("memory", "out_of_memory")]
)
def test_prompts_that_cannot_be_prepared_say_why(model: str, code: str) -> None:
    assert prepared(model, Text()).code == code


def test_questions_about_text() -> None:
    posted: list[Any] = []
    loop = TextLoop(Asked(Text()), posted.append)  # type: ignore[arg-type]
    request = json.dumps(request_as_dict(GenerationRequest("", "", RawText("hé")))).encode()
    loop.ask(Message("tokenize", {"call": 1}, request))
    loop.ask(Message("detokenize", {"call": 2}, ids_bytes((104, 233))))
    loop.ask(Message("tokenize", {"call": 3}, b"{"))
    for _ in range(3):
        loop._jobs.get()()
    tokens, text, fault = (answer.message for answer in posted)
    assert ids_from(tokens.payload) == (104, 233) and text.payload.decode() == "hé"
    assert fault.kind == "fault" and fault.header == {"call": 3}


def test_a_back_end_without_text_says_so() -> None:
    posted: list[Any] = []
    loop = TextLoop(Asked(None), posted.append)  # type: ignore[arg-type]
    loop.ask(Message("tokenize", {"call": 1}, b"{}"))
    loop._jobs.get()()
    assert json.loads(posted[0].message.payload)["code"] == "no_text"
