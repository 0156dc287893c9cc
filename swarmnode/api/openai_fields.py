"""From the body of an OpenAI request to the neutral request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmnode.api.checks import invalid_value, read_fields
from swarmnode.api.openai_tables import CHAT, COMPLETION, SEEDS, STREAM_OPTIONS
from swarmnode.values.generation import MAX_CHOICES, GenerationRequest, Prompt, RawText, Sampling
from swarmnode.values.settings import ServingSettings

#: OpenAI's default for text completions.
COMPLETION_MAX_TOKENS = 16
#: All that `echo` puts before the answers of a request; it is sent in one piece.
MAX_ECHO_CHARS = 1 << 19


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
        timeout_seconds=fields.get("timeout"),
    )


def _sampling(fields: Mapping[str, Any]) -> Sampling:
    given = {name: fields[name] for name in Sampling.__slots__ if name in fields}
    if "seed" in given:
        given["seed"] %= SEEDS
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
    if sum(map(len, texts)) * fields.get("n", 1) > MAX_ECHO_CHARS:
        raise invalid_value("echo", f"would repeat more than {MAX_ECHO_CHARS} characters")
    return texts
