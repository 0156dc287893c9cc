"""Peer ids against the libp2p specification's key vectors, `base58` and `cryptography`."""

from __future__ import annotations

import base58
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.values.errors import Refused
from swarmnode.values.peer_id import (
    base58_decode,
    base58_encode,
    decode_public_key,
    encode_public_key,
    peer_id,
    public_key_of,
)

# libp2p specs, peer-ids/peer-ids.md, "Test vectors": the Ed25519 pair.
SPEC_PUBLIC = bytes.fromhex("080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
SPEC_PRIVATE = bytes.fromhex(
    "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
    "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
)
# The id that the same document shows as an Ed25519 example.
SPEC_PEER_ID = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def test_the_specifications_public_key_is_encoded_byte_for_byte():
    key = Ed25519PrivateKey.from_private_bytes(SPEC_PRIVATE[4:36]).public_key()
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert encode_public_key(raw) == SPEC_PUBLIC
    assert decode_public_key(SPEC_PUBLIC) == raw
    assert peer_id(raw) == base58.b58encode(b"\x00\x24" + SPEC_PUBLIC).decode()


def test_the_specifications_peer_id_comes_back():
    raw = public_key_of(SPEC_PEER_ID)
    assert base58.b58decode(SPEC_PEER_ID) == b"\x00\x24\x08\x01\x12\x20" + raw
    assert peer_id(raw) == SPEC_PEER_ID


@given(st.binary(min_size=32, max_size=32))
def test_every_key_gives_an_id_of_the_known_form(key: bytes):
    text = peer_id(key)
    assert text.startswith("12D3KooW")
    assert len(text) == 52
    assert public_key_of(text) == key


@given(st.binary(max_size=80))
def test_base58_agrees_with_the_library(data: bytes):
    assert base58_encode(data) == base58.b58encode(data).decode()
    assert base58_decode(base58_encode(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0OIl",
        "12D3KooW",
        SPEC_PEER_ID[:-1],
        SPEC_PEER_ID + "2",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "1" * 1000,
        "12D3KooW\N{SNOWMAN}",
    ],
)
def test_other_texts_are_refused_by_name(text: str):
    with pytest.raises(Refused) as caught:
        public_key_of(text)
    assert caught.value.code in ("bad_peer_id", "bad_public_key")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int):
    with pytest.raises(Refused):
        peer_id(bytes(length))


def test_other_key_types_are_refused():
    with pytest.raises(Refused):
        decode_public_key(b"\x08\x02" + SPEC_PUBLIC[2:])
