"""Messages that travel by gossip: what one node said, to whom it may concern, in a libp2p signed envelope.

The domain is `swarmnode/<kind>/1` and the payload type `/swarmnode/<kind>`, so that what was signed as one
kind is never taken for another; the topic is inside, so that it is not carried from one subject or network
to the next. Who passes a message on passes on these bytes: nothing is ever written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from swarmnode.protocols.identity.envelope import MAX_ENVELOPE_BYTES, open_envelope, seal
from swarmnode.protocols.identity.fields import bytes_field, decode_fields
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.messages import KINDS, MAX_KIND_CHARS, Kind, read_fields
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import peer_id

#: How old a message may be, seconds, and how far ahead of our clock.
MAX_AGE = 300
MAX_AHEAD = 30
#: Of a kind that is not known here, bytes: passed on, but not without an end.
UNKNOWN_LIMIT = 16 << 10
#: What envelope, stamp, sequence and topic add to a body, bytes at most.
OVERHEAD = 512

_PAYLOAD_TYPE_PREFIX = b"/swarmnode/"
_PAYLOAD_TYPE = 2
_SIGNATURES = ("bad_signature", "signature_violation")
_STATEMENTS = schema(
    "signed", Statement={"stamp": "1 uint64", "sequence": "2 uint64", "topic": "3 string", "body": "4 bytes"}
)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """One checked message.

    sender: peer id of who signed it. stamp: Unix seconds, by the sender's clock. sequence: above all before
    it from this sender. body: the encoded message. envelope: the signed bytes, to be kept and passed on.
    """

    kind: str
    sender: str
    stamp: int
    sequence: int
    topic: str
    body: bytes = field(repr=False)
    envelope: bytes = field(repr=False)


def sign_message(signer: Signer, kind: Kind, topic: str, body: bytes, *, stamp: int, sequence: int) -> bytes:
    """The envelope. topic: the full name, as `ids.topic_name` gives it. Raises `Refused` when too long."""
    if len(body) > kind.limit:
        raise Refused(
            f"A {kind.name} of {len(body)} bytes; {kind.limit} are allowed", code="message_too_large"
        )
    statement = _STATEMENTS.Statement(stamp=stamp, sequence=sequence, topic=topic, body=body)
    return seal(
        signer.public_key,
        signer.sign,
        _domain(kind.name),
        _PAYLOAD_TYPE_PREFIX + kind.name.encode(),
        statement.SerializeToString(deterministic=True),
    )


def open_message(envelope: bytes, topic: str, stamp: float) -> SignedMessage:
    """What an envelope on this topic says, whatever its kind; `read_body` checks the rest.

    stamp: our clock, Unix seconds. Raises `PeerFault`: `invalid_gossip` (not well formed, too long, on the
    wrong topic), `signature_violation`, `stale` (too old, or from too far ahead).
    """
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise invalid(f"it has {len(envelope)} bytes")
    kind = _kind_of(envelope)
    try:
        opened = open_envelope(envelope, _domain(kind))
        statement = parse(_STATEMENTS.Statement, opened.payload, f"A signed {kind}")
    except PeerFault as error:
        raise _renamed(error) from error
    limit = KINDS[kind].limit if kind in KINDS else UNKNOWN_LIMIT
    if len(statement.body) > limit:
        raise invalid(f"a {kind} of {len(statement.body)} bytes; {limit} are allowed")
    if statement.topic != topic:
        raise invalid(f"a {kind} came on {topic}, where it was not sent")
    _check_age(kind, statement.stamp, stamp)
    sender = peer_id(opened.public_key)
    return SignedMessage(kind, sender, statement.stamp, statement.sequence, topic, statement.body, envelope)


def read_body(message: SignedMessage, kind: Kind) -> Any:
    """The message itself. Raises `PeerFault`: `invalid_gossip`, `signature_violation` when the sender claims
    to be somebody else."""
    try:
        return read_fields(kind, kind.message, message.body, message.sender)
    except PeerFault as error:
        raise _renamed(error) from error


def invalid(fault: str) -> PeerFault:
    """The error for gossip that no honest node sends."""
    return PeerFault(f"A gossip message is invalid: {fault}", code="invalid_gossip")


def _renamed(error: PeerFault) -> PeerFault:
    code = "signature_violation" if error.code in _SIGNATURES else "invalid_gossip"
    return PeerFault(error.message, code=code)


def _domain(kind: str) -> bytes:
    return b"swarmnode/" + kind.encode() + b"/1"


def _kind_of(envelope: bytes) -> str:
    try:
        payload_type = bytes_field(decode_fields(envelope), _PAYLOAD_TYPE)
    except PeerFault as error:
        raise invalid(error.message) from error
    name = payload_type.removeprefix(_PAYLOAD_TYPE_PREFIX)
    if name == payload_type or not 1 <= len(name) <= MAX_KIND_CHARS:
        raise invalid("its payload type is none of ours")
    if not all(char == 0x5F or 0x30 <= char <= 0x39 or 0x61 <= char <= 0x7A for char in name):
        raise invalid("its kind is no name")
    return name.decode("ascii")


def _check_age(kind: str, said: int, stamp: float) -> None:
    age = stamp - said
    if age > MAX_AGE:
        raise PeerFault(f"A {kind} is {age:.0f} s old; {MAX_AGE} s are allowed", code="stale")
    if age < -MAX_AHEAD:
        raise PeerFault(f"A {kind} is {-age:.0f} s ahead of our clock", code="stale")
