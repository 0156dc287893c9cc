"""libp2p peer ids: a public key as text, `12D3KooW...` (libp2p specs, peer-ids).

An Ed25519 key is short enough to be the id itself: the key is written as a protobuf `PublicKey`
message, wrapped in an identity multihash (it "hashes" to itself) and spelled in base58btc.
"""

from __future__ import annotations

from swarmnode.values.errors import Refused

ED25519_KEY_BYTES = 32
MAX_PEER_ID_CHARS = 128
#: libp2p: keys of up to 42 bytes are their own id.
MAX_IDENTITY_BYTES = 44

# PublicKey { Type = 1: Ed25519 (1); Data = 2: 32 bytes } in the spec's one deterministic encoding.
_PUBLIC_KEY_PREFIX = bytes([0x08, 0x01, 0x12, ED25519_KEY_BYTES])
# Multihash: the code of `identity` (0) and the length of what follows.
_MULTIHASH_PREFIX = bytes([0x00, len(_PUBLIC_KEY_PREFIX) + ED25519_KEY_BYTES])

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {char: value for value, char in enumerate(_ALPHABET)}


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
    if len(text) > MAX_PEER_ID_CHARS:
        raise _bad(text, f"it is longer than {MAX_PEER_ID_CHARS} characters")
    number = 0
    for char in text:
        if char not in _DIGITS:
            raise _bad(text, f"{char!r} does not occur in base58")
        number = number * 58 + _DIGITS[char]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


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


def peer_id(public_key: bytes) -> str:
    """The peer id of an Ed25519 public key of 32 bytes."""
    return base58_encode(_MULTIHASH_PREFIX + encode_public_key(public_key))


def public_key_of(peer: str) -> bytes:
    """The public key, 32 bytes, that an Ed25519 peer id spells out. Raises `Refused`."""
    raw = base58_decode(peer)
    if not raw.startswith(_MULTIHASH_PREFIX):
        raise _bad(peer, "it does not hold an Ed25519 key")
    return decode_public_key(raw[len(_MULTIHASH_PREFIX) :])


def peer_id_bytes(peer: str) -> bytes:
    """The multihash of a peer id, its binary form. Raises `Refused`."""
    return _checked_multihash(base58_decode(peer), peer)


def peer_id_text(multihash: bytes) -> str:
    """The text of a binary peer id: an identity multihash (Ed25519, secp256k1) or a SHA-256 (RSA, ECDSA).
    Raises `Refused`."""
    return base58_encode(_checked_multihash(multihash, multihash.hex()))


def _checked_multihash(raw: bytes, shown: str) -> bytes:
    identity = raw[:1] == b"\0" and len(raw) <= MAX_IDENTITY_BYTES
    sha256 = raw[:2] == b"\x12\x20" and len(raw) == 34
    if len(raw) < 3 or raw[1] != len(raw) - 2 or not (identity or sha256):
        raise _bad(shown, "it is no multihash of a public key")
    return raw


def _bad(text: str, fault: str) -> Refused:
    return Refused(
        f"{text[:MAX_PEER_ID_CHARS]!r} is not a peer id: {fault}",
        code="bad_peer_id",
        hint="A peer id looks like 12D3KooW..., 52 characters; `swarmnode status` prints that of a node.",
    )
