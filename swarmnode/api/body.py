"""The body of a request as JSON, with every way in which it can be wrong named."""

from __future__ import annotations

import json
from typing import Any

from swarmnode.values.errors import Refused

#: Above what 4 MiB of text and the longest list of tokens can need, but for text that is mostly braces.
MAX_BRACES = 1_000_000
MAX_COMMAS = 6_000_000

_HINT = "Send one JSON object in UTF-8."


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises `Refused(code='invalid_json')` that says where, for: not UTF-8, malformed, NaN and infinity,
    a key twice (which one counts would be a guess), lone surrogates, nesting or numbers beyond what the
    parser takes, more structure than any request needs, and for anything but an object.
    """
    _bound_structure(raw)
    try:
        value = _loads(raw)
    except UnicodeDecodeError as error:
        raise _bad(f"The body is not UTF-8: byte {error.start} is wrong") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (character {error.pos})"
        raise _bad(f"The body is not JSON: {error.msg}, {place}") from None
    except RecursionError:
        raise _bad("The body nests lists or objects too deeply") from None
    except ValueError as error:
        raise _bad(f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _bad("The body must be a JSON object")
    return value


def _bound_structure(raw: bytes) -> None:
    """The parser runs where everybody's events do: text is fast, millions of small things are not."""
    for mark, most in ((b"{", MAX_BRACES), (b",", MAX_COMMAS)):
        if raw.count(mark) > most:
            raise _bad(f"The body has more than {most} `{mark.decode()}`, which no request needs")


def _loads(raw: bytes) -> Any:
    value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_without_twins)
    # Decoded UTF-8 holds no surrogate, so only an escape can have made a lone one.
    if b"\\ud" in raw or b"\\uD" in raw:
        _refuse_lone_surrogates(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return found


def _refuse_lone_surrogates(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("a string holds half of a surrogate pair (\\ud800 to \\udfff)") from None
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_lone_surrogates(name)
            _refuse_lone_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_lone_surrogates(item)


def _bad(message: str) -> Refused:
    return Refused(message, code="invalid_json", hint=_HINT)
