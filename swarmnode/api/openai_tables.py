"""The fields of the OpenAI dialects: one table each, from which `docs/reference/openai-fields.md` is made.

Source of names, ranges and defaults: OpenAI's API document (CreateChatCompletionRequest,
CreateCompletionRequest); `top_k`, `min_p`, `typical_p`, `repetition_penalty`, `session_id`,
`timeout` and `lora_adapter` are additions that users of such nodes know.
"""

from __future__ import annotations

from swarmnode.api.checks import (
    Field,
    accepted,
    anything,
    boolean,
    default_only,
    done,
    integer,
    mapping,
    number,
    table_of,
    text,
    text_or_texts,
)
from swarmnode.api.logit_bias import logit_bias
from swarmnode.api.openai_prompts import MESSAGE, PART, conversation, prompts
from swarmnode.values.generation import MAX_CHOICES, MAX_STOP_CHARS, MAX_STOPS, MAX_TOP_LOGPROBS

MAX_MODEL_CHARS = 256
MAX_SESSION_CHARS = 256
MAX_USER_CHARS = 4096
MAX_COMPLETION_LOGPROBS = 5
MAX_TOP_K = 1 << 20
MAX_REPETITION_PENALTY = 10.0
MAX_TIMEOUT_SECONDS = 86_400
INT64 = 1 << 63
SEEDS = 1 << 64

_any_integer = integer(-INT64, INT64 - 1)
_model = text(MAX_MODEL_CHARS, 1)
_session = text(MAX_SESSION_CHARS, 1)
_stops = text_or_texts(MAX_STOPS, MAX_STOP_CHARS)
_penalty = number(-2, 2)

_ALIKE: tuple[Field, ...] = (
    done(
        "model",
        _model,
        "string of 1 to 256 characters",
        "a name, a unique beginning of it, or `auto`",
        required=True,
    ),
    done("stream", boolean, "boolean", "answer as server-sent events, one a token; default false"),
    done("stream_options", mapping, "object", "`include_usage` asks for a last event with token counts"),
    done(
        "max_tokens",
        _any_integer,
        "integer",
        "most tokens, clamped to 1..32768; default 2048, completions 16",
    ),
    done("temperature", number(0, 2), "0 to 2", "0 always takes the likeliest token; default 0.7"),
    done("top_p", number(0, 1), "0 to 1", "keep the likeliest tokens up to this probability; default 1"),
    done("top_k", integer(0, MAX_TOP_K), "integer from 0", "keep this many tokens; default 0, off"),
    done("min_p", number(0, 1), "0 to 1", "drop what is less likely than this share of the best; default 0"),
    done(
        "typical_p",
        number(0, 1),
        "0 to 1",
        "keep the tokens of the most usual surprise up to this probability; default 1",
    ),
    done(
        "repetition_penalty",
        number(0, MAX_REPETITION_PENALTY, above=True),
        "above 0, up to 10",
        "weaken tokens that were there before; default 1, off",
    ),
    done("frequency_penalty", _penalty, "-2 to 2", "for each time a token was generated; default 0"),
    done("presence_penalty", _penalty, "-2 to 2", "for tokens that were generated at all; default 0"),
    done(
        "logit_bias",
        logit_bias,
        "object of up to 300 token ids, -100 to 100 each",
        "added to the logits before all else; 100 as good as forces a token, -100 bans it",
    ),
    done("n", integer(1, MAX_CHOICES), "1 to 128", "how many answers; default 1"),
    done(
        "seed",
        integer(-INT64, SEEDS - 1),
        "64-bit integer",
        "repeats an answer; one is drawn and reported else",
    ),
    done("stop", _stops, "string, or up to 16, of 1 to 256 characters", "end before any of these"),
    done(
        "session_id",
        _session,
        "string of 1 to 256 characters",
        "keep the work on this text for the next request",
    ),
    done(
        "timeout",
        number(0, MAX_TIMEOUT_SECONDS, above=True),
        "seconds, above 0, up to 86400",
        "give up with an error (504) when the answer is not complete by then, waiting included; of several "
        "prompts each has its own; default none",
    ),
    accepted("user", text(MAX_USER_CHARS), "string up to 4096 characters"),
    default_only("lora_adapter", ""),
)

