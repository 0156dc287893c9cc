"""libp2p signed envelopes (libp2p specs, RFC 0002): bytes, who signed them, and for what.

The signature covers the domain, the payload type and the payload, each with its length before it, so
that a statement made for one purpose can never pass for another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from swarmnode.protocols.identity.fields import (
    FieldValue,
    bytes_field,
    decode_fields,
    encode_fields,
    encode_varint,
    malformed,
)
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import decode_public_key, encode_public_key

MAX_ENVELOPE_BYTES = 64 * 1024
SIGNATURE_BYTES = 64

_PUBLIC_KEY, _PAYLOAD_TYPE, _PAYLOAD, _SIGNATURE = 1, 2, 3, 5


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an envelope says, its signature checked. public_key: 32 bytes, Ed25519."""

    public_key: bytes
    payload_type: bytes
    payload: bytes


def signed_bytes(domain: bytes, payload_type: bytes, payload: bytes) -> bytes:
    """The bytes that are really signed."""
    return b"".join(encode_varint(len(part)) + part for part in (domain, payload_type, payload))


def seal(
    public_key: bytes, sign: Callable[[bytes], bytes], domain: bytes, payload_type: bytes, payload: bytes
) -> bytes:
    """An envelope around the payload. `sign` returns the 64 bytes of an Ed25519 signature."""
    return encode_fields(
        (
            (_PUBLIC_KEY, encode_public_key(public_key)),
            (_PAYLOAD_TYPE, payload_type),
            (_PAYLOAD, payload),
            (_SIGNATURE, sign(signed_bytes(domain, payload_type, payload))),
        )
    )


def open_envelope(data: bytes, domain: bytes) -> Envelope:
    """The content of an envelope sealed for `domain`. Raises `PeerFault` when it does not hold."""
    if len(data) > MAX_ENVELOPE_BYTES:
        raise malformed(f"it has {len(data)} bytes (at most {MAX_ENVELOPE_BYTES})")
    fields = decode_fields(data)
    signer = public_key_field(fields, _PUBLIC_KEY)
    kind, payload = bytes_field(fields, _PAYLOAD_TYPE), bytes_field(fields, _PAYLOAD)
    _check(signer, bytes_field(fields, _SIGNATURE), signed_bytes(domain, kind, payload))
    return Envelope(signer, kind, payload)


def public_key_field(fields: dict[int, FieldValue], number: int) -> bytes:
    """A field that must hold an Ed25519 public key in libp2p's encoding; its 32 bytes."""
    try:
        return decode_public_key(bytes_field(fields, number))
    except Refused as error:
        raise PeerFault(f"A signed statement names a bad key: {error.message}", code=error.code) from error


def _check(public_key: bytes, signature: bytes, message: bytes) -> None:
    if len(signature) != SIGNATURE_BYTES:
        raise malformed(f"its signature has {len(signature)} bytes")
    try:
        VerifyKey(public_key).verify(message, signature)
    except BadSignatureError as error:
        raise PeerFault("A signed statement's signature is wrong", code="bad_signature") from error
