"""The fields of the OpenAI dialects, from one table each, and the requests they make.

Source of names, ranges and defaults: OpenAI's API document (CreateChatCompletionRequest,
CreateCompletionRequest) and the promises in `docs/reference/openai-fields.md`, which is written from
these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmnode.api.checks import (
    Field,
    anything,
    boolean,
    integer,
    invalid_value,
    mapping,
    number,
    only,
    read_fields,
    table_of,
    text,
    text_or_texts,
)
from swarmnode.api.openai_prompts import conversation, prompts
from swarmnode.values.generation import (
    MAX_CHOICES,
    MAX_STOP_CHARS,
    MAX_STOPS,
    MAX_TOP_LOGPROBS,
    GenerationRequest,
    Prompt,
    RawText,
    Sampling,
)
from swarmnode.values.settings import ServingSettings

MAX_MODEL_CHARS = 256
MAX_SESSION_CHARS = 256
MAX_COMPLETION_LOGPROBS = 5
MAX_TOP_K = 1 << 20
MAX_REPETITION_PENALTY = 10.0
COMPLETION_MAX_TOKENS = 16
_INT64 = 1 << 63
_SEED_MODULUS = 1 << 64

#: What both dialects do alike. `max_tokens` is clamped by the caller, who knows the settings.
_ALIKE: tuple[Field, ...] = (
    Field(
        "model",
        "done",
        text(MAX_MODEL_CHARS, 1),
        "string of 1 to 256 characters",
        "a model's name, a unique beginning of it, or `auto`",
        True,
    ),
    Field("stream", "done", boolean, "boolean", "answer as server-sent events, one a token; default false"),
    Field(
        "stream_options",
        "done",
        mapping,
        "object with `include_usage` (boolean)",
        "a last event with the token counts; only with `stream`",
    ),
    Field(
        "max_tokens",
        "done",
        integer(-_INT64, _INT64),
        "integer",
        "most tokens to generate, clamped to 1..32768",
    ),
    Field("temperature", "done", number(0, 2), "0 to 2", "0 always takes the likeliest token; default 0.7"),
    Field(
        "top_p", "done", number(0, 1), "0 to 1", "keep the likeliest tokens up to this probability; default 1"
    ),
    Field(
        "top_k",
        "done",
        integer(0, MAX_TOP_K),
        "integer from 0",
        "keep this many of the likeliest tokens; default 0, off",
    ),
    Field(
        "min_p",
        "done",
        number(0, 1),
        "0 to 1",
        "drop tokens less likely than this share of the likeliest; default 0, off",
    ),
    Field(
        "repetition_penalty",
        "done",
        number(0, MAX_REPETITION_PENALTY, above=True),
        "above 0, to 10",
        "divide the logits of tokens seen before; default 1, off",
    ),
    Field("frequency_penalty", "done", number(-2, 2), "-2 to 2", "per time a token was generated; default 0"),
    Field("presence_penalty", "done", number(-2, 2), "-2 to 2", "for tokens generated at all; default 0"),
    Field("n", "done", integer(1, MAX_CHOICES), "1 to 128", "how many answers; default 1"),
    Field(
        "seed",
        "done",
        integer(-_INT64, _SEED_MODULUS - 1),
        "64-bit integer",
        "the same seed repeats the same answer; one is drawn and reported otherwise",
    ),
    Field(
        "stop",
        "done",
        text_or_texts(MAX_STOPS, MAX_STOP_CHARS),
        "string or up to 16 strings of 1 to 256 characters",
        "end before any of these",
    ),
    Field(
        "session_id",
        "done",
        text(MAX_SESSION_CHARS, 1),
        "string of 1 to 256 characters",
        "keep the work on this conversation for the next request",
    ),
    Field("user", "accepted", text(4096), "string"),
    Field("logit_bias", "default only", only({}), "null or {}"),
    Field("lora_adapter", "default only", only(""), 'null or ""'),
)

CHAT = table_of(
    *_ALIKE,
    Field("messages", "done", conversation, "array of messages", "the conversation", True),
    Field(
        "max_completion_tokens",
        "done",
        integer(-_INT64, _INT64),
        "integer",
        "the newer name of `max_tokens`; counts when both are there; default 2048",
    ),
    Field("logprobs", "done", boolean, "boolean", "report the log probability of each token; default false"),
    Field(
        "top_logprobs",
        "done",
        integer(0, MAX_TOP_LOGPROBS),
        "0 to 20",
        "likeliest alternatives to report; needs `logprobs`",
    ),
    Field("metadata", "accepted", mapping, "object"),
    Field("parallel_tool_calls", "accepted", boolean, "boolean"),
    Field("prompt_cache_key", "accepted", anything, "anything"),
    Field("prompt_cache_options", "accepted", anything, "anything"),
    Field("prompt_cache_retention", "accepted", anything, "anything"),
    Field("safety_identifier", "accepted", anything, "anything"),
    Field("store", "default only", only(False), "null or false"),
    Field("service_tier", "default only", only("auto", "default"), "null, auto or default"),
    Field("response_format", "default only", only({"type": "text"}), 'null or {"type": "text"}'),
    Field("tools", "default only", only([]), "null or []"),
    Field("tool_choice", "default only", only("none", "auto"), "null, none or auto"),
    Field("functions", "default only", only([]), "null or []"),
    Field("function_call", "default only", only("none", "auto"), "null, none or auto"),
    Field("modalities", "default only", only(["text"]), 'null or ["text"]'),
    Field("verbosity", "default only", only("medium"), "null or medium"),
    Field("reasoning_effort", "default only", only(), "null"),
    Field("audio", "default only", only(), "null"),
    Field("prediction", "default only", only(), "null"),
    Field("moderation", "default only", only(), "null"),
    Field("web_search_options", "default only", only(), "null"),
)

COMPLETION = table_of(
    *_ALIKE,
    Field(
        "prompt",
        "done",
        prompts,
        "string, array of token ids, or array of up to 128 of either",
        'what to go on from; default "", which starts from nothing',
    ),
    Field(
        "echo",
        "done",
        boolean,
        "boolean",
        "put the prompt before the answer; not with token ids or `logprobs`",
    ),
    Field(
        "logprobs",
        "done",
        integer(0, MAX_COMPLETION_LOGPROBS),
        "0 to 5",
        "report log probabilities, and this many alternatives",
    ),
    Field("best_of", "done", integer(1, MAX_CHOICES), "the same as `n`", "answers are not ranked"),
    Field("suffix", "default only", only(""), 'null or ""'),
)

STREAM_OPTIONS = table_of(
    Field("include_usage", "done", boolean, "boolean", "send a last event with the token counts"),
    Field("include_obfuscation", "accepted", boolean, "boolean", "no padding is sent"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request of an OpenAI dialect. requests: one a prompt, each with its own `request_id`.

    echoes: the text to put before the answer of each prompt; empty without `echo`.
    """

    requests: tuple[GenerationRequest, ...]
    stream: bool
    include_usage: bool
    echoes: tuple[str, ...] = ()


