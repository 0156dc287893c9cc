"""Peer exchange as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.identify.peer_exchange import (
    MAX_ANSWER_BYTES,
    MAX_PEERS,
    AnswerReader,
    QuestionReader,
    TradedPeer,
    encode_answer,
    encode_question,
)
from swarmnode.protocols.wire.framing import framed
from swarmnode.testing.fake_host import fake_key, signer_of
from swarmnode.values.errors import PeerFault
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

PEERS = [peer_id(signer_of(fake_key(n)).public_key) for n in range(30)]
HERE = Multiaddr.parse("/ip4/10.0.0.1/tcp/8810")
BAD = ("bad_message", "bad_frame", "oversized_message")


def test_a_question_comes_back_and_asks_for_no_more_than_allowed() -> None:
    for data, expected in (
        (encode_question(3), 3),
        (encode_question(999), MAX_PEERS),
        (framed(b""), MAX_PEERS),
    ):
        reader = QuestionReader()
        assert [reader.feed(data[i : i + 1]) for i in range(len(data))][-1] is True
        assert reader.finish() == expected


def test_an_answer_comes_back() -> None:
    peers = (TradedPeer(PEERS[0], (HERE,)), TradedPeer(PEERS[1], (), b"record"))
    reader = AnswerReader()
    assert reader.feed(encode_answer(peers)) is True
    assert reader.finish() == peers


def test_addresses_are_not_told_beside_a_record() -> None:
    reader = AnswerReader()
    reader.feed(encode_answer([TradedPeer(PEERS[0], (HERE,), b"record")]))
    assert reader.finish() == (TradedPeer(PEERS[0], (), b"record"),)


def test_an_answer_keeps_to_its_size() -> None:
    assert len(encode_answer([TradedPeer(peer, (HERE,)) for peer in PEERS])) < 2000
    data = encode_answer([TradedPeer(peer, (), b"x" * 8000) for peer in PEERS])
    assert MAX_ANSWER_BYTES - 8100 < len(data) <= MAX_ANSWER_BYTES + 3
    reader = AnswerReader()
    assert reader.feed(data)
    assert len(reader.finish()) == 8


def test_addresses_of_others_are_left_out() -> None:
    entry = TradedPeer(PEERS[0], (HERE.with_peer(PEERS[1]), HERE))
    reader = AnswerReader()
    reader.feed(encode_answer([entry, entry]))
    assert reader.finish() == (TradedPeer(PEERS[0], (HERE,)),)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode_answer([TradedPeer(PEERS[0], (HERE,))])[:-1],
        encode_answer([]) * 2,
        encode_answer([]) + b"\x05a",
        framed(b"\x0a\x03\x0a\x01x"),  # no peer id
        framed(b"\x0a\x00"),  # none at all
        framed(b"\x0a\xff"),
        b"\xff\xff\xff\x7f",
        framed(encode_answer([TradedPeer(PEERS[0])])[1:] * (MAX_PEERS + 1)),
    ],
)
def test_bad_answers_are_refused_by_name(data: bytes) -> None:
    reader = AnswerReader()
    with pytest.raises(PeerFault) as refusal:
        reader.feed(data)
        reader.finish()
    assert refusal.value.code in BAD


def test_a_question_is_short() -> None:
    with pytest.raises(PeerFault):
        QuestionReader().feed(framed(bytes(65)))


@given(st.binary(max_size=200))
def test_noise_is_refused_by_name_or_read(data: bytes) -> None:
    for reader in (AnswerReader(), QuestionReader(), AnswerReader(), QuestionReader()):
        try:
            reader.feed(data)
            reader.finish()
        except PeerFault as error:
            assert error.code in BAD
        data = framed(data)[:300]
