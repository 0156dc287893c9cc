"""Peer ids against the libp2p specification's key vectors, `base58` and `cryptography`."""

from __future__ import annotations

import base64
import hashlib

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
    inline_key_of,
    parse_peer_id,
    peer_id,
    peer_id_bytes,
    peer_id_of_encoded,
    peer_id_text,
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


#: libp2p specs, peer-ids, "Decoding"; CIDs of the specification's key vectors; go-ipfs 0.5's release notes
#: (base36); multiformats (base58btc). Where the usual text is not given there, it follows from the CID.
SAME_PEERS = [
    (
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    ),
    (
        "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6",
        "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
    ),
    (
        "bafzaajiiaijcca3xo7uzjzcsyilaj6i54cj44qk7kqzpoao5rti2pjx6udtdbp6kte",
        "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
    ),
    (
        "bafzbeidigywdclqvl5hxfefwp5onbffcfife7pza57mmfb4tiqmtkdjw64",
        "QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk",
    ),
    (
        "bafzbeifwzcumbiyql7bhv7fe7mixg6i7aohegq75k234m63bnw6dbicmzu",
        "QmaeANgBs1DTSxWSrPPtobgQuxW8XTfsS4ydbK4rCHzqxG",
    ),
    (
        "k51qzi5uqu5dgklmbtqcksqzdz8xl138l9lfb50dszwclp9tr85u2ae2x2uj0q",
        "12D3KooWAsKeVQRVqBi2uzfVub7L6b7oByD1dGmorN644bEx6TyT",
    ),
    (
        "k51qzi5uqu5dj16qyiq0tajolkojyl9qdkr254920wxv7ghtuwcz593tp69z9m",
        parse_peer_id("bafzaajaiaejca4syrpdu6gdx4wsdnokxkprgzxf4wrstuc34gxw5k5jrag2so5gk"),
    ),
    (
        "z5AanNVJCxnFtEfSEgTFFAm3Ju15ppwZfW3wTJTuoBL6FvHj7kmuKn7",
        parse_peer_id("bafzaajaiaejcad4ww6rlktrbqfhuhkjx72e6ryft3oo5cxhssz4yrpxsaqiie2aa"),
    ),
]


@pytest.mark.parametrize(("cid", "usual"), SAME_PEERS)
def test_a_cid_is_the_same_peer(cid: str, usual: str):
    assert parse_peer_id(cid) == usual
    assert parse_peer_id(usual) == usual
    if cid[0] in "bk":
        assert parse_peer_id(cid.upper()) == usual


def test_hashed_ids_hold_no_key():
    assert inline_key_of("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N") is None
    assert inline_key_of(SPEC_PEER_ID) == encode_public_key(public_key_of(SPEC_PEER_ID))


@given(st.binary(min_size=1, max_size=200))
def test_every_encoded_key_has_an_id_that_can_be_read(encoded: bytes):
    text = peer_id_of_encoded(encoded)
    raw = peer_id_bytes(text)
    assert peer_id_text(raw) == text
    assert parse_peer_id("b" + base64.b32encode(b"\x01\x72" + raw).decode().rstrip("=").lower()) == text
    assert parse_peer_id("z" + base58.b58encode(b"\x01\x72" + raw).decode()) == text
    assert inline_key_of(text) == (encoded if len(encoded) <= 42 else None)
    if len(encoded) > 42:
        assert raw == b"\x12\x20" + hashlib.sha256(encoded).digest()


@pytest.mark.parametrize(
    "text",
    [
        "b",
        "bafy",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",  # a CID, but of a file
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqx",
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xq1e",
        "f017200240801122000",
        "k",
        "k51qzi5uqu5dgklmbtqcksqzdz8xl138l9lfb50dszwclp9tr85u2ae2x2uj!q",
        "\u212a51qzi5uqu5dgklmbtqcksqzdz8xl138l9lfb50dszwclp9tr85u2ae2x2uj0q",
        "k51qzi5uqu5dg\u212almbtqcksqzdz8xl138l9lfb50dszwclp9tr85u2ae2x2uj0q",
        "z" * 500,
        "b" * 500,
        "k" * 500,
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
    ],
)
def test_other_texts_are_no_peer_ids(text: str):
    with pytest.raises(Refused) as caught:
        parse_peer_id(text)
    assert caught.value.code == "bad_peer_id"


@given(
    st.text(max_size=140) | st.text("bkzQm1afz0", max_size=140) | st.binary(max_size=60).map(base58_encode)
)
def test_any_text_is_a_peer_id_or_refused(text: str):
    try:
        usual = parse_peer_id(text)
    except Refused as error:
        assert error.code == "bad_peer_id"
    else:
        assert parse_peer_id(usual) == usual


@given(st.binary(max_size=60) | st.binary(max_size=50).map(lambda data: b"\x00" + data))
def test_any_bytes_are_a_peer_id_or_refused(data: bytes):
    try:
        text = peer_id_text(data)
    except Refused as error:
        assert error.code == "bad_peer_id"
    else:
        assert peer_id_bytes(text) == data
