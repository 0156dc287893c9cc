"""The neutral events as OpenAI's chat objects, literally."""

from __future__ import annotations

from typing import Any

from swarmnode.api.openai_events import AnswerMeta, ChatAnswer, ChatStream
from swarmnode.values.errors import LocalFault
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

META = AnswerMeta("chatcmpl-1", 1700000000)
STARTED = Started("m", 3, 1, 42, "numpy-1:kv=f16:residual=f16")
HEAD = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "m",
    "system_fingerprint": "numpy-1:kv=f16:residual=f16",
}
LOGPROB = TokenLogprob(5, b"\xe2\x82", -0.5, (TokenLogprob(6, b"a", float("-inf")),))


def stream(meta: AnswerMeta, *events: GenerationEvent) -> list[dict[str, Any]]:
    serialiser = ChatStream(meta)
    return [chunk for event in (STARTED, *events) for chunk in serialiser.chunks(event)]


def collect(meta: AnswerMeta, *events: GenerationEvent) -> dict[str, Any]:
    answer = ChatAnswer(meta)
    for event in (STARTED, *events):
        answer.take(event)
    return answer.answer()


def test_a_streamed_answer_literally() -> None:
    events = (TextDelta(0, "Hi"), TextDelta(0, "!"), ChoiceFinished(0, "stop"), Finished(Usage(3, 2)))
    choice = {"index": 0, "logprobs": None, "finish_reason": None}
    assert stream(META, *events) == [
        HEAD | {"choices": [choice | {"delta": {"role": "assistant", "content": ""}}], "seed": 42},
        HEAD | {"choices": [choice | {"delta": {"content": "Hi"}}]},
        HEAD | {"choices": [choice | {"delta": {"content": "!"}}]},
        HEAD | {"choices": [choice | {"delta": {}, "finish_reason": "stop"}]},
    ]


def test_a_whole_answer_literally() -> None:
    events = (TextDelta(0, "Hi"), TextDelta(0, "!"), ChoiceFinished(0, "length"), Finished(Usage(3, 2, 1)))
    assert collect(META, *events) == HEAD | {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi!", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1},
        },
        "seed": 42,
    }


def test_usage_comes_last_without_choices_and_is_null_before() -> None:
    meta = AnswerMeta("chatcmpl-1", 0, include_usage=True)
    chunks = stream(meta, TextDelta(0, "x"), Finished(Usage(3, 1), Timings(prefill_ms=1.25)))
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None, None]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 4
    assert chunks[-1]["timings"] == {"prefill_ms": 1.25}


def test_without_include_usage_nothing_is_said_of_it() -> None:
    assert all("usage" not in chunk for chunk in stream(META, Finished(Usage(3, 1))))


def test_each_choice_has_its_own_role_text_and_end() -> None:
    meta = AnswerMeta("chatcmpl-1", 0, n=2)
    events = (TextDelta(1, "b"), TextDelta(0, "a"), ChoiceFinished(1, "stop"), ChoiceFinished(0, "length"))
    choices = [chunk["choices"][0] for chunk in stream(meta, *events)]
    assert [(one["index"], one["delta"].get("content"), one["finish_reason"]) for one in choices] == [
        (0, "", None),
        (1, "", None),
        (1, "b", None),
        (0, "a", None),
        (1, None, "stop"),
        (0, None, "length"),
    ]
    whole = collect(meta, *events)["choices"]
    assert [(one["message"]["content"], one["finish_reason"]) for one in whole] == [
        ("a", "length"),
        ("b", "stop"),
    ]


def test_logprobs_name_bytes_and_floor_what_json_cannot_say() -> None:
    meta = AnswerMeta("chatcmpl-1", 0, logprobs=True)
    expected = {
        "content": [
            {
                "token": "\\xe2\\x82",
                "logprob": -0.5,
                "bytes": [0xE2, 0x82],
                "top_logprobs": [{"token": "a", "logprob": -9999.0, "bytes": [97]}],
            }
        ],
        "refusal": None,
    }
    delta = TextDelta(0, "€", (5,), (LOGPROB,))
    assert stream(meta, delta)[-1]["choices"][0]["logprobs"] == expected
    assert collect(meta, delta)["choices"][0]["logprobs"] == expected


def test_logprobs_that_were_not_asked_for_are_left_out() -> None:
    delta = TextDelta(0, "€", (5,), (LOGPROB,))
    assert stream(META, delta)[-1]["choices"][0]["logprobs"] is None
    assert collect(META, delta)["choices"][0]["logprobs"] is None


TOOL_EVENTS = (
    ToolCallDelta(0, 0, "call_1", "get_weather", ""),
    ToolCallDelta(0, 0, arguments='{"city":'),
    ToolCallDelta(0, 1, "call_2", "get_time", "{}"),
    ToolCallDelta(0, 0, arguments='"Bonn"}'),
    ChoiceFinished(0, "tool_calls"),
)


def test_tool_calls_are_streamed_in_parts() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in stream(META, *TOOL_EVENTS)[1:]]
    assert deltas[:3] == [
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {
            "tool_calls": [
                {
                    "index": 1,
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "get_time", "arguments": "{}"},
                }
            ]
        },
    ]


def test_tool_calls_are_collected_and_the_content_is_null() -> None:
    choice = collect(META, *TOOL_EVENTS)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Bonn"}'},
        },
        {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
    ]


def test_thinking_has_a_field_of_its_own() -> None:
    events = (ReasoningDelta(0, "hm"), TextDelta(0, "yes"))
    assert stream(META, *events)[1]["choices"][0]["delta"] == {"reasoning_content": "hm"}
    message = collect(META, *events)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm", "yes")


def test_an_answer_that_was_cut_off_is_not_reported_as_complete() -> None:
    assert stream(META, ChoiceFinished(0, "cancelled"))[-1]["choices"][0]["finish_reason"] == "length"
    assert collect(META, TextDelta(0, "x"))["choices"][0]["finish_reason"] == "length"


def test_a_failure_has_no_chunk() -> None:
    assert ChatStream(META).chunks(Failed(LocalFault("x", code="y"))) == []
