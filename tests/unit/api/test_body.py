"""Bodies: every way in which JSON can be wrong is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.api.body import parse_object
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
    (b'{"a": [' + b"{}," * 1_000_000 + b"{}]}", "more than 1000000 `{`"),
    (b'{"a": [' + b"0," * 6_000_001 + b"0]}", "more than 6000000 `,`"),
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


@pytest.mark.parametrize(("body", "says"), WRONG, ids=[says for _, says in WRONG])
def test_wrong_bodies_are_named(body: bytes, says: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_object(body)
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
