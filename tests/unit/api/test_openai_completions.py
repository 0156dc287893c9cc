"""The neutral events as OpenAI's text completions, literally."""

from __future__ import annotations

from typing import Any

from swarmnode.api.openai_completions import CompletionAnswer, CompletionStream
from swarmnode.api.openai_events import AnswerMeta
from swarmnode.values.generation import (
    ChoiceFinished,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    Usage,
)

STARTED = Started("m", 1, 0, 9, "p")
HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 5, "model": "m", "system_fingerprint": "p"}
A, EURO_1, EURO_2 = (
    TokenLogprob(1, b"a", -1.0),
    TokenLogprob(2, b"\xe2\x82", -2.0),
    TokenLogprob(3, b"\xac", -3.0),
)
DELTAS = (
    TextDelta(0, "a", (1,), (A,)),
    TextDelta(0, "€", (2, 3), (EURO_1, EURO_2)),
    TextDelta(0, "a", (1,), (A,)),
)


def meta(**more: Any) -> AnswerMeta:
    return AnswerMeta("cmpl-1", 5, **more)


def stream(serialiser: CompletionStream, *events: GenerationEvent) -> list[dict[str, Any]]:
    return [chunk for event in (STARTED, *events) for chunk in serialiser.chunks(event)]


def collect(answer: CompletionAnswer, *events: GenerationEvent) -> dict[str, Any]:
    for event in (STARTED, *events):
        answer.take(event)
    return answer.answer()


def test_streamed_and_whole_answers_have_one_shape() -> None:
    events = (TextDelta(0, "Hi"), ChoiceFinished(0, "stop"), Finished(Usage(1, 1)))
    choice = {"index": 0, "logprobs": None}
    assert stream(CompletionStream(meta()), *events) == [
        HEAD | {"choices": [choice | {"text": "Hi", "finish_reason": None}]},
        HEAD | {"choices": [choice | {"text": "", "finish_reason": "stop"}]},
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    usage["prompt_tokens_details"] = {"cached_tokens": 0}  # type: ignore[assignment]
    assert collect(CompletionAnswer(meta()), *events) == HEAD | {
        "choices": [choice | {"text": "Hi", "finish_reason": "stop"}],
        "usage": usage,
        "seed": 9,
    }


def test_logprobs_keep_their_place_in_the_text() -> None:
    logprobs = collect(CompletionAnswer(meta(logprobs=True)), *DELTAS)["choices"][0]["logprobs"]
    assert logprobs == {
        "tokens": ["a", "\\xe2\\x82", "\\xac", "a"],
        "token_logprobs": [-1.0, -2.0, -3.0, -1.0],
        "top_logprobs": [{"a": -1.0}, {"\\xe2\\x82": -2.0}, {"\\xac": -3.0}, {"a": -1.0}],
        "text_offset": [0, 1, 1, 2],
    }


def test_streamed_logprobs_are_the_parts_of_the_whole() -> None:
    whole = collect(CompletionAnswer(meta(logprobs=True)), *DELTAS)["choices"][0]["logprobs"]
    parts = [one["choices"][0]["logprobs"] for one in stream(CompletionStream(meta(logprobs=True)), *DELTAS)]
    for name, values in whole.items():
        assert [value for part in parts for value in part[name]] == values


def test_the_chosen_token_is_among_the_alternatives() -> None:
    chosen = TokenLogprob(1, b"x", -3.0, (TokenLogprob(2, b"y", -0.1), TokenLogprob(3, b"z", float("-inf"))))
    answer = collect(CompletionAnswer(meta(logprobs=True)), TextDelta(0, "x", (1,), (chosen,)))
    assert answer["choices"][0]["logprobs"]["top_logprobs"] == [{"y": -0.1, "z": -9999.0, "x": -3.0}]


def test_the_prompt_is_echoed_before_each_choice() -> None:
    events = (TextDelta(1, "B"), TextDelta(0, "A"))
    chunks = stream(CompletionStream(meta(n=2), ("p", "q")), *events)
    assert [(one["choices"][0]["index"], one["choices"][0]["text"]) for one in chunks] == [
        (0, "p"),
        (1, "q"),
        (1, "B"),
        (0, "A"),
    ]
    whole = collect(CompletionAnswer(meta(n=2), ("p", "q")), *events)["choices"]
    assert [one["text"] for one in whole] == ["pA", "qB"]


def test_usage_and_thinking() -> None:
    chunks = stream(
        CompletionStream(meta(include_usage=True)), ReasoningDelta(0, "hm"), Finished(Usage(1, 2))
    )
    assert [one["choices"] and one["choices"][0]["text"] for one in chunks] == ["hm", []]
    assert [one["usage"] and one["usage"]["total_tokens"] for one in chunks] == [None, 3]
    assert collect(CompletionAnswer(meta()), ReasoningDelta(0, "hm"))["choices"][0]["text"] == "hm"
