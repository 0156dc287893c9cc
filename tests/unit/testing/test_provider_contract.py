"""The contract for providers finds what it is there to find: each faulty provider fails its test."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from zope.interface import implementer

from swarmnode.interfaces.generation import IGeneration, IGenerator
from swarmnode.testing.event_order import order_fault
from swarmnode.testing.provider_contract import ProviderContract
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused
from swarmnode.values.generation import (
    ChoiceFinished,
    Failed,
    Finished,
    GenerationEvent,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)

START, TEXT, DONE, END = Started("m", 1), TextDelta(0, "a"), ChoiceFinished(0, "stop"), Finished(Usage(1, 1))
FAILED = Failed(Refused("no", code="x"))


@implementer(IGeneration)
class Run:
    """Gives an event a second; the faults switch off what the contract asks for."""

    def __init__(self, events: Iterator[GenerationEvent], sink: Any, clock: Clock, faults: set[str]) -> None:
        self.events, self.sink, self.clock, self.faults = events, sink, clock, faults
        self.paused = self.over = False
        clock.callLater(1, self.tick)

    def tick(self) -> None:
        if self.over:
            return
        self.clock.callLater(1, self.tick)
        if self.paused:
            return
        event = next(self.events, None)
        if event is None:
            self.over = "talks on" not in self.faults
            event = TextDelta(0, "more") if "talks on" in self.faults else None
        if event is not None:
            self.sink.event(event)

    def pause(self) -> None:
        self.paused = "deaf to pause" not in self.faults

    def resume(self) -> None:
        self.paused = "sleeps on" in self.faults

    def cancel(self) -> None:
        self.over = "deaf to cancel" not in self.faults
        if "says goodbye" in self.faults:
            self.sink.event(END)


@implementer(IGenerator)
class Provider:
    name = "p"

    def __init__(self, clock: Clock, faults: set[str]) -> None:
        self.clock, self.faults = clock, faults

    def cards(self) -> tuple[ModelCard, ...]:
        return (ModelCard("m", backend="somebody" if "wrong card" in self.faults else "p"),)

    def generate(self, request: Any, sink: Any) -> Run:
        if request.model != "m":
            if "raises" in self.faults:
                raise KeyError(request.model)
            return Run(iter([FAILED]), sink, self.clock, self.faults)
        return Run(self.answer(request), sink, self.clock, self.faults)

    def answer(self, request: Any) -> Iterator[GenerationEvent]:
        length = 3000 if "endless" in self.faults else 100
        told = length if "no limit" in self.faults else min(length, request.max_tokens or length)
        if "no start" not in self.faults:
            yield START
        for _ in range(told):
            yield TEXT
        yield ChoiceFinished(0, "stop" if told == length else "length")
        yield Finished(Usage() if "no usage" in self.faults else Usage(3, told))


class Contract(ProviderContract):
    def __init__(self, *faults: str) -> None:
        self.clock, self.faults = Clock(), set(faults)

    def make_provider(self) -> Any:
        return Provider(self.clock, self.faults)

    def turn(self) -> None:
        self.clock.advance(1)


TESTS = [name for name, _ in inspect.getmembers(Contract, inspect.isfunction) if name.startswith("test_")]


@pytest.mark.parametrize("test", TESTS)
def test_a_good_provider_passes(test: str):
    getattr(Contract(), test)()


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("wrong card", "test_it_is_a_generator_and_names_its_models"),
        ("no start", "test_events_come_in_order"),
        ("talks on", "test_events_come_in_order"),
        ("no start", "test_text_as_prompt_works_too"),
        ("no usage", "test_usage_is_told_at_the_end"),
        ("no limit", "test_max_tokens_is_kept"),
        ("deaf to cancel", "test_cancel_ends_it_in_silence"),
        ("says goodbye", "test_cancel_ends_it_in_silence"),
        ("deaf to cancel", "test_cancel_before_the_first_event_works"),
        ("deaf to pause", "test_pause_holds_and_resume_goes_on"),
        ("sleeps on", "test_pause_holds_and_resume_goes_on"),
        ("deaf to cancel", "test_cancel_works_while_it_is_paused"),
        ("says goodbye", "test_calls_after_the_end_do_nothing"),
    ],
)
def test_a_faulty_provider_fails(fault: str, test: str):
    with pytest.raises(AssertionError):
        getattr(Contract(fault), test)()


def test_a_provider_that_raises_fails():
    with pytest.raises(KeyError):
        Contract("raises").test_an_unknown_model_arrives_as_failed()


def test_every_test_of_the_contract_is_run_on_the_good_one():
    assert len(TESTS) == 12


@pytest.mark.parametrize(
    "events",
    [
        [START, TEXT, DONE, END],
        [START, DONE, END],
        [FAILED],
        [START, FAILED],
        [START, TEXT, FAILED],
        [START, ToolCallDelta(0, 0, "c", "f", "{}"), DONE, END],
    ],
)
def test_good_orders(events: list[GenerationEvent]):
    assert order_fault(events) is None


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "no event"),
        ([TEXT, DONE, END], "the first"),
        ([START, START, DONE, END], "already"),
        ([START, TEXT], "the last"),
        ([START, TEXT, END], "not finished"),
        ([START, DONE, TEXT, END], "choice 0"),
        ([START, TextDelta(1, "x"), DONE, END], "choice 1"),
        ([START, DONE, END, END], "after Finished"),
        ([START, FAILED, TEXT], "after Failed"),
        ([START, "text", DONE, END], "no event of this stream"),
    ],
)
def test_bad_orders_are_named(events: list[Any], words: str):
    assert words in (order_fault(events) or "")


def test_two_choices_are_both_expected():
    events = [START, TEXT, DONE, TextDelta(1, "b"), ChoiceFinished(1, "stop"), END]
    assert order_fault(events, choices=2) is None
    assert "[1]" in (order_fault([START, TEXT, DONE, END], choices=2) or "")
