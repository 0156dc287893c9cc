"""Log probabilities in the two shapes of OpenAI's API document."""

from __future__ import annotations

import math
from typing import Any

from swarmnode.values.generation import TextDelta, TokenLogprob

#: What the API document says for "very unlikely"; JSON has no minus infinity.
FLOOR = -9999.0


def token_text(token: bytes) -> str:
    """A token as text; bytes that are no UTF-8 by themselves as `\\xNN`."""
    return token.decode("utf-8", "backslashreplace")


def finite(logprob: float) -> float:
    """The log probability, or `FLOOR` where it is not a finite number."""
    return max(logprob, FLOOR) if math.isfinite(logprob) else FLOOR


def chat_entries(logprobs: tuple[TokenLogprob, ...]) -> list[dict[str, Any]]:
    """ChatCompletionTokenLogprob objects."""
    return [_entry(one) | {"top_logprobs": [_entry(other) for other in one.top]} for one in logprobs]


def chat_logprobs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The `logprobs` of a choice of a chat."""
    return {"content": entries, "refusal": None}


def _entry(one: TokenLogprob) -> dict[str, Any]:
    return {"token": token_text(one.token), "logprob": finite(one.logprob), "bytes": list(one.token)}


class CompletionLogprobs:
    """The `logprobs` of one choice of a text completion, as far as they are known.

    Offsets count characters of the choice's text. A token that yielded no text by itself (a part of a
    character) has the offset where the character begins.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._all = _empty()

    def take(self, delta: TextDelta) -> dict[str, list[Any]]:
        """The part that belongs to one delta; it is kept for `whole` too."""
        part = _empty()
        seen = b""
        for one in delta.logprobs:
            part["tokens"].append(token_text(one.token))
            part["token_logprobs"].append(finite(one.logprob))
            part["top_logprobs"].append(_alternatives(one))
            within = min(len(seen.decode("utf-8", "ignore")), len(delta.text))
            part["text_offset"].append(self._offset + within)
            seen += one.token
        self._offset += len(delta.text)
        for name, values in part.items():
            self._all[name].extend(values)
        return part

    def whole(self) -> dict[str, list[Any]]:
        """All parts together."""
        return self._all


def _alternatives(one: TokenLogprob) -> dict[str, float]:
    """The likeliest tokens and always the chosen one."""
    found = {token_text(other.token): finite(other.logprob) for other in one.top}
    found[token_text(one.token)] = finite(one.logprob)
    return found


def _empty() -> dict[str, list[Any]]:
    return {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
