"""Public keys of every kind that libp2p knows: Ed25519, secp256k1, ECDSA and RSA (libp2p specs, peer-ids,
"How keys are encoded and messages signed").

Ours are Ed25519; the others are verified, so that strangers' software can be spoken with. A key has exactly
one accepted encoding, because a peer id is a hash of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from swarmnode.protocols.identity.fields import bytes_field, decode_fields, encode_fields
from swarmnode.values.errors import PeerFault
from swarmnode.values.peer_id import ED25519_KEY_BYTES, inline_key_of, peer_id_of_encoded

#: An RSA key of 8192 bits has 1,062 bytes in this encoding.
MAX_ENCODED_BYTES = 2048
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
#: As in Go: larger exponents only make checking slow.
MAX_RSA_EXPONENT_BITS = 31
SECP256K1_KEY_BYTES = 33

_TYPE, _DATA = 1, 2
_ED25519_SIGNATURE_BYTES = 64
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_Checker = VerifyKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class KeyKind(IntEnum):
    """`KeyType` of the specification."""

    RSA = 0
    ED25519 = 1
    SECP256K1 = 2
    ECDSA = 3


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that was read and is sound. encoded: libp2p's `PublicKey` message. data: what it holds: 32 bytes
    for Ed25519, a compressed point for secp256k1, DER (PKIX) for the others."""

    kind: KeyKind
    data: bytes
    encoded: bytes = field(repr=False)
    _checker: _Checker = field(repr=False, compare=False)

    @property
    def peer_id(self) -> str:
        return peer_id_of_encoded(self.encoded)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the key's owner signed the message. Never raises."""
        try:
            self._check(signature, message)
        except (InvalidSignature, CryptoError, ValueError):
            return False
        return True

    def _check(self, signature: bytes, message: bytes) -> None:
        checker = self._checker
        if isinstance(checker, VerifyKey):
            if len(signature) != _ED25519_SIGNATURE_BYTES:
                raise InvalidSignature
            checker.verify(message, signature)
        elif isinstance(checker, rsa.RSAPublicKey):
            checker.verify(signature, message, padding.PKCS1v15(), SHA256())
        else:
            checker.verify(signature, message, ec.ECDSA(SHA256()))


def decode_key(encoded: bytes) -> PublicKey:
    """A key from libp2p's `PublicKey` message. Raises `PeerFault(code='bad_public_key')`."""
    if len(encoded) > MAX_ENCODED_BYTES:
        raise _bad(f"it has {len(encoded)} bytes (at most {MAX_ENCODED_BYTES})")
    try:
        fields = decode_fields(encoded)
        data = bytes_field(fields, _DATA)
    except PeerFault as error:
        raise _bad(error.message) from error
    kind = fields.get(_TYPE)
    if not isinstance(kind, int) or kind not in set(KeyKind):
        raise _bad(f"its kind is {kind!r}")
    if encode_fields(((_TYPE, kind), (_DATA, data))) != encoded:
        raise _bad("it is not in the one encoding that there is")
    try:
        checker = _READERS[KeyKind(kind)](data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad(str(error)) from error
    return PublicKey(KeyKind(kind), data, bytes(encoded), checker)


def ed25519_key(public_key: bytes) -> PublicKey:
    """An Ed25519 key of 32 bytes. Raises `PeerFault`."""
    return decode_key(encode_fields(((_TYPE, KeyKind.ED25519), (_DATA, public_key))))


def key_of_peer(peer: str) -> PublicKey | None:
    """The key that a peer id spells out; None where the id is a hash of it. Raises `Refused` for what is no
    peer id and `PeerFault` for a bad key."""
    encoded = inline_key_of(peer)
    return None if encoded is None else decode_key(encoded)


def _ed25519(data: bytes) -> VerifyKey:
    if len(data) != ED25519_KEY_BYTES:
        raise ValueError(f"it has {len(data)} bytes")
    return VerifyKey(data)


def _secp256k1(data: bytes) -> ec.EllipticCurvePublicKey:
    if len(data) != SECP256K1_KEY_BYTES:
        raise ValueError(f"it has {len(data)} bytes, a compressed point {SECP256K1_KEY_BYTES}")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), data)


def _ecdsa(data: bytes) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(data)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise ValueError("it is on no curve that is known here (P-256, P-384, P-521)")
    _check_der(key, data)
    return key


def _rsa(data: bytes) -> rsa.RSAPublicKey:
    key = load_der_public_key(data)
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise ValueError(f"it is no RSA key of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if key.public_numbers().e.bit_length() > MAX_RSA_EXPONENT_BITS:
        raise ValueError("its exponent is too large")
    _check_der(key, data)
    return key


def _check_der(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, data: bytes) -> None:
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != data:
        raise ValueError("its DER encoding is not the usual one")


_READERS: dict[KeyKind, Callable[[bytes], _Checker]] = {
    KeyKind.RSA: _rsa,
    KeyKind.ED25519: _ed25519,
    KeyKind.SECP256K1: _secp256k1,
    KeyKind.ECDSA: _ecdsa,
}


def _bad(fault: str) -> PeerFault:
    return PeerFault(f"A public key is not usable: {fault}", code="bad_public_key")
