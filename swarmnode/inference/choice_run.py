"""One choice of one request: its tokens, and what each new token adds to the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from swarmnode.inference.sampling.sampler import Sampled
from swarmnode.values.errors import Refused
from swarmnode.values.generation import (
    ChoiceFinished,
    FinishReason,
    GenerationEvent,
    TextDelta,
    TokenLogprob,
)


class ChoiceStepLike(Protocol):
    """What one token adds: text that may be delivered, whether the choice ends, and by which stop."""

    @property
    def text(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def stop(self) -> str | None: ...


class ChoiceTextLike(Protocol):
    """`inference.text.choice.ChoiceText`."""

    def push(self, token_id: int) -> ChoiceStepLike: ...
    def flush(self) -> str: ...


class ChoiceAnswer:
    """Turns the tokens of one choice into events.

    Tokens that yield no text wait for the next one that does. limit: tokens the choice may have.
    A token that ends the answer belongs to no text and is not counted.
    """

    def __init__(
        self,
        choice: int,
        text: ChoiceTextLike,
        piece: Callable[[int], bytes],
        ends: frozenset[int],
        limit: int,
    ) -> None:
        self.count = 0
        self.over = False
        self._choice, self._text, self._piece, self._ends, self._limit = choice, text, piece, ends, limit
        self._ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []

    def take(self, sampled: Sampled) -> list[GenerationEvent]:
        """The events of one more token; `over` is set with the last."""
        step = self._text.push(sampled.token_id)
        if sampled.token_id not in self._ends:
            self._count(sampled)
        if step.reason is not None:
            return self._finish("stop", step.text, step.stop)
        if self.count >= self._limit:
            return self._finish("length", step.text + self._text.flush(), None)
        return [self._delta(step.text)] if step.text else []

    def _count(self, sampled: Sampled) -> None:
        self.count += 1
        self._ids.append(sampled.token_id)
        if sampled.logprob is not None:
            self._logprobs.append(token_logprob(sampled, self._piece))

    def _delta(self, text: str) -> TextDelta:
        ids, logprobs = tuple(self._ids), tuple(self._logprobs)
        self._ids, self._logprobs = [], []
        return TextDelta(self._choice, text, ids, logprobs)

    def _finish(self, reason: FinishReason, text: str, stop: str | None) -> list[GenerationEvent]:
        self.over = True
        events: list[GenerationEvent] = [self._delta(text)] if text or self._ids else []
        return [*events, ChoiceFinished(self._choice, reason, stop)]


def token_logprob(sampled: Sampled, piece: Callable[[int], bytes]) -> TokenLogprob:
    """The log-probability of a drawn token and its alternatives, with their bytes."""
    top = tuple(TokenLogprob(token, piece(token), logprob) for token, logprob in sampled.top)
    return TokenLogprob(sampled.token_id, piece(sampled.token_id), sampled.logprob or 0.0, top)


def room_for(prompt: Sequence[int], context: int, max_tokens: int | None) -> int:
    """How many tokens an answer may have: what is asked for, or as many as the context has room for.
    Raises `Refused` when less than one is asked for."""
    if max_tokens is not None and max_tokens < 1:
        raise Refused("max_tokens must be at least 1", code="bad_max_tokens", param="max_tokens")
    room = context - len(prompt)
    return room if max_tokens is None else min(room, max_tokens)
