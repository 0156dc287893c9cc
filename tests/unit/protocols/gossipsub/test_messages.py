"""Signed messages: golden bytes made with another library, and everything that may be wrong with one."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from swarmnode.protocols.gossipsub.messages import (
    SIGN_PREFIX,
    checked_topic,
    make_message,
    raw_id,
    verified,
)
from swarmnode.protocols.gossipsub.rpc import PUBSUB
from swarmnode.protocols.identity.fields import encode_fields
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import encode_public_key, peer_id, peer_id_bytes, peer_id_of_encoded

KEY = SigningKey(bytes(range(32)))
PEER = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
SEQNO = 1_700_000_000_000_000_001
# Written field by field and signed with `cryptography`, not with the code under test.
GOLDEN_BODY = bytes.fromhex(
    "0a2600240801122003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    "120b68656c6c6f20737761726d1a0817979cfe362a0001220c737761726d2f6d6f64656c73"
)
GOLDEN_SIGNATURE = bytes.fromhex(
    "d087aa0d54cf4a8fd1ef0f66dad7c6b919f3de2e95bcfee233981e09ad15e026"
    "4e6385d79f5ccffb8da5860a6e22ccfe25c762bc729f564e35f2664cc8e96d0b"
)
GOLDEN = GOLDEN_BODY + b"\x2a\x40" + GOLDEN_SIGNATURE


def sign(data: bytes) -> bytes:
    return KEY.sign(data).signature


def raw(encoded: bytes) -> Any:
    return PUBSUB.Message.FromString(encoded)


def altered(**fields: Any) -> Any:
    message = raw(GOLDEN)
    for name, value in fields.items():
        if value is None:
            message.ClearField(name)
        else:
            setattr(message, name, value)
    return message


def test_our_message_is_the_golden_one() -> None:
    message = make_message(PEER, sign, SEQNO, "swarm/models", b"hello swarm")
    assert message.encoded == GOLDEN
    assert message.id == bytes.fromhex("00240801") + GOLDEN_BODY[6:40] + SEQNO.to_bytes(8, "big")
    assert peer_id(bytes(KEY.verify_key)) == PEER


def test_another_library_verifies_our_signature() -> None:
    message = raw(make_message(PEER, sign, 7, "a topic", b"\x00\xff").encoded)
    body = PUBSUB.Message.FromString(message.SerializeToString())
    body.ClearField("signature")
    key = Ed25519PublicKey.from_public_bytes(bytes(KEY.verify_key))
    key.verify(message.signature, b"libp2p-pubsub:" + body.SerializeToString())
    assert not message.HasField("key")


def test_the_golden_message_is_read() -> None:
    message = verified(raw(GOLDEN))
    assert (message.source, message.topic, message.data) == (PEER, "swarm/models", b"hello swarm")
    assert message.encoded == GOLDEN
    assert message.id == raw_id(raw(GOLDEN)) == make_message(PEER, sign, SEQNO, "x", b"").id


def test_a_key_that_is_sent_although_the_id_holds_it_is_kept() -> None:
    # js-libp2p does so; the signature does not cover it.
    encoded_key = encode_public_key(bytes(KEY.verify_key))
    message = verified(altered(key=encoded_key))
    assert message.source == PEER
    assert message.encoded == GOLDEN + b"\x32" + bytes([len(encoded_key)]) + encoded_key


@pytest.mark.parametrize(
    "change",
    [
        {"data": b"hello swarM"},
        {"data": None},
        {"seqno": bytes(8)},
        {"seqno": bytes(7)},
        {"seqno": None},
        {"topic": "swarm/health"},
        {"topic": ""},
        {"topic": "x" * 257},
        {"from": None},
        {"from": b"\x00\x24" + bytes(36)},
        {"from": b"nobody"},
        {"from": b"\x00\x24\x08\x01\x12\x20" + bytes(SigningKey(bytes(32)).verify_key)},
        {"signature": None},
        {"signature": bytes(64)},
        {"signature": GOLDEN_SIGNATURE[:63]},
        {"signature": GOLDEN_SIGNATURE + b"\0"},
        {"key": b"\x08\x01"},
        {"key": encode_public_key(bytes(SigningKey(bytes(32)).verify_key))},
    ],
    ids=str,
)
def test_what_was_changed_is_refused(change: dict[str, Any]) -> None:
    message = altered(**{k: v for k, v in change.items() if k != "from"})
    if "from" in change:
        message.ClearField("from")
        if change["from"] is not None:
            setattr(message, "from", change["from"])
    with pytest.raises(PeerFault) as caught:
        verified(message)
    assert caught.value.code == "bad_message"


def test_empty_data_written_down_is_not_the_same_as_none() -> None:
    for body in ([(2, b"")], []):
        source = GOLDEN_BODY[2:40]
        fields = [(1, source), *body, (3, bytes(8)), (4, b"t")]
        signature = sign(SIGN_PREFIX + encode_fields(fields))
        message = verified(raw(encode_fields([*fields, (5, signature)])))
        assert message.data == b""
        assert message.encoded == encode_fields([*fields, (5, signature)])


def test_authors_with_other_kinds_of_keys_are_verified() -> None:
    key = ec.derive_private_key(12345, ec.SECP256R1())
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    encoded_key = encode_fields([(1, 3), (2, der)])
    # Too long to be its own id: the id is a hash, and the message must bring the key.
    source = peer_id_of_encoded(encoded_key)
    fields = [(1, peer_id_bytes(source)), (2, b"data"), (3, bytes(8)), (4, b"t")]
    signature = key.sign(SIGN_PREFIX + encode_fields(fields), ec.ECDSA(SHA256()))
    whole = encode_fields([*fields, (5, signature), (6, encoded_key)])
    assert verified(raw(whole)).source == source
    with pytest.raises(PeerFault, match="key"):
        verified(raw(encode_fields([*fields, (5, signature)])))
    # Somebody else's key does not make somebody else its author.
    forged = sign(SIGN_PREFIX + encode_fields(fields))
    own_key = encode_public_key(bytes(KEY.verify_key))
    with pytest.raises(PeerFault, match="not its author's"):
        verified(raw(encode_fields([*fields, (5, forged), (6, own_key)])))


def test_a_topics_name_has_a_length() -> None:
    assert checked_topic("ä" * 128) == "ä" * 128
    for topic in ("", "ä" * 129):
        with pytest.raises(Refused) as caught:
            checked_topic(topic)
        assert caught.value.code == "bad_topic"
