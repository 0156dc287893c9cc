"""The prompts of the OpenAI dialects: messages of a chat, and prompts of a completion."""

from __future__ import annotations

from typing import Any

from swarmnode.api.checks import (
    accepted,
    anything,
    default_only,
    done,
    invalid_type,
    invalid_value,
    mapping,
    missing,
    read_fields,
    table_of,
    text,
    unsupported,
)
from swarmnode.values.generation import Conversation, Message, Prompt, RawText, TokenIds

#: All text of a prompt together, in bytes of UTF-8 (contract 3.1).
MAX_PROMPT_BYTES = 4 << 20
MAX_MESSAGES = 8192
MAX_PARTS = 8192
MAX_PROMPT_TOKENS = 1 << 20
MAX_PROMPTS = 128
MAX_TOKEN_ID = (1 << 31) - 1
MAX_NAME_CHARS = 256

#: The newer name of the system role, and what models are told.
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_LATER_ROLES = ("tool", "function")

MESSAGE = table_of(
    done(
        "role", text(32), "system, developer, user or assistant", "developer is read as system", required=True
    ),
    done("content", anything, "string, or array of parts of type text", "what is said; parts become lines"),
    done("name", text(MAX_NAME_CHARS), "string up to 256 characters", "handed to the model's template"),
    default_only("tool_calls", []),
    default_only("tool_call_id"),
    default_only("function_call"),
    default_only("audio"),
    default_only("refusal", ""),
    accepted("annotations", anything, "anything", "part of an answer that is sent back"),
    accepted("reasoning_content", anything, "anything", "part of an answer that is sent back"),
)
PART = table_of(
    done("type", text(64), '"text"', "the kind of part", required=True),
    done("text", text(MAX_PROMPT_BYTES), "string", "what is said"),
)


def conversation(value: Any, param: str) -> Conversation:
    """The `messages` of a chat. Raises `Refused` that names message and field."""
    if not isinstance(value, list):
        raise invalid_type(param, "an array of messages", value)
    if not 1 <= len(value) <= MAX_MESSAGES:
        raise invalid_value(param, f"must have 1 to {MAX_MESSAGES} messages, not {len(value)}")
    messages = tuple(_message(item, f"{param}[{index}]") for index, item in enumerate(value))
    _check_size(sum(len(message.content.encode("utf-8")) for message in messages), param)
    return Conversation(messages)


def prompts(value: Any, param: str) -> tuple[Prompt, ...]:
    """The `prompt` of a completion: a string, token ids, or a list of either."""
    if isinstance(value, str):
        found: tuple[Prompt, ...] = (RawText(value),)
    elif not isinstance(value, list):
        raise invalid_type(param, "a string, an array of token ids, or an array of either", value)
    elif not value:
        raise invalid_value(param, 'is an empty array; send "" to start from nothing')
    elif isinstance(value[0], int) and not isinstance(value[0], bool):
        found = (_token_ids(value, param),)
    else:
        found = _several(value, param)
    _check_size(sum(len(one.text.encode("utf-8")) for one in found if isinstance(one, RawText)), param)
    return found


def _several(value: list[Any], param: str) -> tuple[Prompt, ...]:
    if len(value) > MAX_PROMPTS:
        raise invalid_value(param, f"must have at most {MAX_PROMPTS} prompts, not {len(value)}")
    return tuple(_one(item, f"{param}[{index}]") for index, item in enumerate(value))


def _one(value: Any, param: str) -> Prompt:
    if isinstance(value, str):
        return RawText(value)
    if isinstance(value, list):
        return _token_ids(value, param)
    raise invalid_type(param, "a string or an array of token ids", value)


def _token_ids(value: list[Any], param: str) -> TokenIds:
    if not 1 <= len(value) <= MAX_PROMPT_TOKENS:
        raise invalid_value(param, f"must have 1 to {MAX_PROMPT_TOKENS} token ids, not {len(value)}")
    for index, item in enumerate(value):
        if type(item) is not int:
            raise invalid_type(f"{param}[{index}]", "a token id", item)
        if not 0 <= item <= MAX_TOKEN_ID:
            raise invalid_value(f"{param}[{index}]", "is not a token id")
    return TokenIds(tuple(value))


def _message(value: Any, param: str) -> Message:
    fields = read_fields(MESSAGE, mapping(value, param), f"{param}.")
    role = fields["role"]
    if role in _LATER_ROLES:
        raise unsupported(
            f"{param}.role", f"{role!r} is not built in this version", "Leave this message out."
        )
    if role not in _ROLES:
        raise invalid_value(f"{param}.role", f"must be one of {', '.join(_ROLES)}")
    if "content" not in fields:
        raise missing(f"{param}.content")
    return Message(_ROLES[role], _content(fields["content"], f"{param}.content"), fields.get("name"))


def _content(value: Any, param: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise invalid_type(param, "a string or an array of parts", value)
    if not 1 <= len(value) <= MAX_PARTS:
        raise invalid_value(param, f"must have 1 to {MAX_PARTS} parts, not {len(value)}")
    return "\n".join(_part(item, f"{param}[{index}]") for index, item in enumerate(value))


def _part(value: Any, param: str) -> str:
    kind = mapping(value, param).get("type")
    if isinstance(kind, str) and kind != "text":
        raise unsupported(
            f"{param}.type", f"{kind[:64]!r} is not built in this version", "Send parts of type text."
        )
    fields = read_fields(PART, value, f"{param}.")
    if "text" not in fields:
        raise missing(f"{param}.text")
    found: str = fields["text"]
    return found


def _check_size(size: int, param: str) -> None:
    if size > MAX_PROMPT_BYTES:
        raise invalid_value(param, f"holds {size} bytes of text; at most {MAX_PROMPT_BYTES} are allowed")
