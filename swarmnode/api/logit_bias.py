"""The `logit_bias` of the OpenAI dialects: an object from token ids, written as strings, to numbers."""

from __future__ import annotations

import re
from typing import Any

from swarmnode.api.checks import MAX_SHOWN, invalid_value, mapping, number
from swarmnode.api.openai_prompts import MAX_TOKEN_ID
from swarmnode.values.generation import MAX_LOGIT_BIAS, MAX_LOGIT_BIASES

#: One way only to write an id: else two keys could mean one token.
_ID = re.compile(r"(?:0|[1-9][0-9]{0,9})", re.ASCII)
_bias = number(-MAX_LOGIT_BIAS, MAX_LOGIT_BIAS)


def logit_bias(value: Any, param: str) -> tuple[tuple[int, float], ...]:
    """Pairs of token id and bias, ascending by id. Raises `Refused` that names the entry.

    Whether the model has such tokens is for the model's worker to say.
    """
    entries = mapping(value, param)
    if len(entries) > MAX_LOGIT_BIASES:
        raise invalid_value(param, f"must have at most {MAX_LOGIT_BIASES} entries, not {len(entries)}")
    return tuple(sorted((_token(key, param), _bias(bias, f"{param}.{key}")) for key, bias in entries.items()))


def _token(key: str, param: str) -> int:
    if not _ID.fullmatch(key) or int(key) > MAX_TOKEN_ID:
        raise invalid_value(f"{param}.{key[:MAX_SHOWN]}", "is not a token id")
    return int(key)
