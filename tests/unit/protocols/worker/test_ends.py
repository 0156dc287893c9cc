"""The two ends of the link, joined in memory: loading, requests, credit, calls, and every way to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.worker import vocabulary as words
from swarmnode.protocols.worker.frames import MAX_FRAME, Outbox
from swarmnode.protocols.worker.messages import (
    CREDIT,
    KINDS,
    LINK_VERSION,
    MAX_CALLS,
    MAX_REQUESTS,
    Message,
    json_bytes,
)
from swarmnode.protocols.worker.node_end import CREDIT_BATCH, HELLO_SECONDS, LOAD_SECONDS, NodeEnd
from swarmnode.protocols.worker.worker_end import SLOW_READER_SECONDS, WorkerEnd
from swarmnode.values.errors import LocalFault, Unavailable
from swarmnode.values.generation import (
    Failed,
    Finished,
    GenerationRequest,
    RawText,
    TextDelta,
    Usage,
    request_from_dict,
)
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadSpec

SPEC = LoadSpec("m", "/m.gguf", layers=LayerRange(1, 3), options={"a": [1]})
REQUEST = GenerationRequest("r", "m", RawText("hé"))
GONE = LocalFault("killed", code="worker_lost")


class Link:
    """Both machines and what travels between them; effects other than Send are kept by end."""

    def __init__(self) -> None:
        self.now = 0.0
        self.node, self.worker = NodeEnd(), WorkerEnd(pid=42)
        self.to_worker, self.to_node = Outbox(), Outbox()
        self.at_node: list[Any] = []
        self.at_worker: list[Any] = []

    def tell_node(self, event: Any) -> None:
        self._run(self.node, self.to_worker, self.at_node, event)

    def tell_worker(self, event: Any) -> None:
        self._run(self.worker, self.to_node, self.at_worker, event)

    def _run(self, machine: Any, outbox: Outbox, kept: list[Any], event: Any) -> None:
        for effect in machine.handle(event, self.now):
            if isinstance(effect, words.Send):
                outbox.push(effect.message)
            else:
                kept.append(effect)

    def carry(self) -> None:
        """Deliver until nothing is on its way."""
        while self.to_worker or self.to_node:
            if frame := self.to_worker.pop():
                self.tell_worker(words.Received(frame))
            if frame := self.to_node.pop():
                self.tell_node(words.Received(frame))

    def take(self, kind: type) -> list[Any]:
        """The effects of one kind that came since the last look, at either end."""
        found = [e for e in (*self.at_node, *self.at_worker) if isinstance(e, kind)]
        self.at_node = [e for e in self.at_node if not isinstance(e, kind)]
        self.at_worker = [e for e in self.at_worker if not isinstance(e, kind)]
        return found

    def emit(self, slot: int, count: int = 1) -> None:
        self.tell_worker(words.Emitted(tuple((slot, TextDelta(0, str(i))) for i in range(count))))
        self.carry()


@pytest.fixture
def greeted() -> Link:
    link = Link()
    link.tell_node(words.Opened())
    link.tell_worker(words.Opened())
    link.carry()
    return link


@pytest.fixture
def ready(greeted: Link) -> Link:
    greeted.tell_node(words.Load(SPEC, "a.b:c"))
    greeted.carry()
    greeted.tell_worker(words.EngineLoaded({"profile": "p"}))
    greeted.carry()
    assert greeted.take(words.MakeEngine) == [words.MakeEngine(SPEC, "a.b:c")]
    assert greeted.take(words.Loaded) == [words.Loaded({"profile": "p"})]
    return greeted


def test_hello_names_the_process(greeted: Link) -> None:
    assert greeted.take(words.Greeted) == [words.Greeted(42)]
    assert greeted.node.deadline is None


def test_a_load_that_fails_ends_the_link_with_its_reason(greeted: Link) -> None:
    greeted.tell_node(words.Load(SPEC, "a.b:c"))
    greeted.carry()
    greeted.tell_worker(words.EngineFailed(Unavailable("no room", code="no_room", hint="less")))
    greeted.carry()
    (ended,) = greeted.take(words.Ended)
    assert isinstance(ended.error, Unavailable) and ended.error.code == "no_room"


def test_another_version_is_refused_by_name_at_both_ends() -> None:
    for machine, sender in ((NodeEnd(), "W"), (WorkerEnd(1), "N")):
        outbox = Outbox()
        outbox.push(Message("hello", {"version": LINK_VERSION + 1, "pid": 1}))
        effects = machine.handle(words.Received(outbox.pop() or b""), 0.0)
        error = effects[-1].error
        assert error.code == "link_version" and f"version {LINK_VERSION + 1}" in error.message, sender


def test_nothing_is_said_before_hello() -> None:
    outbox = Outbox()
    outbox.push(Message("stats", {"progress": 1}))
    (ended,) = NodeEnd().handle(words.Received(outbox.pop() or b""), 0.0)
    assert "instead of hello" in ended.error.message


def test_a_worker_that_is_late_ends_by_name() -> None:
    link = Link()
    link.tell_node(words.Opened())
    assert link.node.deadline == HELLO_SECONDS
    link.now = HELLO_SECONDS - 1
    link.tell_node(None)
    assert link.at_node == []
    link.now = HELLO_SECONDS
    link.tell_node(None)
    (ended,) = link.take(words.Ended)
    assert ended.error.code == "worker_late" and "did not start" in ended.error.message


def test_a_load_that_takes_too_long_ends_by_name(greeted: Link) -> None:
    greeted.tell_node(words.Load(SPEC, "a.b:c"))
    assert greeted.node.deadline == LOAD_SECONDS
    greeted.now = LOAD_SECONDS
    greeted.tell_node(None)
    (ended,) = greeted.take(words.Ended)
    assert "did not load" in ended.error.message


def test_a_request_goes_there_and_its_events_come_back_in_order(ready: Link) -> None:
    ready.tell_node(words.Generate(0, REQUEST))
    ready.carry()
    (submit,) = ready.take(words.Submit)
    assert request_from_dict(Message("generate", payload=submit.payload).json()) == REQUEST
    events = (TextDelta(0, "a", (1,)), TextDelta(0, "b", (2,)), Finished(Usage(1, 2)))
    ready.tell_worker(words.Emitted(tuple((0, event) for event in events)))
    ready.carry()
    assert [d.event for d in ready.take(words.Deliver)] == list(events)


def test_credit_returns_while_somebody_reads(ready: Link) -> None:
    ready.tell_node(words.Generate(0, REQUEST))
    ready.carry()
    for _ in range(40):
        ready.emit(0, CREDIT_BATCH)
    assert ready.worker.deadline is None
    assert sum(credit.count for credit in ready.take(words.AddCredit)) == 40 * CREDIT_BATCH
    assert len(ready.take(words.Deliver)) == 40 * CREDIT_BATCH


def test_a_paused_request_gets_no_credit_until_it_goes_on(ready: Link) -> None:
    ready.tell_node(words.Generate(0, REQUEST))
    ready.tell_node(words.Generate(1, REQUEST))
    ready.tell_node(words.Pause(0))
    ready.carry()
    ready.emit(0, CREDIT - 1)
    assert ready.worker.deadline is None
    ready.emit(0)
    assert ready.worker.deadline == SLOW_READER_SECONDS
    ready.emit(1, CREDIT)  # the other one reads
    assert ready.take(words.AddCredit) == [words.AddCredit(1, CREDIT)]
    ready.tell_node(words.Resume(0))
    ready.carry()
    assert ready.take(words.AddCredit) == [words.AddCredit(0, CREDIT)]
    assert ready.worker.deadline is None


def test_a_slow_reader_ends_by_name_and_nobody_else(ready: Link) -> None:
    for slot in (0, 1):
        ready.tell_node(words.Generate(slot, REQUEST))
    ready.tell_node(words.Pause(0))
    ready.carry()
    ready.now = 5.0
    ready.emit(0, CREDIT)
    assert ready.worker.deadline == 5.0 + SLOW_READER_SECONDS
    ready.now = 4.0 + SLOW_READER_SECONDS
    ready.tell_worker(None)
    assert ready.take(words.CancelSlot) == []
    ready.now = 5.0 + SLOW_READER_SECONDS
    ready.take(words.Deliver)
    ready.tell_worker(None)
    ready.carry()
    assert ready.take(words.CancelSlot) == [words.CancelSlot(0)]
    (delivered,) = ready.take(words.Deliver)
    assert isinstance(delivered.event, Failed) and delivered.event.error.code == "slow_reader"
    ready.emit(1)
    assert len(ready.take(words.Deliver)) == 1


def test_after_cancel_nothing_more_is_delivered(ready: Link) -> None:
    ready.tell_node(words.Generate(0, REQUEST))
    ready.carry()
    ready.tell_worker(words.Emitted(((0, TextDelta(0, "on its way")),)))
    ready.tell_node(words.Cancel(0))
    ready.carry()
    assert ready.take(words.Deliver) == [] and ready.take(words.CancelSlot) == [words.CancelSlot(0)]
    ready.emit(0)
    ready.tell_node(words.Cancel(0))
    ready.carry()
    assert ready.take(words.Deliver) == [] and ready.take(words.CancelSlot) == []


def test_a_cancel_that_overtakes_its_request_still_counts(ready: Link) -> None:
    long = replace(REQUEST, prompt=RawText("x" * (3 * MAX_FRAME)))
    ready.tell_node(words.Generate(0, long))
    ready.tell_worker(words.Received(ready.to_worker.pop() or b""))
    ready.tell_node(words.Cancel(0))
    ready.carry()
    assert ready.take(words.Submit) == []
    ready.tell_node(words.Generate(1, REQUEST))
    ready.carry()
    assert [submit.slot for submit in ready.take(words.Submit)] == [1]


def test_calls_get_their_own_answers(ready: Link) -> None:
    ready.tell_node(words.Call(5, "step", {"first": 1}, b"rows"))
    ready.tell_node(words.Call(6, "tokenize", {}, b"{}"))
    ready.carry()
    step, tokenize = ready.take(words.RunCall)
    assert (step.question.header, bytes(step.question.payload)) == ({"first": 1, "call": 5}, b"rows")
    error = b'{"kind": "refused", "message": "no", "code": "nope"}'
    ready.tell_worker(words.Answer(Message("fault", {"call": 6}, error)))
    ready.tell_worker(words.Answer(Message("step_result", {"call": 5, "token": 3}, b"r")))
    ready.carry()
    fault, result = ready.take(words.Answered)
    assert fault.call == 6 and fault.answer.code == "nope"
    assert result.call == 5 and result.answer.header["token"] == 3


@pytest.mark.parametrize(
    "wrong", [Message("text", {"call": 5}), Message("done", {"call": 9}), Message("done")]
)
def test_an_answer_to_no_question_ends_the_link(ready: Link, wrong: Message) -> None:
    ready.tell_node(words.Call(5, "step"))
    ready.carry()
    ready.tell_worker(words.Answer(wrong))
    ready.carry()
    assert ready.take(words.Ended)[0].error.code == "link_fault"


@pytest.mark.parametrize("last_word", ["lost", "broken", "noise", "failed", "bye"])
def test_whatever_ends_the_link_everybody_is_told_first(ready: Link, last_word: str) -> None:
    ready.tell_node(words.Generate(0, REQUEST))
    ready.tell_node(words.Call(1, "step"))
    ready.carry()
    ends: dict[str, Callable[[], None]] = {
        "lost": lambda: ready.tell_node(words.Lost(GONE)),
        "broken": lambda: ready.tell_worker(words.Broken(GONE)),
        "noise": lambda: ready.tell_node(words.Received(b"\xff" * 8)),
        "failed": lambda: ready.tell_worker(words.Received(b"\xff" * 8)),
        "bye": lambda: ready.to_node.push(Message("bye")),
    }
    ends[last_word]()
    ready.carry()
    kinds = [type(effect) for effect in ready.at_node[-3:]]
    assert kinds == [words.Abandoned, words.Answered, words.Ended]
    assert ready.node.phase == "ended" and ready.node.deadline is None
    ready.at_node.clear()
    ready.tell_node(words.Generate(2, REQUEST))
    ready.tell_node(words.Call(3, "step"))
    ready.tell_node(words.Lost(GONE))
    assert [type(effect) for effect in ready.at_node] == [words.Abandoned, words.Answered]


def test_leaving_is_no_crash(ready: Link) -> None:
    ready.tell_node(words.Leave())
    ready.carry()
    assert ready.take(words.Ended) == [words.Ended(None)]
    assert ready.take(words.Quit) == [words.Quit(None)]


def test_a_node_that_hangs_up_ends_the_worker(ready: Link) -> None:
    ready.tell_worker(words.HungUp())
    assert ready.take(words.Quit) == [words.Quit(None)]
    ready.tell_worker(words.Measured({"progress": 1}))
    assert not ready.to_node


def test_requests_and_calls_are_bounded(ready: Link) -> None:
    for slot in range(MAX_REQUESTS + 1):
        ready.tell_node(words.Generate(slot, REQUEST))
    for call in range(MAX_CALLS + 1):
        ready.tell_node(words.Call(call, "tokenize"))
    (refused,) = ready.take(words.Deliver)
    assert refused.slot == MAX_REQUESTS and refused.event.error.code == "queue_full"
    (answered,) = ready.take(words.Answered)
    assert answered.call == MAX_CALLS and answered.answer.code == "queue_full"


def test_events_without_credit_end_the_link(ready: Link) -> None:
    ready.tell_node(words.Generate(0, REQUEST))
    ready.tell_node(words.Pause(0))
    ready.carry()
    ready.emit(0, 4 * CREDIT + 1)
    assert "without credit" in ready.take(words.Ended)[0].error.message


def test_credit_that_was_never_used_ends_the_worker(ready: Link) -> None:
    ready.tell_node(words.Generate(0, REQUEST))
    ready.to_worker.push(Message("credit", {"slot": 0, "count": 1}))
    ready.to_worker.push(Message("credit", {"slot": 7, "count": 1}))  # of a slot that is gone: nothing
    ready.carry()
    ready.to_worker.push(Message("credit", {"slot": 0, "count": 1}))
    ready.carry()
    assert "more credit" in ready.take(words.Quit)[0].error.message


def test_stats_come_through(ready: Link) -> None:
    ready.tell_worker(words.Measured({"progress": 3, "resident_bytes": 9}))
    ready.carry()
    assert ready.take(words.Stats) == [words.Stats({"progress": 3, "resident_bytes": 9})]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
headers = st.fixed_dictionaries(
    {},
    optional={
        name: json_values | st.integers(0, 3)
        for name in ("slot", "count", "call", "version", "pid", "factory")
    },
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(KINDS)), headers, json_values), max_size=6))
def test_no_message_makes_an_end_raise(said: list[tuple[str, dict, Any]]) -> None:
    for sender, make in (("W", NodeEnd), ("N", lambda: WorkerEnd(1))):
        machine = make()
        effects = machine.handle(words.Opened(), 0.0)
        hello = Message("hello", {"version": LINK_VERSION, "pid": 1})
        outbox = Outbox()
        outbox.push(hello)
        for kind, header, value in said:
            if sender in KINDS[kind].senders:
                payload = json_bytes(value) if KINDS[kind].limit else b""
                outbox.push(Message(kind, header, payload))
        while frame := outbox.pop():
            effects += machine.handle(words.Received(frame), 0.0)
        machine.handle(None, 1e9)
        assert all(dataclasses.is_dataclass(effect) for effect in effects)
