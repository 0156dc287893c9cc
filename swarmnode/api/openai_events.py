"""From the neutral events to the objects of OpenAI's chat completions: pure, no bytes, no network.

Source: CreateChatCompletionResponse and CreateChatCompletionStreamResponse of OpenAI's API document.
Beyond it: `seed` (what repeats the answer), `reasoning_content` (where a family marks its thinking) and
`timings` beside the usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from swarmnode.api.openai_logprobs import chat_entries, chat_logprobs
from swarmnode.values.generation import (
    ChoiceFinished,
    Finished,
    FinishReason,
    GenerationEvent,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)

#: An answer that was cut off from outside is reported as cut off, not as complete.
_REASONS: dict[FinishReason, str] = {"cancelled": "length"}


@dataclass(frozen=True, slots=True)
class AnswerMeta:
    """What all parts of an answer repeat. created: Unix time in seconds."""

    answer_id: str
    created: int
    n: int = 1
    include_usage: bool = False
    logprobs: bool = False


def finish_reason(reason: FinishReason) -> str:
    """The reason in OpenAI's words."""
    return _REASONS.get(reason, reason)


def usage_object(usage: Usage) -> dict[str, Any]:
    """CompletionUsage."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def timings_object(timings: Timings) -> dict[str, float]:
    """The times that were measured, in milliseconds."""
    parts = (
        ("queue_ms", timings.queue_ms),
        ("prefill_ms", timings.prefill_ms),
        ("decode_ms", timings.decode_ms),
    )
    return {name: round(value, 3) for name, value in parts if value is not None}


class Head:
    """The fields that every object of one answer begins with."""

    def __init__(self, meta: AnswerMeta, kind: str) -> None:
        self._fields: dict[str, Any] = {
            "id": meta.answer_id,
            "object": kind,
            "created": meta.created,
            "model": "",
        }

    def started(self, event: Started) -> None:
        """The model's name and the numerics profile are known."""
        self._fields["model"] = event.model
        if event.profile:
            self._fields["system_fingerprint"] = event.profile

    def with_(self, **more: Any) -> dict[str, Any]:
        """A new object."""
        return self._fields | more


class ChatStream:
    """A streamed chat answer: `chunks(event)` gives the objects to send for one event, in order."""

    def __init__(self, meta: AnswerMeta) -> None:
        self._meta = meta
        self._head = Head(meta, "chat.completion.chunk")

    def chunks(self, event: GenerationEvent) -> list[dict[str, Any]]:
        """chat.completion.chunk objects; none for `Failed`, which has an envelope of its own."""
        if isinstance(event, Started):
            self._head.started(event)
            return [
                self._chunk(choice, {"role": "assistant", "content": ""}) | {"seed": event.seed}
                for choice in range(self._meta.n)
            ]
        if isinstance(event, TextDelta):
            return [self._chunk(event.choice, {"content": event.text}, logprobs=self._logprobs(event))]
        if isinstance(event, ReasoningDelta):
            return [self._chunk(event.choice, {"reasoning_content": event.text})]
        if isinstance(event, ToolCallDelta):
            return [self._chunk(event.choice, {"tool_calls": [tool_call_part(event)]})]
        if isinstance(event, ChoiceFinished):
            return [self._chunk(event.choice, {}, finish_reason(event.reason))]
        return list(self._usage(event))

    def _logprobs(self, event: TextDelta) -> dict[str, Any] | None:
        return chat_logprobs(chat_entries(event.logprobs)) if self._meta.logprobs else None

    def _chunk(
        self,
        choice: int,
        delta: dict[str, Any],
        reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        only = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        chunk = self._head.with_(choices=[only])
        return chunk | {"usage": None} if self._meta.include_usage else chunk

    def _usage(self, event: GenerationEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, Finished) and self._meta.include_usage:
            chunk = self._head.with_(choices=[], usage=usage_object(event.usage))
            timings = timings_object(event.timings)
            yield chunk | {"timings": timings} if timings else chunk


def tool_call_part(event: ToolCallDelta) -> dict[str, Any]:
    """A part of a tool call: id and name come with the first part only."""
    function: dict[str, Any] = {"arguments": event.arguments}
    part: dict[str, Any] = {"index": event.index, "function": function}
    if event.call_id is not None:
        part |= {"id": event.call_id, "type": "function"}
    if event.name is not None:
        function["name"] = event.name
    return part


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    reason: str = "length"

    def message(self) -> dict[str, Any]:
        text = "".join(self.text)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message |= {
                "content": text or None,
                "tool_calls": [self.calls[index] for index in sorted(self.calls)],
            }
        return message


class ChatAnswer:
    """A chat answer in one piece: `take` every event, then `answer`."""

    def __init__(self, meta: AnswerMeta) -> None:
        self._meta = meta
        self._head = Head(meta, "chat.completion")
        self._choices = [_Choice() for _ in range(meta.n)]
        self._seed = 0
        self._finished = Finished(Usage())

    def take(self, event: GenerationEvent) -> None:
        """Add one event."""
        if isinstance(event, Started):
            self._head.started(event)
            self._seed = event.seed
        elif isinstance(event, TextDelta):
            self._choices[event.choice].text.append(event.text)
            if self._meta.logprobs:
                self._choices[event.choice].entries.extend(chat_entries(event.logprobs))
        elif isinstance(event, ReasoningDelta):
            self._choices[event.choice].reasoning.append(event.text)
        elif isinstance(event, ToolCallDelta):
            _add_call(self._choices[event.choice].calls, event)
        elif isinstance(event, ChoiceFinished):
            self._choices[event.choice].reason = finish_reason(event.reason)
        elif isinstance(event, Finished):
            self._finished = event

    def answer(self) -> dict[str, Any]:
        """The chat.completion object."""
        choices = [self._choice(index, choice) for index, choice in enumerate(self._choices)]
        return self._head.with_(choices=choices, usage=usage_object(self._finished.usage), seed=self._seed)

    def _choice(self, index: int, choice: _Choice) -> dict[str, Any]:
        return {
            "index": index,
            "message": choice.message(),
            "logprobs": chat_logprobs(choice.entries) if self._meta.logprobs else None,
            "finish_reason": choice.reason,
        }


def _add_call(calls: dict[int, dict[str, Any]], event: ToolCallDelta) -> None:
    call = calls.setdefault(
        event.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
    )
    if event.call_id is not None:
        call["id"] = event.call_id
    if event.name is not None:
        call["function"]["name"] = event.name
    call["function"]["arguments"] += event.arguments
