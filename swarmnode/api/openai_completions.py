"""From the neutral events to the objects of OpenAI's text completions: pure, no bytes, no network.

Source: CreateCompletionResponse of OpenAI's API document; streamed and whole answers have one shape.
"""

from __future__ import annotations

from typing import Any

from swarmnode.api.openai_events import AnswerMeta, Head, finish_reason, timings_object, usage_object
from swarmnode.api.openai_logprobs import CompletionLogprobs
from swarmnode.values.generation import (
    ChoiceFinished,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    Started,
    TextDelta,
    Usage,
)

KIND = "text_completion"


def _choice(index: int, text: str, logprobs: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


class CompletionStream:
    """A streamed completion. echoes: the text before each choice, by its index; empty for none."""

    def __init__(self, meta: AnswerMeta, echoes: tuple[str, ...] = ()) -> None:
        self._meta = meta
        self._echoes = echoes
        self._head = Head(meta, KIND)
        self._logprobs = [CompletionLogprobs() for _ in range(meta.n)]

    def chunks(self, event: GenerationEvent) -> list[dict[str, Any]]:
        """text_completion objects for one event, in order; none for `Failed`."""
        if isinstance(event, Started):
            self._head.started(event)
            return [
                self._chunk(index, text) | {"seed": event.seed} for index, text in enumerate(self._echoes)
            ]
        if isinstance(event, TextDelta):
            part = self._logprobs[event.choice].take(event) if self._meta.logprobs else None
            return [self._chunk(event.choice, event.text, part)]
        if isinstance(event, ReasoningDelta):
            return [self._chunk(event.choice, event.text)]
        if isinstance(event, ChoiceFinished):
            return [self._chunk(event.choice, "", reason=finish_reason(event.reason))]
        if isinstance(event, Finished) and self._meta.include_usage:
            chunk = self._head.with_(choices=[], usage=usage_object(event.usage))
            timings = timings_object(event.timings)
            return [chunk | {"timings": timings} if timings else chunk]
        return []

    def _chunk(
        self, index: int, text: str, logprobs: dict[str, Any] | None = None, reason: str | None = None
    ) -> dict[str, Any]:
        chunk = self._head.with_(choices=[_choice(index, text, logprobs, reason)])
        return chunk | {"usage": None} if self._meta.include_usage else chunk


class CompletionAnswer:
    """A completion in one piece: `take` every event, then `answer`."""

    def __init__(self, meta: AnswerMeta, echoes: tuple[str, ...] = ()) -> None:
        self._meta = meta
        self._head = Head(meta, KIND)
        self._texts = [[echoes[index]] if echoes else [] for index in range(meta.n)]
        self._logprobs = [CompletionLogprobs() for _ in range(meta.n)]
        self._reasons = ["length"] * meta.n
        self._seed = 0
        self._usage = Usage()

    def take(self, event: GenerationEvent) -> None:
        """Add one event."""
        if isinstance(event, Started):
            self._head.started(event)
            self._seed = event.seed
        elif isinstance(event, TextDelta):
            self._texts[event.choice].append(event.text)
            self._logprobs[event.choice].take(event)
        elif isinstance(event, ReasoningDelta):
            self._texts[event.choice].append(event.text)
        elif isinstance(event, ChoiceFinished):
            self._reasons[event.choice] = finish_reason(event.reason)
        elif isinstance(event, Finished):
            self._usage = event.usage

    def answer(self) -> dict[str, Any]:
        """The text_completion object."""
        choices = [
            _choice(index, "".join(text), self._whole(index), self._reasons[index])
            for index, text in enumerate(self._texts)
        ]
        return self._head.with_(choices=choices, usage=usage_object(self._usage), seed=self._seed)

    def _whole(self, index: int) -> dict[str, Any] | None:
        return self._logprobs[index].whole() if self._meta.logprobs else None
