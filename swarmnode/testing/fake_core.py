"""A response core, a node and a key ring without anything behind them: for tests of APIs and clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zope.interface import implementer

from swarmnode.interfaces.generation import IGeneration
from swarmnode.interfaces.node import IKeyRing, INodeStatus, IResponseCore
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import LocalFault, Refused, Unavailable
from swarmnode.values.generation import (
    ChoiceFinished,
    Conversation,
    Failed,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    RawText,
    Started,
    TextDelta,
    TokenLogprob,
    Usage,
)

PROFILE = "fake-1:kv=f32:residual=f32"
FAKE_KEY = "0123456789abcdef" * 4
FAKE_SEED = 7
LOGPROB = -0.25

#: model name -> how it fails: `full` before the first event, `crash` in the middle.
FAKE_MODELS = ("echo", "full", "crash")


def scripted_answer(request: GenerationRequest) -> list[GenerationEvent]:
    """What the fake core answers: the last words of the prompt, one token each, until `max_tokens` or a
    stop; choice `c` begins with its number; a seed (0 counts) is said first. Deterministic."""
    seed = request.sampling.seed
    words = _words(request)
    if seed is not None:
        words = [f"seed{seed}", *words]
    events: list[GenerationEvent] = [
        Started(request.model, len(words), 0, FAKE_SEED if seed is None else seed, PROFILE)
    ]
    tokens = 0
    for choice in range(request.n):
        said, end = _cut([str(choice), *words] if request.n > 1 else words, request)
        events += [_delta(choice, text, request.logprobs) for text in said]
        events.append(end(choice))
        tokens += len(said)
    events.append(Finished(Usage(len(words), tokens, 0)))
    return events


def _words(request: GenerationRequest) -> list[str]:
    prompt = request.prompt
    if isinstance(prompt, Conversation):
        return prompt.messages[-1].content.split()
    return prompt.text.split() if isinstance(prompt, RawText) else [str(one) for one in prompt.ids]


def _cut(words: list[str], request: GenerationRequest) -> tuple[list[str], Callable[[int], ChoiceFinished]]:
    pieces = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
    reason: FinishReason = "stop"
    stop: str | None = None
    for index, piece in enumerate(pieces):
        stop = next((one for one in request.stop if one in piece), None)
        if stop is not None:
            before = piece[: piece.index(stop)]
            pieces = pieces[:index] + ([before] if before else [])
            break
    if request.max_tokens is not None and len(pieces) > request.max_tokens:
        pieces, reason, stop = pieces[: request.max_tokens], "length", None
    return pieces, lambda choice: ChoiceFinished(choice, reason, stop)


def _delta(choice: int, text: str, logprobs: int | None) -> TextDelta:
    token = text.encode("utf-8")
    if logprobs is None:
        return TextDelta(choice, text, (len(text),))
    top = tuple(TokenLogprob(rank, b"other%d" % rank, LOGPROB - rank - 1) for rank in range(logprobs))
    return TextDelta(choice, text, (len(text),), (TokenLogprob(len(text), token, LOGPROB, top),))


@implementer(IGeneration)
class FakeGeneration:
    """Delivers events when it is told to; remembers how it was steered."""

    def __init__(self, request: GenerationRequest, sink: Any) -> None:
        self.request = request
        self.sink = sink
        self.paused = False
        self.cancelled = False
        self.calls: list[str] = []

    def send(self, *events: GenerationEvent) -> None:
        """Deliver events, unless it was cancelled."""
        for event in events:
            if not self.cancelled:
                self.sink.event(event)

    def pause(self) -> None:
        self.paused = True
        self.calls.append("pause")

    def resume(self) -> None:
        self.paused = False
        self.calls.append("resume")

    def cancel(self) -> None:
        self.cancelled = True
        self.calls.append("cancel")


@implementer(IResponseCore)
class FakeCore:
    """Answers by `script(request)` before `submit` returns; without a script the test sends the events.

    generations: all that were submitted, in order.
    """

    def __init__(
        self,
        script: Callable[[GenerationRequest], Iterable[GenerationEvent]] | None = scripted_answer,
        cards: tuple[ModelCard, ...] | None = None,
    ) -> None:
        self._script = script
        self._cards = cards or tuple(
            ModelCard(label, "scripted", created=1_700_000_000) for label in FAKE_MODELS
        )
        self.generations: list[FakeGeneration] = []

    def submit(self, request: GenerationRequest, sink: Any) -> FakeGeneration:
        generation = FakeGeneration(request, sink)
        self.generations.append(generation)
        if self._script is not None:
            generation.send(*self._events(request, self._script))
        return generation

    def _events(
        self, request: GenerationRequest, script: Callable[[GenerationRequest], Iterable[GenerationEvent]]
    ) -> list[GenerationEvent]:
        try:
            self.find(request.model)
        except Refused as error:
            return [Failed(error)]
        if request.model == "full":
            return [
                Failed(Unavailable("The queue is full", code="queue_full", hint="Try again in a moment."))
            ]
        events = list(script(request))
        if request.model == "crash":
            return [
                *events[:3],
                Failed(LocalFault("The worker ended", code="worker_lost", hint="Send it again.")),
            ]
        return events

    def cards(self) -> tuple[ModelCard, ...]:
        return self._cards

    def find(self, name: str) -> ModelCard:
        for card in self._cards:
            if name in (card.label, "auto"):
                return card
        known = ", ".join(card.label for card in self._cards)
        raise Refused(f"There is no model {name!r}. Known: {known}.", code="model_not_found", param="model")


@implementer(INodeStatus)
class FakeNode:
    """A node that is ready, unless a test says otherwise."""

    version = "0.0.0"
    peer_id = "12D3KooWFakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFake"

    def __init__(self) -> None:
        self.parts = {"database": True, "api_server": True}
        self.stopped_because: str | None = None

    def readiness(self) -> dict[str, bool]:
        return dict(self.parts)

    def status(self) -> dict[str, Any]:
        return {"peer_id": self.peer_id, "addresses": [], "version": self.version, "active_requests": 0}

    def stats(self) -> dict[str, Any]:
        return {"node_id": self.peer_id, "version": self.version, "uptime_seconds": 1}

    def shut_down(self, reason: str) -> None:
        self.stopped_because = reason


@implementer(IKeyRing)
class FakeKeys:
    """One key, known to the test."""

    def allows(self, key: str) -> bool:
        return key == FAKE_KEY

    def api_key(self) -> str:
        return FAKE_KEY
