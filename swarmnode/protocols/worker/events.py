"""Generation events as short JSON lists, many to a message.

The payload of an `events` message is a list of [slot, event]; an event is a list that begins with a
letter. Token bytes are written as text of the code points 0..255, one a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from swarmnode.protocols.worker.messages import LinkFault, Message, json_bytes
from swarmnode.values.errors import error_from_dict
from swarmnode.values.generation import (
    ChoiceFinished,
    Failed,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)

#: Events in one message; more are spread over several.
MAX_EVENTS = 4096


def encode_event(event: GenerationEvent) -> list[Any]:
    """One event as a JSON-able list."""
    if isinstance(event, TextDelta):
        short = ["t", event.choice, event.text, list(event.token_ids)]
        return [*short, [_logprob(p) for p in event.logprobs]] if event.logprobs else short
    if isinstance(event, Failed):
        return ["x", event.error.as_dict()]
    if isinstance(event, Finished):
        usage, times = event.usage, event.timings
        return [
            "f",
            [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens],
            [times.queue_ms, times.prefill_ms, times.decode_ms],
        ]
    return [_LETTERS[type(event)], *(getattr(event, name) for name in type(event).__slots__)]


_LETTERS: dict[type, str] = {Started: "s", ReasoningDelta: "r", ToolCallDelta: "c", ChoiceFinished: "e"}


def _logprob(entry: TokenLogprob) -> list[Any]:
    return [entry.token_id, entry.token.decode("latin-1"), entry.logprob, [_logprob(t) for t in entry.top]]


def _read_logprob(data: Sequence[Any]) -> TokenLogprob:
    token_id, token, logprob, top = data
    return TokenLogprob(token_id, token.encode("latin-1"), logprob, tuple(_read_logprob(t) for t in top))


def _read_text(
    choice: int, text: str, token_ids: list[int], logprobs: Sequence[Sequence[Any]] = ()
) -> TextDelta:
    return TextDelta(choice, text, tuple(token_ids), tuple(_read_logprob(p) for p in logprobs))


def _read_finished(usage: list[int], times: list[float | None]) -> Finished:
    return Finished(Usage(*usage), Timings(*times))


_READERS: dict[str, Callable[..., GenerationEvent]] = {
    "s": Started,
    "r": ReasoningDelta,
    "t": _read_text,
    "c": ToolCallDelta,
    "e": ChoiceFinished,
    "f": _read_finished,
    "x": lambda data: Failed(error_from_dict(data)),
}


def decode_event(data: Sequence[Any]) -> GenerationEvent:
    """The inverse of `encode_event`. Raises `LinkFault`."""
    try:
        return _READERS[data[0]](*data[1:])
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise LinkFault(f"an event that cannot be read: {str(data)[:80]}") from error


def events_messages(events: Iterable[tuple[int, GenerationEvent]]) -> list[Message]:
    """Messages that carry these events, each with the slot it belongs to, in order."""
    rows = [[slot, encode_event(event)] for slot, event in events]
    return [
        Message("events", payload=json_bytes(rows[i : i + MAX_EVENTS]))
        for i in range(0, len(rows), MAX_EVENTS)
    ]


def read_events(message: Message) -> list[tuple[int, GenerationEvent]]:
    """The events of an `events` message with their slots. Raises `LinkFault`."""
    rows = message.json()
    if not isinstance(rows, list) or len(rows) > MAX_EVENTS:
        raise LinkFault("an events message without a list of at most 4096 events")
    try:
        return [(int(slot), decode_event(event)) for slot, event in rows]
    except (TypeError, ValueError) as error:
        raise LinkFault("an events message with a malformed row") from error


def ends(event: GenerationEvent) -> bool:
    """Whether nothing follows the event."""
    return isinstance(event, Finished | Failed)
