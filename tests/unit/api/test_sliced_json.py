"""JSON read in steps: the same as the `json` module reads, for what both take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.api import sliced_json
from swarmnode.api.sliced_json import MAX_CONTAINERS, MAX_DEPTH, MAX_VALUES, TooMuch, decode_utf8, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Single quotes, backslashes and surrogate pairs often, and what is spelled with an escape.
    | st.text(st.sampled_from('a"\\\n\t\x00\u2028\xe9\U0001f600') | st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)
LIKE_JSON = st.text(st.sampled_from('{}[]",:\\/ud8e0E1.2-+ \n\ttrufalsn\x01'), max_size=30)


@pytest.fixture(autouse=True, params=[None, 3], ids=["steps as they are", "tiny steps"])
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every boundary between two steps is met when a step is three characters."""
    if request.param:
        for name in ("_SPACE", "_PLAIN", "_ESCAPES", "_INTEGERS"):
            pattern = getattr(sliced_json, name).pattern
            small = pattern.replace(str(sliced_json.STEP), "3").replace(str(sliced_json.STEP_PARTS), "3")
            assert small != pattern
            monkeypatch.setattr(sliced_json, name, sliced_json.re.compile(small))
        monkeypatch.setattr(sliced_json, "STEP", 3)


@pytest.mark.usefixtures("steps")
@given(VALUES, st.booleans(), st.sampled_from([None, 0, 5]))
def test_it_reads_what_json_writes(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert read_json(text) == value
    assert repr(read_json(text)) == repr(json.loads(text))


@given(LIKE_JSON)
def test_what_looks_like_json_is_taken_and_refused_as_json_does(text: str) -> None:
    expected: Any
    try:
        expected = json.loads(text)
    except json.JSONDecodeError as error:
        expected = error
    try:
        found: Any = read_json(text)
    except json.JSONDecodeError as error:
        assert isinstance(expected, json.JSONDecodeError)
        assert error.pos <= len(text)
    except ValueError as error:  # what the json module lets pass and we do not
        assert "surrogate" in str(error) or "twice" in str(error)
    else:
        assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2,]",
        "[1 2]",
        '{"a"}',
        '{"a":1,}',
        "{,}",
        "[,]",
        "[1",
        '{"a":',
        '{"a":1',
        "01",
        "-",
        "1.",
        "1e",
        ".5",
    ]
    + ["", "  ", "1 2", '"abc', '"a\x01"', '"\\x"', "nul", "truex", "[1,2,", "[1, 02]", "\u00a01"],
)
def test_faults_have_the_words_and_place_that_json_gives_them(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as theirs:
        json.loads(text)
    with pytest.raises(json.JSONDecodeError) as ours:
        read_json(text)
    assert ours.value.pos == theirs.value.pos
    assert ours.value.msg.split()[0] == theirs.value.msg.split()[0]


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_what_json_lacks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a JSON number"):
        read_json(text)


@pytest.mark.parametrize(
    "text", ['"\\ud83d"', '"\\ude00"', '"x\\ud83d\\u0041"', '"\\ud83d\\ude00\\uD83D"', '{"\\udfff": 1}']
)
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        read_json(text)


def test_pairs_that_meet_the_end_of_a_step_stay_whole() -> None:
    for before in range(9):
        text = '"' + "\\n" * before + "\\ud83d\\ude00" * 9 + '"'
        assert read_json(text) == "\n" * before + "\U0001f600" * 9


def test_the_number_of_things_and_their_depth_are_bounded() -> None:
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(RecursionError):
        read_json("[" * (MAX_DEPTH + 1))
    with pytest.raises(RecursionError):
        read_json('{"a":' * (MAX_DEPTH + 1))
    with pytest.raises(TooMuch, match=f"more than {MAX_CONTAINERS} lists"):
        read_json("[" + "{}," * MAX_CONTAINERS)
    with pytest.raises(TooMuch, match=f"more than {MAX_VALUES} values"):
        read_json("[" + "1," * (MAX_VALUES + 1))


def test_a_number_of_any_length_is_an_error_of_its_own() -> None:
    with pytest.raises(ValueError, match="digits"):
        read_json("9" * 100_000)


@given(st.text(), st.binary(max_size=4))
def test_text_is_decoded_as_a_whole_decodes_it(text: str, more: bytes) -> None:
    raw = text.encode("utf-8", "surrogatepass") + more
    try:
        expected: Any = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        with pytest.raises(UnicodeDecodeError) as caught:
            decode_utf8(raw)
        assert (caught.value.start, caught.value.reason) == (error.start, error.reason)
    else:
        assert decode_utf8(raw) == expected
