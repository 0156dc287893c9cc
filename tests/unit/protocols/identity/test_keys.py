"""Public keys of all kinds, against the libp2p specification's vectors."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.identity.fields import decode_fields, encode_fields
from swarmnode.protocols.identity.keys import KeyKind, PublicKey, decode_key, ed25519_key, key_of_peer
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import encode_public_key, peer_id

# libp2p specs, peer-ids, "Test vectors".
ED25519_PUBLIC = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
ED25519_PRIVATE = (
    "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
    "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
)
SECP256K1_PUBLIC = "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"
SECP256K1_PRIVATE = "0802122053dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb"
ECDSA_PUBLIC = (
    "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf316"
    "1f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"
)
ECDSA_PRIVATE = (
    "08031279307702010104203e5b1fe9712e6c314942a750bd67485de3c1efe85b1bfb520ae8f9ae3dfa4a4ca00a06082a8648ce"
    "3d030107a14403420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d"
    "6851510c098e5c47c646a597fb4dcec034e9f77c409e62"
)
RSA_PUBLIC = (
    "080012a60430820222300d06092a864886f70d01010105000382020f003082020a0282020100e1beab071d08200bde24eef00d"
    "049449b07770ff9910257b2d7d5dda242ce8f0e2f12e1af4b32d9efd2c090f66b0f29986dbb645dae9880089704a94e5066d59"
    "4162ae6ee8892e6ec70701db0a6c445c04778eb3de1293aa1a23c3825b85c6620a2bc3f82f9b0c309bc0ab3aeb1873282bebd3"
    "da03c33e76c21e9beb172fd44c9e43be32e2c99827033cf8d0f0c606f4579326c930eb4e854395ad941256542c793902185153"
    "c474bed109d6ff5141ebf9cd256cf58893a37f83729f97e7cb435ec679d2e33901d27bb35aa0d7e20561da08885ef0abbf8e2f"
    "b48d6a5487047a9ecb1ad41fa7ed84f6e3e8ecd5d98b3982d2a901b4454991766da295ab78822add5612a2df83bcee814cf509"
    "73e80d7ef38111b1bd87da2ae92438a2c8cbcc70b31ee319939a3b9c761dbc13b5c086d6b64bf7ae7dacc14622375d92a8ff9a"
    "f7eb962162bbddebf90acb32adb5e4e4029f1c96019949ecfbfeffd7ac1e3fbcc6b6168c34be3d5a2e5999fcbb39bba7adbca7"
    "8eab09b9bc39f7fa4b93411f4cc175e70c0a083e96bfaefb04a9580b4753c1738a6a760ae1afd851a1a4bdad231cf56e9284d8"
    "32483df215a46c1c21bdf0c6cfe951c18f1ee4078c79c13d63edb6e14feaeffabc90ad317e4875fe648101b0864097e998f0ca"
    "3025ef9638cd2b0caecd3770ab54a1d9c6ca959b0f5dcbc90caeefc4135baca6fd475224269bbe1b0203010001"
)
#: Their peer ids, as several implementations of libp2p give them.
VECTORS = {
    KeyKind.ED25519: (ED25519_PUBLIC, "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"),
    KeyKind.SECP256K1: (SECP256K1_PUBLIC, "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"),
    KeyKind.ECDSA: (ECDSA_PUBLIC, "QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk"),
    KeyKind.RSA: (RSA_PUBLIC, "QmaeANgBs1DTSxWSrPPtobgQuxW8XTfsS4ydbK4rCHzqxG"),
}
#: SubjectPublicKeyInfo of a P-256 key (RFC 5480) up to a compressed point.
P256_COMPRESSED_PREFIX = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
DER = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def encoded(kind: int, data: bytes) -> bytes:
    return encode_fields([(1, kind), (2, data)])


def data_of(private: str) -> bytes:
    data = decode_fields(bytes.fromhex(private))[2]
    assert isinstance(data, bytes)
    return data


@pytest.mark.parametrize("kind", list(KeyKind))
def test_the_specifications_keys_give_their_peer_ids(kind: KeyKind) -> None:
    public, wanted = VECTORS[kind]
    key = decode_key(bytes.fromhex(public))
    assert key.kind is kind
    assert key.peer_id == wanted
    assert key.encoded.hex() == public


def test_the_specifications_private_keys_sign_for_their_public_ones() -> None:
    message = b"noise-libp2p-static-key:" + bytes(32)
    ed25519 = SigningKey(data_of(ED25519_PRIVATE)[:32])
    secp = ec.derive_private_key(int.from_bytes(data_of(SECP256K1_PRIVATE), "big"), ec.SECP256K1())
    ecdsa = load_der_private_key(data_of(ECDSA_PRIVATE), None)
    assert isinstance(ecdsa, ec.EllipticCurvePrivateKey)
    signatures = {
        ED25519_PUBLIC: bytes(ed25519.sign(message).signature),
        SECP256K1_PUBLIC: secp.sign(message, ec.ECDSA(SHA256())),
        ECDSA_PUBLIC: ecdsa.sign(message, ec.ECDSA(SHA256())),
    }
    for public, signature in signatures.items():
        key = decode_key(bytes.fromhex(public))
        assert key.verify(signature, message)
        assert not key.verify(signature, message + b"!")
        for other in signatures.values():
            assert key.verify(other, message) == (other == signature)


def test_an_rsa_key_signs_with_pkcs1_and_sha256() -> None:
    private = rsa.generate_private_key(65537, 2048)
    key = decode_key(encoded(0, private.public_key().public_bytes(*DER)))
    assert key.verify(private.sign(b"text", padding.PKCS1v15(), SHA256()), b"text")
    pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.MAX_LENGTH)
    assert not key.verify(private.sign(b"text", pss, SHA256()), b"text")


def test_our_own_keys_are_ed25519_keys() -> None:
    raw = bytes(SigningKey(bytes(32)).verify_key)
    key = ed25519_key(raw)
    assert key.encoded == encode_public_key(raw)
    assert key.peer_id == peer_id(raw)
    assert key_of_peer(key.peer_id) == key


def test_a_hashed_peer_id_holds_no_key() -> None:
    assert key_of_peer(VECTORS[KeyKind.RSA][1]) is None
    with pytest.raises(Refused):
        key_of_peer("nobody")


def rsa_der(bits: int, exponent: int = 65537) -> bytes:
    # No key pair is made: what matters is the size.
    modulus = (1 << bits - 1) | (1 << bits // 2) | 1
    return rsa.RSAPublicNumbers(exponent, modulus).public_key().public_bytes(*DER)


@pytest.mark.parametrize("bits", [2048, 4096, 8192])
def test_rsa_keys_of_common_sizes_are_taken(bits: int) -> None:
    assert decode_key(encoded(0, rsa_der(bits))).kind is KeyKind.RSA


def unusual_keys() -> dict[str, bytes]:
    p256, secp = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256K1())
    point = secp.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    compressed = p256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    ed25519, der = bytes.fromhex(ED25519_PUBLIC), p256.public_key().public_bytes(*DER)
    return {
        "nothing": b"",
        "no data": b"\x08\x01",
        "no kind": ed25519[2:],
        "another kind": encoded(4, bytes(32)),
        "a kind that is bytes": encode_fields([(1, b"\x01"), (2, bytes(32))]),
        "Ed25519, too short": encoded(1, bytes(31)),
        "Ed25519, too long": encoded(1, bytes(33)),
        "fields in another order": encode_fields([(2, ed25519[4:]), (1, 1)]),
        "another field": ed25519 + b"\x18\x00",
        "a long varint": b"\x08\x81\x00" + ed25519[2:],
        "secp256k1, uncompressed": encoded(2, point),
        "secp256k1, not on the curve": encoded(2, b"\x02" + b"\xff" * 32),
        "secp256k1, nothing": encoded(2, b""),
        "RSA, 1024 bits": encoded(0, rsa_der(1024)),
        "RSA, 8200 bits": encoded(0, rsa_der(8200)),
        "RSA, a large exponent": encoded(0, rsa_der(2048, (1 << 33) + 1)),
        "RSA that is ECDSA": encoded(0, der),
        "ECDSA that is RSA": encoded(3, rsa_der(2048)),
        "ECDSA on secp256k1": encoded(3, secp.public_key().public_bytes(*DER)),
        "ECDSA on a small curve": encoded(
            3, ec.generate_private_key(ec.SECP224R1()).public_key().public_bytes(*DER)
        ),
        # Sound, and read by OpenSSL, but it would have another peer id than the usual encoding.
        "ECDSA, a compressed point": encoded(3, P256_COMPRESSED_PREFIX + compressed),
        "ECDSA, cut": encoded(3, der[:-1]),
        "ECDSA, and more": encoded(3, der + b"\0"),
        "very long": encoded(0, bytes(4000)),
    }


@pytest.mark.parametrize("name", list(unusual_keys()))
def test_other_keys_are_refused_by_name(name: str) -> None:
    with pytest.raises(PeerFault) as caught:
        decode_key(unusual_keys()[name])
    assert caught.value.code == "bad_public_key"


def test_an_oversized_key_is_not_even_read() -> None:
    with pytest.raises(PeerFault, match="4006 bytes"):
        decode_key(b"\x08\x00\x12\xa0\x1f" + bytes(4001))


KEYS = [decode_key(bytes.fromhex(public)) for public, _ in VECTORS.values()]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KEYS), st.binary(max_size=1200), st.binary(max_size=40))
def test_no_bytes_pass_for_a_signature_or_raise(key: PublicKey, signature: bytes, message: bytes) -> None:
    assert not key.verify(signature, message)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KEYS), st.integers(0), st.integers(1, 255), st.binary(max_size=3))
def test_a_changed_key_is_refused_or_has_another_peer_id(
    key: PublicKey, where: int, bits: int, more: bytes
) -> None:
    data = bytearray(key.encoded)
    data[where % len(data)] ^= bits
    try:
        other = decode_key(bytes(data) + more)
    except PeerFault as error:
        assert error.code == "bad_public_key"
    else:
        assert other.peer_id != key.peer_id


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100) | st.builds(encoded, st.integers(0, 5), st.binary(max_size=100)))
def test_any_bytes_give_a_key_or_a_named_error(data: bytes) -> None:
    try:
        key = decode_key(data)
    except PeerFault as error:
        assert error.code == "bad_public_key"
    else:
        assert key.encoded == data
