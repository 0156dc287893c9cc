"""Bodies: every way in which JSON can be wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from swarmnode.api.body import SMALL_BODY_BYTES, BodyReader, parse_object
from swarmnode.values.errors import Refused

WRONG = [
    (b"", "column 1"),
    (b"{", "column 2"),
    (b'{"a": 1,}', "line 1, column"),
    (b'{\n "a": tru}', "line 2, column 7"),
    (b"[]", "must be a JSON object"),
    (b'"x"', "must be a JSON object"),
    (b"null", "must be a JSON object"),
    (b'{"a": NaN}', "NaN"),
    (b'{"a": Infinity}', "Infinity"),
    (b'{"a": [-Infinity]}', "-Infinity"),
    (b'{"a": [' + b"{}," * 65_536 + b"{}]}", "more than 65536 lists and objects"),
    (b'{"a": [' + b"0," * 2_097_152 + b"0]}", "more than 2097152 values"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    (b'{"a": 1, "a": 2}', "'a' is there twice"),
    (b'{"a": {"b": 1, "b": 1}}', "'b' is there twice"),
    (b'{"a": "\\ud800"}', "surrogate"),
    (b'{"\\uDFFF": 1}', "surrogate"),
    (b'{"a": ["x", {"b": "\\ud83d!"}]}', "surrogate"),
    (b'{"a": "\xff"}', "byte 7"),
    (b'{"a": "\xed\xa0\x80"}', "UTF-8"),
    (b"\xff\xfe{\x00}\x00", "UTF-8"),
    (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deeply"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too deeply"),
]


LARGE = b" " * SMALL_BODY_BYTES


@pytest.mark.parametrize("before", [b"", LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("body", "says"), WRONG, ids=[says for _, says in WRONG])
def test_wrong_bodies_are_named(body: bytes, says: str, before: bytes) -> None:
    if before:
        says = {"column 1": "column", "column 2": "column", "byte 7": f"byte {len(before) + 7}"}.get(
            says, says
        )
    with pytest.raises(Refused) as caught:
        parse_object(body if "line 2" in says else before + body)
    assert caught.value.code == "invalid_json"
    assert says in caught.value.message


def test_good_bodies() -> None:
    assert parse_object('{"a": "é😀\\ud83d\\ude00", "b": [1.5, {"c": null}]}'.encode()) == {
        "a": "é😀😀",
        "b": [1.5, {"c": None}],
    }


@given(st.binary(max_size=200))
def test_whatever_comes_only_a_refusal_comes_out(body: bytes) -> None:
    try:
        assert isinstance(parse_object(body), dict)
    except Refused as error:
        assert error.code == "invalid_json"


@given(st.text(alphabet='{}[]",:\\ud8e0123456789 null', max_size=60))
def test_whatever_looks_like_json_too(body: str) -> None:
    try:
        assert isinstance(parse_object(body.encode("utf-8", "replace")), dict)
    except Refused as error:
        assert error.code == "invalid_json"


class Request:
    """What a reader needs of a request."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.held = True

    def body(self) -> bytes:
        return self._body

    def forget_body(self) -> None:
        self.held = False


class Elsewhere:
    """Keeps the work that was deferred until the test does it."""

    def __init__(self) -> None:
        self.work: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.work.append((work, done))
        return done

    def do(self) -> None:
        work, done = self.work.pop(0)
        done.callback(work())


def names(body: dict[str, Any]) -> list[str]:
    return list(body)


def test_a_small_body_is_read_at_once() -> None:
    elsewhere, request, read = Elsewhere(), Request(b'{"a": 1}'), list[Any]()
    BodyReader(elsewhere).read(request, names).addCallback(read.append)
    assert (read, elsewhere.work, request.held) == ([["a"]], [], False)


def test_large_bodies_are_read_elsewhere_one_at_a_time_and_held_until_then() -> None:
    elsewhere, read = Elsewhere(), list[Any]()
    requests = [Request(LARGE + body) for body in (b'{"a": 1}', b'{"b": 1}')]
    reader = BodyReader(elsewhere)
    for request in requests:
        reader.read(request, names).addCallback(read.append)
    assert (read, len(elsewhere.work), [one.held for one in requests]) == ([], 1, [True, True])
    elsewhere.do()
    assert (read, len(elsewhere.work), [one.held for one in requests]) == ([["a"]], 1, [False, True])
    elsewhere.do()
    assert (read, len(elsewhere.work), [one.held for one in requests]) == ([["a"], ["b"]], 0, [False, False])


def test_a_large_body_whose_client_has_left_is_not_read() -> None:
    elsewhere, failures = Elsewhere(), list[Any]()
    reader = BodyReader(elsewhere)
    reader.read(Request(LARGE + b"{}"), names)
    left = Request(LARGE + b"{}")
    waiting = reader.read(left, names).addErrback(failures.append)
    waiting.cancel()
    elsewhere.do()
    assert failures[0].check(CancelledError)
    assert (elsewhere.work, left.held) == ([], False)


def test_what_is_wrong_with_a_body_is_told_to_its_reader_and_the_next_is_read() -> None:
    elsewhere, told = Elsewhere(), list[Any]()
    reader = BodyReader(lambda work: elsewhere(lambda: _caught(work)).addCallback(_raised))
    reader.read(Request(LARGE + b"["), names).addErrback(told.append)
    reader.read(Request(LARGE + b'{"b": 1}'), names).addCallback(told.append)
    elsewhere.do()
    elsewhere.do()
    assert told[0].value.code == "invalid_json"
    assert told[1] == ["b"]


def _caught(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Refused as error:
        return error


def _raised(result: Any) -> Any:
    if isinstance(result, Refused):
        raise result
    return result
