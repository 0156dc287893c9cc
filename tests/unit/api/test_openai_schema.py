"""What we answer against OpenAI's own API document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from swarmnode.api.errors import envelope
from swarmnode.api.openai_completions import CompletionAnswer, CompletionStream
from swarmnode.api.openai_events import AnswerMeta, ChatAnswer, ChatStream
from swarmnode.api.status import model_object
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused
from swarmnode.values.generation import (
    ChoiceFinished,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)

META = AnswerMeta("chatcmpl-1", 1700000000, n=2, include_usage=True, logprobs=True)
LOGPROB = TokenLogprob(1, b"a", -0.1, (TokenLogprob(2, b"b", -3.0),))
EVENTS = (
    Started("m", 3, 1, 7, "p"),
    ReasoningDelta(0, "hm"),
    TextDelta(0, "a", (1,), (LOGPROB,)),
    TextDelta(1, "b"),
    ChoiceFinished(0, "stop"),
    ChoiceFinished(1, "cancelled"),
    Finished(Usage(3, 2, 1), Timings(1.0, None, 2.0)),
)
TOOLS = (
    ToolCallDelta(0, 0, "call_1", "f", "{"),
    ToolCallDelta(0, 0, arguments="}"),
    ChoiceFinished(0, "tool_calls"),
)


@pytest.fixture(scope="module")
def document(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "data/specs/openai-openapi.json").read_text("utf-8"))
    return _plain(found)


def _plain(value: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema understands it."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _plain(one) for name, one in value.items()}
    if plain.pop("nullable", False) is True:
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


def check(document: dict[str, Any], name: str, value: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(value)))


def test_chat_chunks(document: dict[str, Any]) -> None:
    serialiser = ChatStream(META)
    chunks = [chunk for event in (*EVENTS, *TOOLS) for chunk in serialiser.chunks(event)]
    assert len(chunks) == 11
    for chunk in chunks:
        check(document, "CreateChatCompletionStreamResponse", chunk)


@pytest.mark.parametrize("events", [EVENTS, EVENTS[:1] + TOOLS + EVENTS[-1:]])
@pytest.mark.parametrize("logprobs", [True, False])
def test_chat_answers(document: dict[str, Any], events: Any, logprobs: bool) -> None:
    answer = ChatAnswer(AnswerMeta("chatcmpl-1", 1, n=2, logprobs=logprobs))
    for event in events:
        answer.take(event)
    check(document, "CreateChatCompletionResponse", answer.answer())


@pytest.mark.parametrize("logprobs", [True, False])
def test_completions(document: dict[str, Any], logprobs: bool) -> None:
    meta = AnswerMeta("cmpl-1", 1, n=2, logprobs=logprobs)
    answer = CompletionAnswer(meta)
    for event in EVENTS:
        answer.take(event)
    check(document, "CreateCompletionResponse", answer.answer())


def test_the_last_chunk_of_a_completion_has_the_usage(document: dict[str, Any]) -> None:
    serialiser = CompletionStream(META)
    chunks = [chunk for event in EVENTS for chunk in serialiser.chunks(event)]
    check(document, "CreateCompletionResponse", chunks[-1])


def test_models(document: dict[str, Any]) -> None:
    cards = (ModelCard("a", "numpy", created=5), ModelCard("b", "numpy", created=5, context_length=8192))
    check(document, "ListModelsResponse", {"object": "list", "data": [model_object(card) for card in cards]})


def test_errors(document: dict[str, Any]) -> None:
    check(document, "ErrorResponse", envelope(Refused("no", code="c", param="p")))


def test_the_check_itself_can_fail(document: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(document, "CreateChatCompletionResponse", {"id": "x"})
