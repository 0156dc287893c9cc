"""The hand-over from an old identity to a new one, signed by both.

The old key says who follows it, the new key says that it wants to: neither can be made to name a
stranger. Anybody can check a statement with nothing but the statement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from swarmnode.protocols.identity.envelope import Envelope, open_envelope, public_key_field, seal
from swarmnode.protocols.identity.fields import (
    bytes_field,
    decode_fields,
    encode_fields,
    int_field,
    malformed,
)
from swarmnode.values.errors import PeerFault
from swarmnode.values.peer_id import ED25519_KEY_BYTES, encode_public_key, peer_id

DOMAIN = b"swarmnode/identity-handover/1"
PAYLOAD_TYPE = b"/swarmnode/identity-handover"

_OLD_KEY, _NEW_KEY, _SEQUENCE, _STAMP = 1, 2, 3, 4
_BY_OLD, _BY_NEW = 1, 2


@dataclass(frozen=True, slots=True)
class HandOver:
    """One checked hand-over.

    old_key, new_key: Ed25519 public keys, 32 bytes. sequence: 1 for a node's first. stamp: Unix time
    in seconds. statement: the signed bytes, to be kept and passed on as they are.
    """

    old_key: bytes
    new_key: bytes
    sequence: int
    stamp: int
    statement: bytes = field(repr=False)

    @property
    def old_peer_id(self) -> str:
        return peer_id(self.old_key)

    @property
    def new_peer_id(self) -> str:
        return peer_id(self.new_key)


@dataclass(frozen=True, slots=True)
class Signer:
    """A public key, 32 bytes, and what signs with its private key."""

    public_key: bytes
    sign: Callable[[bytes], bytes]


def make_handover(old: Signer, new: Signer, sequence: int, stamp: int) -> HandOver:
    """The statement that `new` follows `old`, signed by both."""
    payload = encode_fields(
        (
            (_OLD_KEY, encode_public_key(old.public_key)),
            (_NEW_KEY, encode_public_key(new.public_key)),
            (_SEQUENCE, sequence),
            (_STAMP, stamp),
        )
    )
    by_old, by_new = (seal(s.public_key, s.sign, DOMAIN, PAYLOAD_TYPE, payload) for s in (old, new))
    return verify_handover(encode_fields(((_BY_OLD, by_old), (_BY_NEW, by_new))))


def verify_handover(statement: bytes) -> HandOver:
    """What a statement says, once both signatures hold. Raises `PeerFault`."""
    fields = decode_fields(statement)
    by_old = open_envelope(bytes_field(fields, _BY_OLD), DOMAIN)
    by_new = open_envelope(bytes_field(fields, _BY_NEW), DOMAIN)
    if by_old.payload != by_new.payload or {by_old.payload_type, by_new.payload_type} != {PAYLOAD_TYPE}:
        raise malformed("the two keys signed different things")
    return _read(by_old, by_new, statement)


def _read(by_old: Envelope, by_new: Envelope, statement: bytes) -> HandOver:
    fields = decode_fields(by_old.payload)
    old_key, new_key = public_key_field(fields, _OLD_KEY), public_key_field(fields, _NEW_KEY)
    if (old_key, new_key) != (by_old.public_key, by_new.public_key):
        raise PeerFault("A hand-over names other keys than those that signed it", code="bad_signature")
    if old_key == new_key:
        raise malformed(f"it hands over from a key of {ED25519_KEY_BYTES} bytes to itself")
    return HandOver(old_key, new_key, int_field(fields, _SEQUENCE), int_field(fields, _STAMP), statement)
