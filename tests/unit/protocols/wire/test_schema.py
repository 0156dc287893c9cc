"""Protobuf classes from tables: the bytes are protobuf's, and hostile ones end in a named error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault

WIRE = schema(
    "test_of_schema",
    Inner={"text": "1 string"},
    Outer={
        "number": "1 int32",
        "text": "2 string",
        "inner": "3 Inner",
        "many": "4 repeated int32",
        "inners": "5 repeated Inner",
        "data": "6 bytes",
        "self": "7 Outer",
    },
)


def test_the_bytes_are_those_of_the_encoding_document() -> None:
    """protobuf.dev, "Encoding": the three messages with which it begins."""
    assert WIRE.Outer(number=150).SerializeToString().hex() == "089601"
    assert WIRE.Outer(text="testing").SerializeToString().hex() == "120774657374696e67"
    assert WIRE.Outer(inner=WIRE.Inner(text="a")).SerializeToString().hex() == "1a030a0161"


def test_repeated_numbers_are_written_apart_and_read_both_ways() -> None:
    """As proto2 writes them: the messages of libp2p are proto2."""
    assert WIRE.Outer(many=[1, 2]).SerializeToString().hex() == "20012002"
    assert list(WIRE.Outer.FromString(bytes.fromhex("22020102")).many) == [1, 2]


def test_a_field_that_is_not_there_is_told_from_an_empty_one() -> None:
    assert not WIRE.Outer.FromString(b"").HasField("number")
    message = WIRE.Outer.FromString(WIRE.Outer(number=0, text="").SerializeToString())
    assert message.HasField("number")
    assert message.HasField("text")


def test_unknown_fields_are_passed_over() -> None:
    assert parse(WIRE.Inner, b"\x98\x06\x01\x0a\x01x", "It").text == "x"


def test_two_tables_may_use_the_same_names() -> None:
    one, two = schema("test_twins_a", M={"x": "1 int32"}), schema("test_twins_b", M={"x": "1 bytes"})
    assert one.M(x=1).SerializeToString() != two.M(x=b"1").SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        b"\x12\x02\xff\xfe",
        b"\x1a\x03\x0a\x01\xff",
        b"\x0a",
        b"\x12\x05abc",
        b"\x0f",
        b"\x00",
        b"\x3a\x02" * 5,
    ],
)
def test_ill_formed_messages_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(PeerFault, match="^The greeting is not well formed") as caught:
        parse(WIRE.Outer, data, "The greeting")
    assert caught.value.code == "bad_message"


def test_endless_nesting_is_refused() -> None:
    data = b""
    for _ in range(500):
        data = b"\x3a" + _varint(len(data)) + data
    with pytest.raises(PeerFault):
        parse(WIRE.Outer, data, "It")


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_end_in_a_message_of_the_right_types_or_a_named_error(data: bytes) -> None:
    try:
        message = parse(WIRE.Outer, data, "It")
    except PeerFault as error:
        assert error.code == "bad_message"
        return
    assert isinstance(message.text, str)
    assert isinstance(message.inner.text, str)
    assert all(isinstance(inner.text, str) for inner in message.inners)
    assert isinstance(message.data, bytes)
