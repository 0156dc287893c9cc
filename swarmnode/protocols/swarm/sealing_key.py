"""The key that payloads for a node are to be sealed to, under that node's signature."""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from swarmnode.protocols.identity.envelope import open_envelope, seal
from swarmnode.protocols.identity.fields import bytes_field, decode_fields, encode_fields, int_field
from swarmnode.protocols.identity.handover import Signer
from swarmnode.values.errors import PeerFault
from swarmnode.values.peer_id import peer_id

DOMAIN = b"swarmnode/sealing_key/1"
PAYLOAD_TYPE = b"/swarmnode/sealing_key"
#: No key is good for longer, seconds, whatever its owner says.
MAX_SECONDS = 3600
#: How old a statement may be when it arrives, seconds, and how far ahead of our clock.
MAX_AGE = 300
MAX_AHEAD = 30

_PUBLIC, _SECONDS, _STAMP = 1, 2, 3


@dataclass(frozen=True, slots=True)
class SealingKey:
    """peer: whose. public: X25519, 32 bytes. seconds: for how long from now it is to be used."""

    peer: str
    public: bytes
    seconds: float


def key_id(public: bytes) -> bytes:
    """8 bytes that name a key."""
    return blake3(public).digest()[:8]


def sign_key(signer: Signer, key: SealingKey, stamp: int) -> bytes:
    """The statement. stamp: Unix seconds."""
    payload = encode_fields(((_PUBLIC, key.public), (_SECONDS, int(key.seconds)), (_STAMP, stamp)))
    return seal(signer.public_key, signer.sign, DOMAIN, PAYLOAD_TYPE, payload)


def read_key(statement: bytes, stamp: float) -> SealingKey:
    """The key that a statement names; whose it is says the signature. stamp: our clock, Unix seconds. Raises
    `PeerFault` (`bad_statement`, `bad_signature`, `stale`)."""
    envelope = open_envelope(statement, DOMAIN)
    fields = decode_fields(envelope.payload)
    public = bytes_field(fields, _PUBLIC)
    if envelope.payload_type != PAYLOAD_TYPE or len(public) != 32:
        raise PeerFault("A statement names no sealing key", code="bad_statement")
    age = stamp - int_field(fields, _STAMP)
    if not -MAX_AHEAD <= age <= MAX_AGE:
        raise PeerFault(f"A sealing key was named {age:.0f} s ago", code="stale")
    seconds = min(int_field(fields, _SECONDS), MAX_SECONDS) - max(0.0, age)
    return SealingKey(peer_id(envelope.public_key), public, max(0.0, seconds))