def chat_call(body: Mapping[str, Any], request_id: str, serving: ServingSettings) -> Call:
    """The body of `POST /v1/chat/completions`. Raises `Refused` that names the field."""
    fields = read_fields(CHAT, body)
    top = fields.get("top_logprobs", 0)
    if top and not fields.get("logprobs"):
        raise invalid_value("top_logprobs", "needs `logprobs` to be true")
    wanted = fields.get("max_completion_tokens", fields.get("max_tokens", serving.max_tokens_default))
    logprobs = top if fields.get("logprobs") else None
    request = _request(fields, request_id, fields["messages"], _clamp(wanted, serving), logprobs)
    return Call((request,), fields.get("stream", False), _include_usage(fields))


def completion_call(body: Mapping[str, Any], request_id: str, serving: ServingSettings) -> Call:
    """The body of `POST /v1/completions`. Raises `Refused` that names the field."""
    fields = read_fields(COMPLETION, body)
    if fields.get("best_of", fields.get("n", 1)) != fields.get("n", 1):
        raise invalid_value("best_of", "must be the same as `n`: answers are not ranked")
    found: tuple[Prompt, ...] = fields.get("prompt", (RawText(""),))
    if len(found) * fields.get("n", 1) > MAX_CHOICES:
        raise invalid_value("n", f"times the number of prompts is more than {MAX_CHOICES} answers")
    limit = _clamp(fields.get("max_tokens", COMPLETION_MAX_TOKENS), serving)
    requests = tuple(
        _request(
            fields, f"{request_id}-{index}" if index else request_id, prompt, limit, fields.get("logprobs")
        )
        for index, prompt in enumerate(found)
    )
    return Call(requests, fields.get("stream", False), _include_usage(fields), _echoes(fields, found))


def _request(
    fields: Mapping[str, Any], request_id: str, prompt: Prompt, max_tokens: int, logprobs: int | None
) -> GenerationRequest:
    return GenerationRequest(
        request_id=request_id,
        model=fields["model"],
        prompt=prompt,
        sampling=_sampling(fields),
        max_tokens=max_tokens,
        stop=fields.get("stop", ()),
        n=fields.get("n", 1),
        logprobs=logprobs,
        session_id=fields.get("session_id"),
    )


def _sampling(fields: Mapping[str, Any]) -> Sampling:
    given = {name: fields[name] for name in Sampling.__slots__ if name in fields}
    if "seed" in given:
        given["seed"] %= _SEED_MODULUS
    return Sampling(**given)


def _clamp(wanted: int, serving: ServingSettings) -> int:
    return max(1, min(serving.max_tokens_limit, wanted))


def _include_usage(fields: Mapping[str, Any]) -> bool:
    if "stream_options" not in fields:
        return False
    if not fields.get("stream"):
        raise invalid_value("stream_options", "needs `stream` to be true")
    return bool(read_fields(STREAM_OPTIONS, fields["stream_options"], "stream_options.").get("include_usage"))


def _echoes(fields: Mapping[str, Any], found: tuple[Prompt, ...]) -> tuple[str, ...]:
    if not fields.get("echo"):
        return ()
    if "logprobs" in fields:
        raise invalid_value("echo", "is not built together with `logprobs`")
    texts = tuple(prompt.text for prompt in found if isinstance(prompt, RawText))
    if len(texts) < len(found):
        raise invalid_value("echo", "needs prompts of text, not of token ids")
    return texts
