"""Signed envelopes and hand-overs, read with Google's protobuf and checked with `cryptography`."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.identity.envelope import open_envelope, seal
from swarmnode.protocols.identity.fields import (
    decode_fields,
    decode_varint,
    encode_fields,
    encode_varint,
)
from swarmnode.protocols.identity.handover import DOMAIN, Signer, make_handover, verify_handover
from swarmnode.values.errors import PeerFault
from swarmnode.values.peer_id import encode_public_key


def signer(seed: int) -> Signer:
    key = SigningKey(bytes([seed]) * 32)
    return Signer(bytes(key.verify_key), lambda message: bytes(key.sign(message).signature))


def envelope_class() -> Any:
    """The messages of RFC 0002 and of peer-ids, as protobuf itself builds them."""
    file = descriptor_pb2.FileDescriptorProto(name="envelope.proto", package="check", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    key = file.message_type.add(name="PublicKey")
    key.field.add(name="Type", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    key.field.add(name="Data", number=2, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    envelope = file.message_type.add(name="Envelope")
    envelope.field.add(
        name="public_key",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".check.PublicKey",
        label=field.LABEL_OPTIONAL,
    )
    for name, number in (("payload_type", 2), ("payload", 3), ("signature", 5)):
        envelope.field.add(name=name, number=number, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("check.Envelope"))


def test_protobuf_reads_our_envelope_and_writes_the_same_bytes():
    alice = signer(1)
    data = seal(alice.public_key, alice.sign, b"a/domain", b"/type", b"payload")
    message = envelope_class().FromString(data)
    assert (message.public_key.Type, message.public_key.Data) == (1, alice.public_key)
    assert (message.payload_type, message.payload) == (b"/type", b"payload")
    assert message.SerializeToString(deterministic=True) == data
    signed = b"\x08a/domain" + b"\x05/type" + b"\x07payload"
    Ed25519PublicKey.from_public_bytes(alice.public_key).verify(message.signature, signed)


def test_an_envelope_holds_for_its_domain_only():
    alice = signer(1)
    data = seal(alice.public_key, alice.sign, b"one", b"/type", b"payload")
    assert open_envelope(data, b"one").payload == b"payload"
    with pytest.raises(PeerFault) as caught:
        open_envelope(data, b"two")
    assert caught.value.code == "bad_signature"


def test_a_handover_says_who_follows_whom():
    handover = make_handover(signer(1), signer(2), 7, 1_700_000_000)
    assert verify_handover(handover.statement) == handover
    assert (handover.old_key, handover.new_key) == (signer(1).public_key, signer(2).public_key)
    assert (handover.sequence, handover.stamp) == (7, 1_700_000_000)


def test_both_keys_must_have_signed():
    first = decode_fields(make_handover(signer(1), signer(2), 1, 0).statement)
    other = decode_fields(make_handover(signer(3), signer(2), 1, 0).statement)
    for by_old, by_new in (
        (first[1], other[2]),
        (first[1], first[1]),
        (first[2], first[2]),
        (first[2], first[1]),
    ):
        with pytest.raises(PeerFault):
            verify_handover(encode_fields(((1, by_old), (2, by_new))))
    with pytest.raises(PeerFault):
        verify_handover(encode_fields(((1, first[1]),)))


def test_a_stranger_cannot_name_himself_the_successor():
    old, new, thief = signer(1), signer(2), signer(9)
    payload = encode_fields(
        ((1, encode_public_key(old.public_key)), (2, encode_public_key(new.public_key)), (3, 1), (4, 0))
    )
    kind = b"/swarmnode/identity-handover"
    forged = [seal(s.public_key, s.sign, DOMAIN, kind, payload) for s in (old, thief)]
    with pytest.raises(PeerFault):
        verify_handover(encode_fields(((1, forged[0]), (2, forged[1]))))


def test_a_handover_to_oneself_is_refused():
    with pytest.raises(PeerFault):
        make_handover(signer(1), signer(1), 1, 0)


def test_no_changed_or_cut_statement_passes():
    statement = make_handover(signer(1), signer(2), 1, 1_700_000_000).statement
    for position in range(len(statement)):
        with pytest.raises(PeerFault):
            verify_handover(statement[:position])
        changed = bytearray(statement)
        changed[position] ^= 0x40
        with pytest.raises(PeerFault):
            verify_handover(bytes(changed))


@given(st.binary(max_size=300))
def test_noise_is_a_named_fault(data: bytes):
    for read in (verify_handover, lambda d: open_envelope(d, b"x")):
        with pytest.raises(PeerFault):
            read(data)


@given(st.integers(0, 2**63 - 1), st.binary(max_size=5))
def test_varints_come_back(value: int, rest: bytes):
    encoded = encode_varint(value)
    assert decode_varint(encoded + rest, 0) == (value, len(encoded))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", b"\xff" * 9 + b"\x01"])
def test_other_spellings_of_a_number_are_refused(data: bytes):
    with pytest.raises(PeerFault):
        decode_varint(data, 0)
