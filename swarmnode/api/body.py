"""The body of a request as JSON, with every way in which it can be wrong named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock, execute

from swarmnode.api.sliced_json import TooMuch, decode_utf8, read_json
from swarmnode.values.errors import Refused

#: Bodies up to this size are read at once: a millisecond, checks of the fields included.
SMALL_BODY_BYTES = 16 << 10

T = TypeVar("T")

_HINT = "Send one JSON object in UTF-8."


class BodyReader:
    """Reads bodies: small ones at once, large ones off the reactor thread, one at a time.

    defer: runs a function elsewhere and returns a Deferred of its result, like `deferToThread`.
    """

    def __init__(self, defer: Callable[[Callable[[], Any]], Deferred[Any]]) -> None:
        self._defer = defer
        self._one = DeferredLock()

    def read(self, request: Any, make: Callable[[dict[str, Any]], T]) -> Deferred[T]:
        """`make(the request's JSON object)`; fails with what it raises and what `parse_object` does.

        The body counts as held (`ApiRequest`) until that is done.
        """
        raw = request.body()
        if len(raw) <= SMALL_BODY_BYTES:
            request.forget_body()
            return execute(lambda: make(parse_object(raw)))
        reading: Deferred[T] = self._one.run(self._defer, lambda: make(parse_object(raw)))
        return reading.addBoth(_forgotten, request)


def _forgotten(result: T, request: Any) -> T:
    request.forget_body()
    return result


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises `Refused(code='invalid_json')` that says where, for: not UTF-8, malformed, NaN and infinity,
    a key twice (which one counts would be a guess), lone surrogates, nesting or numbers beyond what the
    parser takes, more structure than any request needs, and for anything but an object.
    """
    try:
        value = _loads(raw) if len(raw) <= SMALL_BODY_BYTES else read_json(decode_utf8(raw))
    except UnicodeDecodeError as error:
        raise _bad(f"The body is not UTF-8: byte {error.start} is wrong") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (character {error.pos})"
        raise _bad(f"The body is not JSON: {error.msg}, {place}") from None
    except RecursionError:
        raise _bad("The body nests lists or objects too deeply") from None
    except TooMuch as error:
        raise _bad(f"The body has {error}, which no request needs") from None
    except ValueError as error:
        raise _bad(f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _bad("The body must be a JSON object")
    return value


def _loads(raw: bytes) -> Any:
    value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_without_twins)
    # Decoded UTF-8 holds no surrogate, so only an escape can have made a lone one.
    if b"\\ud" in raw or b"\\uD" in raw:
        _refuse_lone_surrogates(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:80]!r} is there twice")
        found[name] = value
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
