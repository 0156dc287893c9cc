"""What is said over a stream of requests, in bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.swarm.frames import Tag, frame
from swarmnode.protocols.swarm.request_frames import (
    MAX_ERROR_CHARS,
    MAX_SECONDS,
    Cancel,
    Failure,
    Question,
    Result,
    Spoken,
    SpokenReader,
    encode,
)
from swarmnode.values.errors import LocalFault, PeerFault, Refused, Unavailable

ids = st.integers(1, 2**64 - 1)
payloads = st.none() | st.tuples(st.sampled_from([tag for tag in Tag if tag]), st.binary(max_size=200))


def with_payload(spoken: type, *args: object) -> st.SearchStrategy:
    def make(values: tuple, payload: tuple[Tag, bytes] | None) -> Spoken:
        return spoken(*values, *(payload or (None, None)))

    return st.builds(make, st.tuples(*args), payloads)


spoken = st.one_of(
    with_payload(Question, ids, st.text("abc_", max_size=20), st.integers(0, 600), st.binary(max_size=99)),
    with_payload(Result, ids, st.binary(max_size=99)),
    st.builds(Cancel, ids),
)


def read_all(data: bytes, cuts: int = 7, wants: bool = True) -> list[Spoken]:
    reader = SpokenReader(lambda spoken, tag: wants)
    found: list[Spoken] = []
    for position in range(0, len(data), cuts):
        found += reader.feed(data[position : position + cuts])
    assert reader.at_boundary
    return found


@given(st.lists(spoken, max_size=5), st.integers(1, 300))
def test_what_is_said_is_heard(said: list[Spoken], cuts: int) -> None:
    assert read_all(b"".join(b"".join(encode(one)) for one in said), cuts) == said


@given(st.binary(max_size=1500), st.integers(1, 100))
def test_whatever_comes_ends_in_words_or_a_named_fault(data: bytes, cuts: int) -> None:
    reader = SpokenReader(lambda spoken, tag: True)
    try:
        for position in range(0, len(data), cuts):
            reader.feed(data[position : position + cuts])
            assert reader.pending <= len(data)
    except PeerFault as error:
        assert error.code in ("bad_frame", "frame_too_large", "bad_message")


@given(st.binary(max_size=300))
def test_whatever_a_control_holds_is_heard_or_a_named_fault(body: bytes) -> None:
    try:
        heard = SpokenReader(lambda spoken, tag: True).feed(frame(Tag.CONTROL, body))
    except PeerFault as error:
        assert error.code in ("bad_message", "bad_frame")
    else:
        assert len(heard) <= 1


def test_a_payload_nobody_wants_is_dropped_as_it_comes() -> None:
    said = Question(1, "k", 5.0, b"x", Tag.BULK, bytes(1000))
    chunks = encode(said)
    reader = SpokenReader(lambda spoken, tag: False)
    assert reader.feed(b"".join(chunks)[:-1]) == []
    assert reader.pending == 0
    assert reader.feed(b"\0") == [Question(1, "k", 5.0, b"x", Tag.BULK, None)]


def test_controls_of_the_future_are_passed_over_with_their_payloads() -> None:
    known = b"".join(encode(Cancel(7)))
    # Field 15, of a kind that is not known, in a control that brings 3 bytes of bulk with it.
    future = frame(Tag.CONTROL, b"\x08\x07\x10\x03\x7a\x02hi") + frame(Tag.BULK, b"abc")
    assert read_all(future + known) == [Cancel(7)]


@pytest.mark.parametrize(
    "data",
    [
        frame(Tag.BULK, b"x"),
        frame(Tag.CONTROL, b"\x08\x01\x10\x03\x32\x00") + frame(Tag.TENSOR, b"x"),
        frame(Tag.CONTROL, b"\x08\x01\x10\x7f\x32\x00"),
    ],
    ids=["unannounced", "another tag", "unknown tag"],
)
def test_raw_bytes_come_only_as_announced(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        SpokenReader(lambda spoken, tag: True).feed(data)
    assert caught.value.code == "bad_frame"


def test_errors_keep_their_words_and_none_is_a_proof_of_guilt() -> None:
    for error, kind in (
        (Refused("no", code="a", hint="try b"), Refused),
        (Unavailable("later", code="b"), Unavailable),
        (PeerFault("a third one lied", code="c"), Unavailable),
    ):
        (heard,) = read_all(b"".join(encode(Failure(3, error))))
        assert isinstance(heard, Failure)
        assert type(heard.error) is kind
        assert (heard.error.message, heard.error.code, heard.error.hint) == (
            error.message,
            error.code,
            error.hint,
        )


def test_what_broke_here_is_not_told_to_strangers() -> None:
    (heard,) = read_all(b"".join(encode(Failure(3, LocalFault("/home/ada/key", code="disk", hint="see")))))
    assert isinstance(heard, Failure)
    assert type(heard.error) is Unavailable
    assert heard.error.code == "disk"
    assert "ada" not in heard.error.message + heard.error.hint


def test_errors_are_cut_and_cleaned() -> None:
    (heard,) = read_all(b"".join(encode(Failure(3, Refused("\x1b[31m" + "x" * 5000, code="a")))))
    assert isinstance(heard, Failure)
    assert len(heard.error.message) <= MAX_ERROR_CHARS
    assert "\x1b" not in heard.error.message


def test_no_deadline_is_longer_than_allowed() -> None:
    (heard,) = read_all(b"".join(encode(Question(1, "k", 1e9, b""))))
    assert isinstance(heard, Question)
    assert heard.seconds == MAX_SECONDS
