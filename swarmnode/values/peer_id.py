"""libp2p peer ids: a public key as text, `12D3KooW...` (libp2p specs, peer-ids).

A public key is written as a protobuf `PublicKey` message. A short one (Ed25519, secp256k1) is its own id:
an identity multihash of that message; a long one (RSA, ECDSA) is hashed with SHA-256. The usual text is
base58btc of the multihash; the newer text, a CIDv1 (`bafz...`, `k51...`), is read but not written.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import lru_cache

from swarmnode.values.errors import Refused

ED25519_KEY_BYTES = 32
MAX_PEER_ID_CHARS = 128
#: A `PublicKey` message of up to so many bytes is its own id.
MAX_INLINE_KEY_BYTES = 42

# PublicKey { Type = 1: Ed25519 (1); Data = 2: 32 bytes } in the spec's one deterministic encoding.
_PUBLIC_KEY_PREFIX = bytes([0x08, 0x01, 0x12, ED25519_KEY_BYTES])
# Multihash: the code of `identity` (0) and the length of what follows.
_MULTIHASH_PREFIX = bytes([0x00, len(_PUBLIC_KEY_PREFIX) + ED25519_KEY_BYTES])
# Multihash: the code of SHA-256 and the length of its digest.
_SHA256_PREFIX = bytes([0x12, hashlib.sha256().digest_size])
# CID: version 1, codec `libp2p-key`.
_CID_PREFIX = bytes([0x01, 0x72])

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {char: value for value, char in enumerate(_ALPHABET)}
_BASE36_DIGITS = {char: value for value, char in enumerate("0123456789abcdefghijklmnopqrstuvwxyz")}
#: Ids that need not be computed again: nearly every message names some, mostly the same ones.
_REMEMBERED = 4096


def base58_encode(data: bytes) -> str:
    """base58btc: the bytes as one big-endian number in base 58; leading zero bytes become `1`s."""
    number, digits = int.from_bytes(data, "big"), []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def base58_decode(text: str) -> bytes:
    """The inverse of `base58_encode`. Raises `Refused` for other characters and for long texts."""
    return _from_digits(text, _DIGITS, text)


def encode_public_key(public_key: bytes) -> bytes:
    """The 32 bytes of an Ed25519 public key as libp2p's protobuf `PublicKey`, 36 bytes."""
    if len(public_key) != ED25519_KEY_BYTES:
        raise Refused(
            f"An Ed25519 public key has {ED25519_KEY_BYTES} bytes, not {len(public_key)}",
            code="bad_public_key",
        )
    return _PUBLIC_KEY_PREFIX + public_key


def decode_public_key(encoded: bytes) -> bytes:
    """The inverse of `encode_public_key`; only Ed25519 keys are known. Raises `Refused`."""
    if len(encoded) != _MULTIHASH_PREFIX[1] or not encoded.startswith(_PUBLIC_KEY_PREFIX):
        raise Refused(
            "This is not a libp2p Ed25519 public key",
            code="bad_public_key",
            hint="Other kinds of keys are not supported; the peer needs an Ed25519 identity.",
        )
    return encoded[len(_PUBLIC_KEY_PREFIX) :]


@lru_cache(_REMEMBERED)
def peer_id(public_key: bytes) -> str:
    """The peer id of an Ed25519 public key of 32 bytes."""
    return base58_encode(_MULTIHASH_PREFIX + encode_public_key(public_key))


def peer_id_of_encoded(encoded: bytes) -> str:
    """The peer id of a public key of any kind in libp2p's encoding (`protocols.identity.keys` checks it)."""
    if len(encoded) <= MAX_INLINE_KEY_BYTES:
        return peer_id_text(bytes([0x00, len(encoded)]) + encoded)
    return peer_id_text(_SHA256_PREFIX + hashlib.sha256(encoded).digest())


def public_key_of(peer: str) -> bytes:
    """The public key, 32 bytes, that an Ed25519 peer id spells out. Raises `Refused`."""
    raw = _multihash(peer)
    if not raw.startswith(_MULTIHASH_PREFIX):
        raise _bad(peer, "it does not hold an Ed25519 key")
    return decode_public_key(raw[len(_MULTIHASH_PREFIX) :])


def inline_key_of(peer: str) -> bytes | None:
    """The public key in libp2p's encoding that a peer id spells out; None where the id is a hash of it."""
    raw = peer_id_bytes(peer)
    return raw[2:] if raw[0] == 0 else None


def parse_peer_id(text: str) -> str:
    """A peer id as people write it, in its usual spelling. Raises `Refused(code='bad_peer_id')`."""
    return base58_encode(peer_id_bytes(text))


@lru_cache(_REMEMBERED)
def peer_id_bytes(peer: str) -> bytes:
    """The multihash of a peer id, its binary form. Raises `Refused`."""
    return _checked_multihash(_multihash(peer), peer)


@lru_cache(_REMEMBERED)
def peer_id_text(multihash: bytes) -> str:
    """The text of a binary peer id: an identity multihash (Ed25519, secp256k1) or a SHA-256 (RSA, ECDSA).
    Raises `Refused`."""
    return base58_encode(_checked_multihash(multihash, multihash[:MAX_PEER_ID_CHARS].hex()))


def _multihash(text: str) -> bytes:
    # Only base58 of a multihash can begin so (peer-ids, "Decoding"); no multibase prefix is `1` or `Q`.
    if text.startswith(("1", "Qm")):
        return base58_decode(text)
    cid = _from_multibase(text)
    if not cid.startswith(_CID_PREFIX):
        raise _bad(text, "it is no CID (version 1) of a libp2p key")
    return cid[len(_CID_PREFIX) :]


def _from_multibase(text: str) -> bytes:
    if not text.isascii() or len(text) > MAX_PEER_ID_CHARS:
        raise _bad(text, f"it is not ASCII, or longer than {MAX_PEER_ID_CHARS} characters")
    prefix, digits = text[:1], text[1:]
    if prefix == "z":
        return _from_digits(digits, _DIGITS, text)
    if prefix in ("k", "K"):
        return _from_digits(digits.lower(), _BASE36_DIGITS, text)
    if prefix in ("b", "B"):
        try:
            return base64.b32decode(digits.upper() + "=" * (-len(digits) % 8))
        except binascii.Error as error:
            raise _bad(text, f"it is no base32: {error}") from error
    raise _bad(text, "it begins with no known base (1, Qm, b, k or z)")


def _from_digits(text: str, digits: dict[str, int], shown: str) -> bytes:
    if len(text) > MAX_PEER_ID_CHARS:
        raise _bad(shown, f"it is longer than {MAX_PEER_ID_CHARS} characters")
    base, number = len(digits), 0
    for char in text:
        if char not in digits:
            raise _bad(shown, f"{char!r} does not occur in base {base}")
        number = number * base + digits[char]
    zero = next(iter(digits))
    zeros = len(text) - len(text.lstrip(zero))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _checked_multihash(raw: bytes, shown: str) -> bytes:
    inline = raw[:1] == b"\0" and len(raw) <= 2 + MAX_INLINE_KEY_BYTES
    sha256 = raw[:2] == _SHA256_PREFIX
    if len(raw) < 3 or raw[1] != len(raw) - 2 or not (inline or sha256):
        raise _bad(shown, "it is no multihash of a public key")
    return raw


def _bad(text: str, fault: str) -> Refused:
    return Refused(
        f"{text[:MAX_PEER_ID_CHARS]!r} is not a peer id: {fault}",
        code="bad_peer_id",
        hint="A peer id looks like 12D3KooW..., 52 characters; `swarmnode status` prints that of a node.",
    )
