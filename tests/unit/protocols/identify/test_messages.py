"""Identify as bytes: what others send, what is cut off, what is too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.identify.messages import (
    MAX_ADDRESSES,
    MAX_ANSWER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES,
    MAX_PROTOCOLS,
    MAX_TEXT_BYTES,
    Identification,
    IdentificationReader,
    check_public_key,
    encode_identification,
)
from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.values.errors import PeerFault
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import encode_public_key, peer_id, peer_id_of_encoded

KEY = bytes(range(32))
PEER = peer_id(KEY)
HERE = Multiaddr.parse("/ip4/10.0.0.1/tcp/8810")
SAID = Identification(
    public_key=encode_public_key(KEY),
    addresses=(HERE, Multiaddr.parse("/dns4/example.org/tcp/4001")),
    protocols=("/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"),
    observed=Multiaddr.parse("/ip4/8.8.8.8/tcp/1"),
    protocol_version="swarmnode/1",
    agent="swarmnode/0.1.0",
    record=b"record",
)


def read(data: bytes) -> Identification:
    reader = IdentificationReader()
    reader.feed(data)
    return reader.finish()


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def test_golden_bytes() -> None:
    """The fields and numbers of the specification, put together by hand."""
    message = field(1, b"\x08\x01\x12\x20" + KEY)
    message += field(2, b"\x04\x0a\0\0\x01\x06\x22\x6a") + field(2, b"\x36\x0bexample.org\x06\x0f\xa1")
    message += field(3, b"/ipfs/id/1.0.0") + field(3, b"/ipfs/ping/1.0.0")
    message += field(4, b"\x04\x08\x08\x08\x08\x06\0\x01")
    message += field(5, b"swarmnode/1") + field(6, b"swarmnode/0.1.0") + field(8, b"record")
    assert encode_identification(SAID) == framed(message)


def test_it_comes_back_however_it_is_cut() -> None:
    data = encode_identification(SAID)
    assert read(data) == SAID
    reader = IdentificationReader()
    complete = [reader.feed(data[index : index + 1]) for index in range(len(data))]
    assert reader.finish() == SAID
    # Nothing follows the record.
    assert complete == [False] * (len(data) - 1) + [True]
    assert IdentificationReader().feed(encode_identification(Identification(agent="x"))) is False


def test_what_is_too_long_for_one_message_comes_in_two() -> None:
    many = tuple(Multiaddr.parse(f"/ip6/2001:db8::{n:x}/tcp/8810") for n in range(1, 33))
    protocols = tuple(sorted(f"/swarmnode/{n:03d}/{'x' * 20}" for n in range(200)))
    said = Identification(addresses=many, protocols=protocols, record=b"r" * 2000)
    data = encode_identification(said)
    frames = Frames(1 << 20, "test").feed(data)
    assert len(frames) == 2
    assert max(map(len, frames)) <= MAX_MESSAGE_BYTES
    assert read(data) == said


def test_fields_that_are_not_there_are_empty() -> None:
    assert read(framed(b"")) == Identification()


def test_messages_are_merged() -> None:
    parts = [Identification(protocols=("/a",)), Identification(agent="x"), Identification(protocols=("/b",))]
    assert read(b"".join(map(encode_identification, parts))) == Identification(
        protocols=("/a", "/b"), agent="x"
    )


def test_addresses_of_unknown_kinds_and_odd_texts_are_left_out() -> None:
    message = (
        field(2, b"\xff\xff\x03abc")
        + field(2, HERE.to_bytes())
        + field(2, HERE.to_bytes())
        + field(4, b"\x01")
    )
    message += field(3, b"/\xff") + field(3, b"/a\n") + field(3, b"") + field(3, b"/ok")
    message += field(6, b"ev\x1b[31mil\xff") + b"\x7a\x01z"  # and a field of a later version
    said = read(framed(message))
    assert said == Identification(
        addresses=(HERE,), protocols=("/ok",), agent="ev?[31mil\N{REPLACEMENT CHARACTER}"
    )


def test_more_than_is_kept_is_left_out() -> None:
    addresses = tuple(Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{n + 1}") for n in range(500))
    protocols = tuple(f"/{n}" for n in range(2000))
    said = read(encode_identification(Identification(b"", addresses, protocols, agent="x" * 1000)))
    assert said.addresses == addresses[:MAX_ADDRESSES]
    assert said.protocols == protocols[:MAX_PROTOCOLS]
    assert said.agent == "x" * MAX_TEXT_BYTES


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_message"),
        (encode_identification(SAID)[:-1], "bad_message"),
        (framed(b"\x0a\x7fshort"), "bad_message"),
        (framed(b"\xff\xff"), "bad_message"),
        (b"\xff\xff\xff\x7f", "bad_frame"),
        (framed(b"") * (MAX_MESSAGES + 1), "oversized_message"),
        (framed(field(6, b"x" * 100)) * 2 + bytes(MAX_ANSWER_BYTES), "oversized_message"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, code: str) -> None:
    with pytest.raises(PeerFault) as refusal:
        read(data)
    assert refusal.value.code == code


@given(st.binary(max_size=200))
def test_noise_is_refused_by_name_or_read(data: bytes) -> None:
    for noise in (data, framed(data)):
        try:
            read(noise)
        except PeerFault as error:
            assert error.code in ("bad_message", "bad_frame", "oversized_message")


def test_the_key_must_be_the_one_of_the_connection() -> None:
    check_public_key(SAID, PEER)
    check_public_key(Identification(), PEER)
    long_key = b"\x08\x00\x12\x80\x02" + bytes(256)
    check_public_key(Identification(public_key=long_key), peer_id_of_encoded(long_key))
    for key, peer in ((SAID.public_key, peer_id(bytes(32))), (long_key, PEER), (b"x", PEER)):
        with pytest.raises(PeerFault) as refusal:
            check_public_key(Identification(public_key=key), peer)
        assert refusal.value.code == "wrong_identity"
