"""Value records: who may write what under a key, and which of two values is the better one.

    /swarmnode/...  [32 B Ed25519 public key][64 B signature][8 B Unix seconds, big-endian][payload]
    /pk/<peer id>   the public key of that peer, in libp2p's protobuf

The signature covers `swarmnode-dht:`, the key with its length before it as a varint, and the stamp and
payload, so a record is good for one key and for nothing else. Where a part of a key (between slashes) is a
peer id, only that peer may write it; other keys belong to nobody, and the newest value wins whoever
signed it. The signed stamp decides when a record ends, so holders that pass it on cannot keep it alive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from swarmnode.protocols.identity.fields import encode_varint
from swarmnode.protocols.kademlia.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import ED25519_KEY_BYTES, peer_id, peer_id_bytes, peer_id_text

OURS = b"/swarmnode/"
PUBLIC_KEYS = b"/pk/"
DOMAIN = b"swarmnode-dht:"
SIGNATURE_BYTES = 64
STAMP_BYTES = 8
_HEAD = ED25519_KEY_BYTES + SIGNATURE_BYTES
OVERHEAD_BYTES = _HEAD + STAMP_BYTES
MAX_PAYLOAD_BYTES = MAX_VALUE_BYTES - OVERHEAD_BYTES
#: Seconds from its stamp for which a record is good.
RECORD_SECONDS = 3600
#: How far ahead of our clock a stamp may be: clocks differ.
AHEAD_SECONDS = 300
#: libp2p: public keys of up to so many bytes are their own peer id, longer ones are hashed.
_MAX_INLINE_KEY = 42
#: Signatures remembered as right: the same record comes from each of its 20 holders.
MEMO_SIGNATURES = 1024

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a record says, once it holds. signer: peer id; empty for `/pk/`. stamp: Unix seconds; 0 for
    `/pk/`, whose values never change."""

    value: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signer: str
    stamp: int

    @property
    def rank(self) -> tuple[int, bytes]:
        """The better record ranks higher: the newer one; of one second always the same one."""
        return self.stamp, self.value


def signed_record(key: bytes, payload: bytes, stamp: int, public_key: bytes, sign: Sign) -> bytes:
    """The value to put under one of our keys. Raises `Refused` for keys and payloads that nobody would
    take."""
    check_key(key)
    if not key.startswith(OURS):
        raise Refused(
            "Only records under /swarmnode/ are signed by this node",
            code="bad_record_key",
            hint="Public keys need no record: an Ed25519 peer id holds its key.",
        )
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused(
            f"A DHT record holds {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}",
            code="record_too_large",
            hint="Put the content elsewhere and its address or hash here.",
        )
    owner = key_owner(key)
    if owner is not None and owner != peer_id(public_key):
        raise Refused(f"Only {owner} may write under this key", code="not_the_owner")
    body = stamp.to_bytes(STAMP_BYTES, "big") + payload
    return public_key + sign(_signed_bytes(key, body)) + body


def check_record(key: bytes, value: bytes, stamp: float) -> Checked:
    """What the record under a key says. stamp: our clock, Unix seconds. Raises `PeerFault` by name."""
    try:
        check_key(key)
    except Refused as error:
        raise PeerFault(error.message, code=error.code) from error
    if len(value) > MAX_VALUE_BYTES:
        raise _fault(f"it has {len(value)} bytes (at most {MAX_VALUE_BYTES})", "record_too_large")
    if key.startswith(PUBLIC_KEYS):
        return _check_public_key(key, value)
    if len(value) < OVERHEAD_BYTES:
        raise _fault(f"it has {len(value)} bytes (at least {OVERHEAD_BYTES})")
    checked = _check_signature(key, value)
    if checked is None:
        raise _fault("its signature is wrong", "bad_signature")
    owner = key_owner(key)
    if owner is not None and owner != checked.signer:
        raise _fault(f"{checked.signer} signed it, the key belongs to {owner}", "not_the_owner")
    if not fresh(checked, stamp):
        raise _fault(f"its stamp is {stamp - checked.stamp:.0f} s old", "stale_record")
    return checked


def fresh(record: Checked, stamp: float) -> bool:
    """Whether the record is neither expired nor from the future."""
    return not record.stamp or -AHEAD_SECONDS <= stamp - record.stamp < RECORD_SECONDS


def check_key(key: bytes) -> None:
    """Raises `Refused` for a key that no record can have."""
    if len(key) > MAX_KEY_BYTES:
        raise Refused(
            f"A key has {len(key)} bytes (at most {MAX_KEY_BYTES})", code="bad_record_key", param="key"
        )
    if not key.startswith((OURS, PUBLIC_KEYS)) or key in (OURS, PUBLIC_KEYS):
        space = key[1:].split(b"/", 1)[0][:32] if key.startswith(b"/") else b""
        shown = repr(space.decode("utf-8", "replace")) if space else "that has no name"
        raise Refused(
            f"The key's namespace {shown} is not kept here",
            code="unknown_namespace",
            hint="Keys begin with /swarmnode/ or /pk/.",
            param="key",
        )


@lru_cache(maxsize=MEMO_SIGNATURES)
def key_owner(key: bytes) -> str | None:
    """The peer id among the parts of a key, which alone may write it; the first if there are several."""
    if not key.startswith(OURS):
        return None
    for part in key[len(OURS) :].split(b"/"):
        try:
            text = part.decode("ascii")
            # Short parts are decodable by chance; real ids of either kind have 46 characters or more.
            if len(text) >= 46:
                return peer_id_text(peer_id_bytes(text))  # One spelling of several.
        except (UnicodeDecodeError, Refused):
            continue
    return None


@lru_cache(maxsize=MEMO_SIGNATURES)
def _check_signature(key: bytes, value: bytes) -> Checked | None:
    """Also remembers what does not hold: a forger pays once for each forgery, we too."""
    public_key, body = value[:ED25519_KEY_BYTES], value[_HEAD:]
    try:
        VerifyKey(public_key).verify(_signed_bytes(key, body), value[ED25519_KEY_BYTES:_HEAD])
    except BadSignatureError:
        return None
    # A stamp beyond what a clock shows is from the future all the same.
    stamp = min(int.from_bytes(body[:STAMP_BYTES], "big"), 1 << 62) or 1
    return Checked(value, body[STAMP_BYTES:], peer_id(public_key), stamp)


def _check_public_key(key: bytes, value: bytes) -> Checked:
    """`/pk/`: the key under a peer id must be the one that the id was made of (libp2p specs, peer-ids)."""
    name = key[len(PUBLIC_KEYS) :]
    hashed = b"\x12\x20" + hashlib.sha256(value).digest()
    inline = bytes([0, len(value)]) + value if len(value) <= _MAX_INLINE_KEY else hashed
    if not value or name not in (hashed, inline):
        raise _fault("it is not the public key of the peer in its name", "bad_public_key")
    return Checked(value, value, "", 0)


def _signed_bytes(key: bytes, body: bytes) -> bytes:
    return DOMAIN + encode_varint(len(key)) + key + body


def _fault(what: str, code: str = "bad_record") -> PeerFault:
    return PeerFault(f"A DHT record does not hold: {what}", code=code)
