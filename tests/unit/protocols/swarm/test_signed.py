"""Signed gossip: what is said is what was signed, by whom, where and when."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.identity.envelope import seal
from swarmnode.protocols.identity.fields import decode_fields, encode_fields
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.messages import KINDS
from swarmnode.protocols.swarm.signed import (
    MAX_AGE,
    MAX_AHEAD,
    OVERHEAD,
    UNKNOWN_LIMIT,
    open_message,
    read_body,
    sign_message,
)
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import peer_id

NOW = 1_800_000_000
NICKNAME = KINDS["nickname"]
TOPIC = "swarm/identity"


def signer(number: int) -> Signer:
    key = SigningKey(sha256(b"signed %d" % number).digest())
    return Signer(key.verify_key.encode(), lambda message: key.sign(message).signature)


ADA, BOB = signer(1), signer(2)
ADA_ID = peer_id(ADA.public_key)


def signed(stamp: int = NOW, topic: str = TOPIC, by: Signer = ADA, claims: str = ADA_ID) -> bytes:
    body = NICKNAME.new(peer=claims, nickname="ada").SerializeToString()
    return sign_message(by, NICKNAME, topic, body, stamp=stamp, sequence=7)


def code(envelope: bytes, stamp: float = NOW, topic: str = TOPIC) -> str:
    with pytest.raises(PeerFault) as caught:
        read_body(open_message(envelope, topic, stamp), NICKNAME)
    return caught.value.code


def test_what_was_signed_is_read() -> None:
    envelope = signed()
    message = open_message(envelope, TOPIC, NOW + 3)
    assert (message.kind, message.sender, message.stamp, message.sequence) == ("nickname", ADA_ID, NOW, 7)
    assert message.envelope is envelope
    assert read_body(message, NICKNAME).nickname == "ada"
    assert len(envelope) - len(message.body) <= OVERHEAD


def test_the_signature_is_what_a_libp2p_envelope_says() -> None:
    """RFC 0002, checked without our own code for envelopes."""
    fields = decode_fields(signed())
    parts = (b"swarmnode/nickname/1", b"/swarmnode/nickname", fields[3])
    assert fields[2] == parts[1]
    unsigned = b"".join(bytes([len(part)]) + part for part in parts)
    SigningKey(sha256(b"signed 1").digest()).verify_key.verify(unsigned, fields[5])


@pytest.mark.parametrize("age", [MAX_AGE, 0, -MAX_AHEAD])
def test_messages_are_fresh_for_five_minutes(age: int) -> None:
    assert open_message(signed(), TOPIC, NOW + age).stamp == NOW


@pytest.mark.parametrize("age", [MAX_AGE + 1, -MAX_AHEAD - 1, -NOW])
def test_what_is_old_or_of_the_future_is_stale(age: int) -> None:
    assert code(signed(), NOW + age) == "stale"


def test_who_signs_for_somebody_else_is_a_forger() -> None:
    assert code(signed(by=BOB)) == "signature_violation"


def test_a_message_stays_on_its_topic_and_in_its_network() -> None:
    assert code(signed(), topic="swarm/health") == "invalid_gossip"
    assert code(signed(), topic="swarm/0123456789abcdef/identity") == "invalid_gossip"


def test_one_kind_is_never_taken_for_another() -> None:
    """The payload type is signed, and so is the domain that follows from it."""
    fields = decode_fields(signed())
    fields[2] = b"/swarmnode/capability"
    assert code(encode_fields(fields.items())) == "signature_violation"
    payload = fields[3]
    assert isinstance(payload, bytes)
    wrong_domain = seal(ADA.public_key, ADA.sign, b"swarmnode/other/1", b"/swarmnode/nickname", payload)
    assert code(wrong_domain) == "signature_violation"


@pytest.mark.parametrize(
    "name", [b"/libp2p/x", b"/swarmnode/", b"/swarmnode/A b", b"/swarmnode/" + b"x" * 49]
)
def test_a_payload_type_that_is_none_of_ours(name: bytes) -> None:
    assert code(seal(ADA.public_key, ADA.sign, b"swarmnode/x/1", name, b"")) == "invalid_gossip"


def test_a_kind_that_is_not_known_is_checked_like_any_other() -> None:
    def unknown(size: int) -> bytes:
        payload = encode_fields(((1, NOW), (2, 1), (3, TOPIC.encode()), (4, bytes(size))))
        return seal(ADA.public_key, ADA.sign, b"swarmnode/novelty/1", b"/swarmnode/novelty", payload)

    assert open_message(unknown(10), TOPIC, NOW).kind == "novelty"
    assert code(unknown(UNKNOWN_LIMIT + 1)) == "invalid_gossip"


def test_nothing_too_long_is_signed_or_read() -> None:
    with pytest.raises(Refused):
        sign_message(ADA, NICKNAME, TOPIC, bytes(NICKNAME.limit + 1), stamp=NOW, sequence=1)
    payload = encode_fields(((1, NOW), (2, 1), (3, TOPIC.encode()), (4, bytes(NICKNAME.limit + 1))))
    long = seal(ADA.public_key, ADA.sign, b"swarmnode/nickname/1", b"/swarmnode/nickname", payload)
    assert code(long) == "invalid_gossip"
    assert code(bytes(1 << 20)) == "invalid_gossip"


@given(st.binary(max_size=400))
def test_whatever_comes_is_a_named_fault(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        open_message(data, TOPIC, NOW)
    assert caught.value.code in ("invalid_gossip", "signature_violation")


@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject) -> None:
    envelope = bytearray(signed())
    at = data.draw(st.integers(0, len(envelope) - 1))
    envelope[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PeerFault):
        open_message(bytes(envelope), TOPIC, NOW)


@given(st.integers(0, 400))
def test_no_part_is_taken_for_the_whole(size: int) -> None:
    envelope = signed()
    if size < len(envelope):
        with pytest.raises(PeerFault):
            open_message(envelope[:size], TOPIC, NOW)
