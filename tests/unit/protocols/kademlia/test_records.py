"""Records: the signature binds key, stamp and payload; owned keys; `/pk/`; what is refused by name."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.kademlia import records as r
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import encode_public_key, peer_id, peer_id_bytes

NOW = 1_700_000_000
KEY = b"/swarmnode/test"
ALICE, MALLORY = SigningKey(b"a" * 32), SigningKey(b"m" * 32)


def sign(key: SigningKey, name: bytes, payload: bytes, stamp: int = NOW) -> bytes:
    return r.signed_record(name, payload, stamp, bytes(key.verify_key), lambda d: key.sign(d).signature)


def name_of(key: SigningKey) -> str:
    return peer_id(bytes(key.verify_key))


def fault(key: bytes, value: bytes, stamp: float = NOW) -> str:
    with pytest.raises(PeerFault) as caught:
        r.check_record(key, value, stamp)
    return caught.value.code


def test_the_layout_is_key_signature_stamp_payload() -> None:
    value = sign(ALICE, KEY, b"hello")
    assert value[:32] == bytes(ALICE.verify_key)
    assert value[96:104] == NOW.to_bytes(8, "big")
    assert value[104:] == b"hello"
    # PyNaCl itself, over bytes put together here: domain, varint length, key, stamp, payload.
    ALICE.verify_key.verify(b"swarmnode-dht:" + bytes([len(KEY)]) + KEY + value[96:], value[32:96])


def test_a_record_says_who_signed_what_and_when() -> None:
    checked = r.check_record(KEY, sign(ALICE, KEY, b"hello"), NOW + 5)
    assert (checked.payload, checked.signer, checked.stamp) == (b"hello", name_of(ALICE), NOW)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 108), st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, flip: int) -> None:
    value = bytearray(sign(ALICE, KEY, b"hello"))
    value[position] ^= flip
    with pytest.raises(PeerFault):
        r.check_record(KEY, bytes(value), NOW)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(value: bytes) -> None:
    assert fault(KEY, value) in ("bad_record", "bad_signature")


def test_a_record_is_good_for_its_key_only() -> None:
    assert fault(b"/swarmnode/other", sign(ALICE, KEY, b"hello")) == "bad_signature"


def test_a_record_ends_an_hour_after_its_stamp() -> None:
    value = sign(ALICE, KEY, b"hello")
    assert r.check_record(KEY, value, NOW + 3599).payload == b"hello"
    assert fault(KEY, value, NOW + 3600) == "stale_record"


def test_a_record_from_the_future_is_refused() -> None:
    value = sign(ALICE, KEY, b"hello")
    assert r.check_record(KEY, value, NOW - 300).payload == b"hello"
    assert fault(KEY, value, NOW - 301) == "stale_record"
    with pytest.raises(OverflowError):
        sign(ALICE, KEY, b"", 1 << 64)
    assert fault(KEY, sign(ALICE, KEY, b"", (1 << 64) - 1)) == "stale_record"
    assert fault(KEY, sign(ALICE, KEY, b"", 0)) == "stale_record"


def test_the_newer_value_ranks_higher_and_ties_are_stable() -> None:
    old, new = (r.check_record(KEY, sign(ALICE, KEY, b"x", NOW + n), NOW) for n in (0, 1))
    other = r.check_record(KEY, sign(MALLORY, KEY, b"x"), NOW)
    assert new.rank > old.rank and new.rank > other.rank
    assert (old.rank > other.rank) != (other.rank > old.rank)


def test_a_key_with_a_peer_id_in_it_belongs_to_that_peer() -> None:
    key = f"/swarmnode/offers/{name_of(ALICE)}/today".encode()
    assert r.check_record(key, sign(ALICE, key, b"x"), NOW).signer == name_of(ALICE)
    with pytest.raises(Refused, match="Only"):
        sign(MALLORY, key, b"x")
    forged = MALLORY.sign(b"swarmnode-dht:" + bytes([len(key)]) + key + NOW.to_bytes(8, "big") + b"x")
    value = bytes(MALLORY.verify_key) + forged.signature + NOW.to_bytes(8, "big") + b"x"
    assert fault(key, value) == "not_the_owner"


@pytest.mark.parametrize("key", [b"/ipns/x", b"x", b"", b"/swarmnode/", b"/pk/", b"/swarmnodex/y", b"//\xff"])
def test_other_namespaces_are_refused_by_name(key: bytes) -> None:
    assert fault(key, b"v") == "unknown_namespace"
    with pytest.raises(Refused):
        sign(ALICE, key, b"v")


def test_too_large_is_refused_on_both_sides() -> None:
    assert len(sign(ALICE, KEY, b"x" * r.MAX_PAYLOAD_BYTES)) == 8192
    with pytest.raises(Refused, match="8088 bytes"):
        sign(ALICE, KEY, b"x" * (r.MAX_PAYLOAD_BYTES + 1))
    assert fault(KEY, b"x" * 8193) == "record_too_large"
    assert fault(b"/swarmnode/" + b"k" * 600, b"x") == "bad_record_key"


def test_a_public_key_is_kept_under_its_own_peer_id_only() -> None:
    """libp2p: `/pk/` and the multihash; short keys are their own, longer ones are hashed."""
    short = encode_public_key(bytes(ALICE.verify_key))
    assert r.check_record(b"/pk/" + peer_id_bytes(name_of(ALICE)), short, NOW).payload == short
    long = b"\x08\x00\x12\x80" + bytes(200)
    assert r.check_record(b"/pk/\x12\x20" + hashlib.sha256(long).digest(), long, NOW).payload == long
    assert fault(b"/pk/" + peer_id_bytes(name_of(MALLORY)), short) == "bad_public_key"
    assert fault(b"/pk/" + bytes([0, len(long)]) + long, long) == "bad_public_key"
    assert fault(b"/pk/x", b"") == "bad_public_key"