CHAT = table_of(
    done("messages", conversation, "array of messages", "the conversation", required=True),
    *_ALIKE,
    done(
        "max_completion_tokens",
        _any_integer,
        "integer",
        "newer name of `max_tokens`; goes first",
    ),
    done("logprobs", boolean, "boolean", "report each token's log probability; default false"),
    done("top_logprobs", integer(0, MAX_TOP_LOGPROBS), "0 to 20", "alternatives to report; needs `logprobs`"),
    accepted("metadata", mapping, "object"),
    accepted("parallel_tool_calls", boolean, "boolean"),
    accepted("prompt_cache_key", anything, "anything"),
    accepted("prompt_cache_options", anything, "anything"),
    accepted("prompt_cache_retention", anything, "anything"),
    accepted("safety_identifier", anything, "anything"),
    default_only("store", False),
    default_only("service_tier", "auto", "default"),
    default_only("response_format", {"type": "text"}),
    default_only("tools", []),
    default_only("tool_choice", "none", "auto"),
    default_only("functions", []),
    default_only("function_call", "none", "auto"),
    default_only("modalities", ["text"]),
    default_only("verbosity", "medium"),
    default_only("reasoning_effort"),
    default_only("audio"),
    default_only("prediction"),
    default_only("moderation"),
    default_only("web_search_options"),
)

COMPLETION = table_of(
    done("prompt", prompts, "string, array of token ids, or up to 128 of either", "what to go on from"),
    *_ALIKE,
    done("echo", boolean, "boolean", "put the prompt before the answer; only for text without `logprobs`"),
    done(
        "logprobs",
        integer(0, MAX_COMPLETION_LOGPROBS),
        "0 to 5",
        "report log probabilities, with alternatives",
    ),
    done("best_of", integer(1, MAX_CHOICES), "the same as `n`", "answers are not ranked"),
    default_only("suffix", ""),
)

STREAM_OPTIONS = table_of(
    done("include_usage", boolean, "boolean", "send a last event with the token counts"),
    accepted("include_obfuscation", boolean, "boolean", "no padding is sent"),
)

_PAGE_HEAD = """\
# Fields of the OpenAI APIs

Written from the tables in the code (`python -m swarmnode.api.openai_tables`); a test compares the two.

* **done**: the field does what it says.
* **accepted**: it cannot change the answer, and is ignored.
* **default only**: the value that means "nothing special" is taken; any other is refused, with an error that
  names the field.

A null is the same as leaving the field out. Every other name is refused by an error that names it.
"""

_PAGE_END = """
## How a token is chosen

From the model's logits, in this order: `logit_bias`, `repetition_penalty`, `frequency_penalty` and
`presence_penalty`, `temperature`, `top_k`, `typical_p`, `top_p`, `min_p`, and then one token by chance among
those that are left. At temperature 0 it is the likeliest one after the penalties, and the fields after
`temperature` change nothing. The chance comes from the seed, the number of the answer, the token's position
and its id, so an answer can be repeated. `logprobs` are of the logits as the model gave them, before all of
this.

A `logit_bias` for a token that the model lacks is refused with the number of tokens it has.
"""


def reference_page() -> str:
    """The tables as Markdown."""
    sections = (
        ("POST /v1/chat/completions", CHAT),
        ("A message of a chat", MESSAGE),
        ("A part of a message's content", PART),
        ("POST /v1/completions", COMPLETION),
        ("stream_options", STREAM_OPTIONS),
    )
    return _PAGE_HEAD + "".join(_section(title, table) for title, table in sections) + _PAGE_END


def _section(title: str, table: dict[str, Field]) -> str:
    rows = "".join(
        f"| `{field.name}` | {field.handling} | {field.takes} | {_meaning(field)} |\n"
        for field in table.values()
    )
    return f"\n## {title}\n\n| field | handling | takes | meaning |\n|---|---|---|---|\n{rows}"


def _meaning(field: Field) -> str:
    return "; ".join(filter(None, ("required" if field.required else "", field.meaning)))


if __name__ == "__main__":
    print(reference_page(), end="")
