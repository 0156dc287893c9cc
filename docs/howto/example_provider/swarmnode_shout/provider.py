"""The provider: one word of the answer at each turn of the reactor's clock.

A real one would send a request to a server and turn what comes back into the same events. What matters is the
shape: `generate` returns at once, events arrive later, and nothing here ever blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zope.interface import implementer

from swarmnode.interfaces.generation import IEventSink, IGeneration, IGenerator
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused
from swarmnode.values.generation import (
    ChoiceFinished,
    Conversation,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    RawText,
    Started,
    TextDelta,
    Usage,
)
from swarmnode.values.loading import ProviderSettings

NAME = "shout"
MODEL = "shout-1"
SECONDS_A_WORD = 0.01


def make_provider(settings: ProviderSettings) -> ShoutProvider:
    """The factory that the description names; called once, in the node's process."""
    from twisted.internet import reactor

    return ShoutProvider(settings, reactor)


@implementer(IGenerator)
class ShoutProvider:
    """clock: an `IReactorTime`; the tests give a `twisted.internet.task.Clock`."""

    name = NAME

    def __init__(self, settings: ProviderSettings, clock: Any) -> None:
        self._clock = clock
        self._mark = str(settings.options.get("mark", "!"))

    def cards(self) -> tuple[ModelCard, ...]:
        return (ModelCard(MODEL, backend=NAME, owned_by=NAME, context_length=4096),)

    def generate(self, request: GenerationRequest, sink: IEventSink) -> Shouting:
        shouting = Shouting(self._events(request), sink, self._clock)
        shouting.resume()
        return shouting

    def _events(self, request: GenerationRequest) -> Iterator[GenerationEvent]:
        """The events of the answer. What is wrong with a request is an event too, never an exception."""
        if request.model != MODEL:
            yield Failed(
                Refused(f"There is no model {request.model!r}", code="model_not_found", param="model")
            )
            return
        words = _words(request)
        if not words:
            yield Failed(Refused("There is nothing to shout", code="empty_prompt", param="messages"))
            return
        told = words[: request.max_tokens]
        yield Started(MODEL, prompt_tokens=len(words), seed=request.sampling.seed or 0)
        for choice in range(request.n):
            for number, word in enumerate(told):
                yield TextDelta(choice, (" " if number else "") + word.upper() + self._mark)
            yield ChoiceFinished(choice, "stop" if len(told) == len(words) else "length")
        yield Finished(Usage(len(words), len(told) * request.n))


@implementer(IGeneration)
class Shouting:
    """A request under way: at each tick of the clock one event, as long as nobody pauses or cancels it."""

    def __init__(self, events: Iterator[GenerationEvent], sink: Any, clock: Any) -> None:
        self._events, self._sink, self._clock = events, sink, clock
        self._call: Any = None
        self._over = False

    def pause(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resume(self) -> None:
        if self._call is None and not self._over:
            self._call = self._clock.callLater(SECONDS_A_WORD, self._tick)

    def cancel(self) -> None:
        self.pause()
        self._over = True

    def _tick(self) -> None:
        self._call = None
        event = next(self._events, None)
        if event is None:
            self._over = True
            return
        # Before the event: the sink may pause or cancel while it takes it.
        self.resume()
        self._sink.event(event)


def _words(request: GenerationRequest) -> list[str]:
    """The words of the last turn, or of the text."""
    if isinstance(request.prompt, Conversation):
        return request.prompt.messages[-1].content.split()
    return request.prompt.text.split() if isinstance(request.prompt, RawText) else []
