"""The neutral request and the neutral, ordered stream of events that answers it (DESIGN 4).

Every API dialect turns its JSON into a `GenerationRequest` and serialises the events; everything
that can run a request (a local worker, a pipeline, an upstream provider) yields the events.
The stream of one request is: `Started`, then deltas, one `ChoiceFinished` a choice, then exactly
one of `Finished` or `Failed`, after which nothing follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from swarmnode.values.errors import SwarmnodeError

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]

MAX_STOPS = 16
MAX_STOP_CHARS = 256
MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20
#: As many as OpenAI takes, and as many as the header of a worker's message has room for.
MAX_LOGIT_BIASES = 300
MAX_LOGIT_BIAS = 100.0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `content` is plain text."""

    role: str
    content: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A prompt as turns, to be rendered by the model's own chat template."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class RawText:
    """A prompt as text, without a template. Empty text starts from the model's BOS token."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenIds:
    """A prompt as token ids, used exactly as given."""

    ids: tuple[int, ...]


Prompt = Conversation | RawText | TokenIds


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. Neutral values switch a filter or penalty off.

    Ranges: temperature 0..2 (0 is greedy), top_p, typical_p and min_p 0..1 (1, 1 and 0 are off),
    top_k >= 0 (0 is off), frequency and presence penalties -2..2, repetition_penalty > 0 (1 is off),
    seed 0 <= seed < 2**64 (None: one is drawn and reported in `Started`). logit_bias: pairs of a token
    id and what is added to its logit before all else (-100..100), each id once, ascending, at most
    `MAX_LOGIT_BIASES`; only who runs the model knows whether it has those tokens.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request, whichever API it came through.

    model: the label of a model that exists (the response core has resolved `auto` and prefixes).
    max_tokens: None means as many as the context has room for.
    logprobs: None for off, else how many alternatives to report beside the chosen token (0..20).
    timeout_seconds: from when it is submitted to its engine until it is done or fails; None: no limit.
    """

    request_id: str
    model: str
    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    session_id: str | None = None
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its bytes and the natural logarithm of its probability under the raw logits."""

    token_id: int
    token: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of the whole request; `cached_tokens` of the prompt were not computed again."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt is known and generation begins; `seed` repeats the answer when sent again."""

    model: str
    prompt_tokens: int
    cached_tokens: int = 0
    seed: int = 0
    profile: str = ""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Text of the model's thinking, where a family marks it."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer. One a generated token that yields text; the token ids and log
    probabilities of tokens that yielded none (half a character, a stop being matched) are carried
    by the next one."""

    choice: int
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A part of a tool call: `call_id` and `name` come with the first part, then `arguments`."""

    choice: int
    index: int
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """One choice is complete. `stop` is the stop string that ended it, if one did."""

    choice: int
    reason: FinishReason
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in milliseconds; None where it was not measured (never 0 for that)."""

    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The request is complete."""

    usage: Usage
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended by an error; what was delivered before stands."""

    error: SwarmnodeError


GenerationEvent = Started | ReasoningDelta | TextDelta | ToolCallDelta | ChoiceFinished | Finished | Failed


def request_as_dict(request: GenerationRequest) -> dict[str, Any]:
    """The request as JSON-able data, for the worker link."""
    return {
        "request_id": request.request_id,
        "model": request.model,
        "prompt": _prompt_as_dict(request.prompt),
        "sampling": sampling_as_dict(request.sampling),
        "max_tokens": request.max_tokens,
        "stop": list(request.stop),
        "n": request.n,
        "logprobs": request.logprobs,
        "session_id": request.session_id,
        "timeout_seconds": request.timeout_seconds,
    }


def request_from_dict(data: dict[str, Any]) -> GenerationRequest:
    """The inverse of `request_as_dict`."""
    return GenerationRequest(
        request_id=data["request_id"],
        model=data["model"],
        prompt=_prompt_from_dict(data["prompt"]),
        sampling=sampling_from_dict(data["sampling"]),
        max_tokens=data["max_tokens"],
        stop=tuple(data["stop"]),
        n=data["n"],
        logprobs=data["logprobs"],
        session_id=data["session_id"],
        timeout_seconds=data.get("timeout_seconds"),
    )


def sampling_as_dict(sampling: Sampling) -> dict[str, Any]:
    """The sampling as JSON-able data, for the worker link."""
    fields = {name: getattr(sampling, name) for name in Sampling.__slots__}
    return fields | {"logit_bias": [list(pair) for pair in sampling.logit_bias]}


def sampling_from_dict(data: Mapping[str, Any]) -> Sampling:
    """The inverse of `sampling_as_dict`; what is missing has its default."""
    biases = tuple((token, bias) for token, bias in data.get("logit_bias", ()))
    return Sampling(**{**data, "logit_bias": biases})


def _prompt_as_dict(prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt, Conversation):
        return {"messages": [[m.role, m.content, m.name] for m in prompt.messages]}
    if isinstance(prompt, RawText):
        return {"text": prompt.text}
    return {"ids": list(prompt.ids)}


def _prompt_from_dict(data: dict[str, Any]) -> Prompt:
    if "messages" in data:
        return Conversation(tuple(Message(*turn) for turn in data["messages"]))
    if "text" in data:
        return RawText(data["text"])
    return TokenIds(tuple(data["ids"]))
