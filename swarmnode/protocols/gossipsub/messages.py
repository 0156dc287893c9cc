"""Signed messages (libp2p specs, pubsub: The Message, Message Signing; policy StrictSign).

A message's id is its author's binary peer id and its number of 8 bytes. The signature covers the
message in protobuf's canonical form, without signature and key, behind a prefix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from swarmnode.protocols.gossipsub.parameters import MAX_TOPIC_BYTES
from swarmnode.protocols.identity.fields import FieldValue, encode_fields
from swarmnode.protocols.identity.keys import PublicKey, decode_key, key_of_peer
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import peer_id_bytes, peer_id_text

SIGN_PREFIX = b"libp2p-pubsub:"
SEQNO_BYTES = 8
#: Authors whose ids stay decoded in the process.
MEMO_AUTHORS = 4096

_FROM, _DATA, _SEQNO, _TOPIC, _SIGNATURE, _KEY = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose signature holds. source: the author's peer id. encoded: its protobuf."""

    source: str
    topic: str
    data: bytes
    seqno: bytes
    id: bytes
    encoded: bytes = field(repr=False)


def checked_topic(topic: str) -> str:
    """The topic, where its name can be used. Raises `Refused`."""
    size = len(topic.encode())
    if not 0 < size <= MAX_TOPIC_BYTES:
        raise Refused(
            f"A gossip topic has a name of 1 to {MAX_TOPIC_BYTES} bytes, not {size}", code="bad_topic"
        )
    return topic


def message_id(source: bytes, seqno: bytes) -> bytes:
    """The id by which a message is known. source: a binary peer id."""
    return source + seqno


def make_message(source: str, sign: Callable[[bytes], bytes], seqno: int, topic: str, data: bytes) -> Message:
    """A message of our own, signed. The key is left out: an Ed25519 peer id holds it."""
    binary, number = peer_id_bytes(source), seqno.to_bytes(SEQNO_BYTES, "big")
    fields: list[tuple[int, FieldValue]] = [
        (_FROM, binary),
        (_DATA, data),
        (_SEQNO, number),
        (_TOPIC, topic.encode()),
    ]
    signature = sign(SIGN_PREFIX + encode_fields(fields))
    encoded = encode_fields([*fields, (_SIGNATURE, signature)])
    return Message(source, topic, data, number, message_id(binary, number), encoded)


def raw_id(raw: Any) -> bytes:
    """The id of a received protobuf `Message`, its form checked as far as that needs. Raises `PeerFault`."""
    if not raw.HasField("seqno") or len(raw.seqno) != SEQNO_BYTES:
        raise _invalid("it has no number of 8 bytes")
    if not getattr(raw, "from"):
        raise _invalid("it does not name its author")
    if not 0 < len(raw.topic) <= MAX_TOPIC_BYTES:
        raise _invalid("it has no topic, or a very long one")
    return message_id(getattr(raw, "from"), raw.seqno)


def verified(raw: Any) -> Message:
    """The message, once its signature holds. Raises `PeerFault(code='bad_message')`."""
    number = raw_id(raw)
    source, key = _author(getattr(raw, "from"))
    if raw.HasField("key") or key is None:
        key = _sent_key(raw.key, source)
    fields = _signed_fields(raw)
    if not key.verify(raw.signature, SIGN_PREFIX + encode_fields(fields)):
        raise _invalid("its signature is wrong" if raw.signature else "it is not signed")
    fields.append((_SIGNATURE, raw.signature))
    if raw.HasField("key"):
        # Whether or not the id needs it (js-libp2p always sends it), those after us may.
        fields.append((_KEY, raw.key))
    return Message(source, raw.topic, raw.data, raw.seqno, number, encode_fields(fields))


def _signed_fields(raw: Any) -> list[tuple[int, FieldValue]]:
    """Empty data may be written or left out: the signature knows the difference."""
    fields: list[tuple[int, FieldValue]] = [(_FROM, getattr(raw, "from"))]
    if raw.HasField("data"):
        fields.append((_DATA, raw.data))
    return [*fields, (_SEQNO, raw.seqno), (_TOPIC, raw.topic.encode())]


@lru_cache(maxsize=MEMO_AUTHORS)
def _author(source: bytes) -> tuple[str, PublicKey | None]:
    """The author's peer id, and its key where the id spells it out."""
    try:
        text = peer_id_text(source)
        return text, key_of_peer(text)
    except (Refused, PeerFault) as error:
        raise _invalid(f"its author is no peer id ({error.message})") from error


def _sent_key(encoded: bytes, source: str) -> PublicKey:
    try:
        key = decode_key(encoded)
    except PeerFault as error:
        raise _invalid(f"its author's key is missing or bad ({error.message})") from error
    if key.peer_id != source:
        raise _invalid("its key is not its author's")
    return key


def _invalid(what: str) -> PeerFault:
    return PeerFault(f"A gossip message is invalid: {what}", code="bad_message")
