"""The contract that every provider keeps, as tests that its author runs on it.

Write a class that inherits `ProviderContract` in a pytest module, and fill in the two methods that
raise `NotImplementedError`. Nothing here needs a network or a running reactor: `turn` stands for the passing
of a little time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from swarmnode.interfaces.generation import IEventSink, IGeneration, IGenerator
from swarmnode.testing.event_order import order_fault
from swarmnode.values.cards import ModelCard
from swarmnode.values.generation import (
    ChoiceFinished,
    Conversation,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Message,
    RawText,
    Started,
    TextDelta,
)

#: Turns after which a request that does not end counts as stuck.
MAX_TURNS = 10_000
#: Events that may still arrive after `pause`: what was on its way.
MAX_AFTER_PAUSE = 64
TURNS_WHILE_PAUSED = 200


@implementer(IEventSink)
class RecordingSink:
    """Keeps the events of one request."""

    def __init__(self) -> None:
        self.events: list[GenerationEvent] = []

    def event(self, event: GenerationEvent) -> None:
        self.events.append(event)

    @property
    def ended(self) -> bool:
        """Whether `Finished` or `Failed` has come."""
        return bool(self.events) and isinstance(self.events[-1], Finished | Failed)

    @property
    def text(self) -> str:
        """The text of choice 0 so far."""
        return "".join(e.text for e in self.events if isinstance(e, TextDelta) and e.choice == 0)

    def deltas(self) -> int:
        """How many pieces of text came."""
        return sum(isinstance(e, TextDelta) for e in self.events)


class ProviderContract:
    """Inherit it, and name the class `Test...` so that pytest finds it."""

    #: A prompt to which the answer is long enough to be stopped in the middle: many events.
    long_prompt = "Tell me about each of these words in turn: " + " ".join(f"word{n}" for n in range(300))

    def make_provider(self) -> Any:
        """A new provider, as its factory makes it, with whatever it talks to replaced by a fake."""
        raise NotImplementedError

    def turn(self) -> None:
        """Let a little time pass: advance the fake clock, let the fake server send its next piece."""
        raise NotImplementedError

    def request(self, provider: Any, prompt: str = "hello world", **changes: Any) -> GenerationRequest:
        """A request for the provider's first model."""
        conversation = Conversation((Message("user", prompt),))
        request = GenerationRequest("r-1", provider.cards()[0].label, conversation)
        return replace(request, **changes)

    def run(self, provider: Any, request: GenerationRequest) -> RecordingSink:
        """Run a request to its end."""
        sink = RecordingSink()
        assert verifyObject(IGeneration, provider.generate(request, sink))
        self.wait(sink, lambda: sink.ended)
        return sink

    def wait(self, sink: RecordingSink, done: Any) -> None:
        """Take turns until `done()`."""
        for _ in range(MAX_TURNS):
            if done():
                return
            self.turn()
        raise AssertionError(f"nothing more happens after {len(sink.events)} events: {sink.events[-3:]}")

    def settle(self, sink: RecordingSink) -> int:
        """Let time pass without expecting anything; how many events have come by then."""
        for _ in range(TURNS_WHILE_PAUSED):
            self.turn()
        return len(sink.events)

    def test_it_is_a_generator_and_names_its_models(self) -> None:
        """`cards` names models that say whose they are, each under one label."""
        provider = self.make_provider()
        assert verifyObject(IGenerator, provider)
        cards = provider.cards()
        assert isinstance(cards, tuple)
        assert cards, "a provider without a model cannot be checked"
        assert all(isinstance(card, ModelCard) and card.backend == provider.name for card in cards)
        assert len({card.label for card in cards}) == len(cards)

    def test_events_come_in_order(self) -> None:
        """Started, text, ChoiceFinished, Finished, and nothing after the end."""
        provider = self.make_provider()
        request = self.request(provider)
        sink = self.run(provider, request)
        self.settle(sink)
        assert order_fault(sink.events) is None
        assert isinstance(sink.events[-1], Finished), sink.events[-1]
        assert sink.text
        started = sink.events[0]
        assert isinstance(started, Started)
        assert started.model == request.model

    def test_text_as_prompt_works_too(self) -> None:
        """A prompt without turns is answered, or refused as an event."""
        provider = self.make_provider()
        sink = self.run(provider, replace(self.request(provider), prompt=RawText("hello world")))
        assert order_fault(sink.events) is None

    def test_usage_is_told_at_the_end(self) -> None:
        """`Finished` carries the numbers of tokens."""
        provider = self.make_provider()
        last = self.run(provider, self.request(provider)).events[-1]
        assert isinstance(last, Finished)
        assert last.usage.prompt_tokens > 0
        assert last.usage.completion_tokens > 0

    def test_max_tokens_is_kept(self) -> None:
        """A short limit ends the answer early, with the reason `length`."""
        provider = self.make_provider()
        sink = self.run(provider, self.request(provider, self.long_prompt, max_tokens=3))
        assert order_fault(sink.events) is None
        (end,) = (e for e in sink.events if isinstance(e, ChoiceFinished))
        assert end.reason == "length"
        last = sink.events[-1]
        assert isinstance(last, Finished)
        assert last.usage.completion_tokens <= 3

    def test_an_unknown_model_arrives_as_failed(self) -> None:
        """`generate` does not raise for what a request says."""
        provider = self.make_provider()
        sink = self.run(provider, self.request(provider, model="there-is-no-such-model"))
        assert order_fault(sink.events) is None
        last = sink.events[-1]
        assert isinstance(last, Failed)
        assert last.error.code

    def test_cancel_ends_it_in_silence(self) -> None:
        """After `cancel` the sink hears nothing more, the end included."""
        provider = self.make_provider()
        sink = RecordingSink()
        generation = provider.generate(self.request(provider, self.long_prompt), sink)
        self.wait(sink, lambda: sink.deltas() >= 2)
        generation.cancel()
        count = len(sink.events)
        assert self.settle(sink) == count
        assert not sink.ended

    def test_cancel_before_the_first_event_works(self) -> None:
        """At once after `generate`."""
        provider = self.make_provider()
        sink = RecordingSink()
        generation = provider.generate(self.request(provider, self.long_prompt), sink)
        generation.cancel()
        count = len(sink.events)
        assert self.settle(sink) == count

    def test_pause_holds_and_resume_goes_on(self) -> None:
        """A reader that is slow gets no more than what was on its way, and later all of it."""
        provider = self.make_provider()
        whole = self.run(provider, self.request(provider, self.long_prompt)).text
        sink = RecordingSink()
        generation = provider.generate(self.request(provider, self.long_prompt), sink)
        self.wait(sink, lambda: sink.deltas() >= 2)
        generation.pause()
        before = len(sink.events)
        held = self.settle(sink)
        assert held - before <= MAX_AFTER_PAUSE
        assert not sink.ended, "the answer came to its end in spite of the pause"
        assert self.settle(sink) == held
        generation.resume()
        self.wait(sink, lambda: sink.ended)
        assert order_fault(sink.events) is None
        assert len(sink.text) == len(whole)

    def test_cancel_works_while_it_is_paused(self) -> None:
        """And `resume` afterwards wakes nothing."""
        provider = self.make_provider()
        sink = RecordingSink()
        generation = provider.generate(self.request(provider, self.long_prompt), sink)
        self.wait(sink, lambda: sink.deltas() >= 2)
        generation.pause()
        generation.cancel()
        generation.resume()
        count = len(sink.events)
        assert self.settle(sink) == count

    def test_calls_after_the_end_do_nothing(self) -> None:
        """All three may come at any time."""
        provider = self.make_provider()
        sink = RecordingSink()
        generation = provider.generate(self.request(provider), sink)
        self.wait(sink, lambda: sink.ended)
        count = len(sink.events)
        for call in (generation.pause, generation.resume, generation.cancel, generation.cancel):
            call()
        assert self.settle(sink) == count

    def test_two_requests_do_not_disturb_each_other(self) -> None:
        """One is cancelled; the other has its whole answer."""
        provider = self.make_provider()
        alone = self.run(provider, self.request(provider)).text
        first, second = RecordingSink(), RecordingSink()
        generation = provider.generate(self.request(provider, self.long_prompt), first)
        provider.generate(self.request(provider, request_id="r-2"), second)
        self.wait(first, lambda: first.deltas() >= 1)
        generation.cancel()
        self.wait(second, lambda: second.ended)
        assert order_fault(second.events) is None
        assert len(second.text) == len(alone)
