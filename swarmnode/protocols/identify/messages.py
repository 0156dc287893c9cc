"""What a node says of itself (libp2p specs, identify r1), as bytes and as a value.

The answer to `/ipfs/id/1.0.0`, and what is sent unasked on `/ipfs/id/push/1.0.0`: one or several
protobuf messages, each after its length, that are merged field by field. js-libp2p and go-libp2p take
messages of up to 8 KiB and send a second one where a record makes the first too long.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id_of_encoded

PROTOCOL = "/ipfs/id/1.0.0"
PUSH_PROTOCOL = "/ipfs/id/push/1.0.0"

#: The longest single message that others take.
MAX_MESSAGE_BYTES = 8 * 1024
#: All messages of one answer together, and how many they may be (go-libp2p: 10).
MAX_ANSWER_BYTES = 64 * 1024
MAX_MESSAGES = 10
#: What is kept of an answer; more is left out.
MAX_ADDRESSES = 32
MAX_PROTOCOLS = 256
MAX_PROTOCOL_BYTES = 200
MAX_TEXT_BYTES = 200
MAX_PUBLIC_KEY_BYTES = 2048

# Texts are read as bytes, so that what is not UTF-8 costs a field and not the message.
_WIRE = schema(
    "identify",
    Identify={
        "publicKey": "1 bytes",
        "listenAddrs": "2 repeated bytes",
        "protocols": "3 repeated bytes",
        "observedAddr": "4 bytes",
        "protocolVersion": "5 bytes",
        "agentVersion": "6 bytes",
        "signedPeerRecord": "8 bytes",
    },
)


@dataclass(frozen=True, slots=True)
class Identification:
    """What was said. Empty fields were not said: a push may name only what has changed.

    public_key: libp2p's protobuf `PublicKey`. addresses: where the node listens. observed: where it
    sees the one it talks to. record: a signed peer record, unopened.
    """

    public_key: bytes = b""
    addresses: tuple[Multiaddr, ...] = ()
    protocols: tuple[str, ...] = ()
    observed: Multiaddr | None = None
    protocol_version: str = ""
    agent: str = ""
    record: bytes = field(default=b"", repr=False)


def encode_identification(said: Identification) -> bytes:
    """The bytes of an answer or a push: one framed message, or two when one would be too long."""
    fields = {
        "publicKey": said.public_key,
        "listenAddrs": [address.to_bytes() for address in said.addresses],
        "protocols": [name.encode() for name in said.protocols],
        "observedAddr": said.observed.to_bytes() if said.observed is not None else b"",
        "protocolVersion": said.protocol_version.encode(),
        "agentVersion": said.agent.encode(),
    }
    # A field that is there, if empty, would overwrite what the receiver knows.
    first = _WIRE.Identify(**{name: value for name, value in fields.items() if value})
    alone = first.SerializeToString()
    if not said.record:
        return framed(alone)
    first.signedPeerRecord = said.record
    together = first.SerializeToString()
    if len(together) <= MAX_MESSAGE_BYTES:
        return framed(together)
    return framed(alone) + framed(_WIRE.Identify(signedPeerRecord=said.record).SerializeToString())


class IdentificationReader:
    """Reads an answer or a push as it comes. Keeps at most `MAX_ANSWER_BYTES`."""

    def __init__(self) -> None:
        self._frames = Frames(MAX_ANSWER_BYTES, "identify")
        self._merged = _WIRE.Identify()
        self._bytes = self._messages = 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; whether the answer is complete: a signed record comes in the last message, and without
        one the end of the stream tells. Raises `PeerFault` for too much and for what is not well formed."""
        self._bytes += len(data)
        if self._bytes > MAX_ANSWER_BYTES:
            raise PeerFault(
                f"identify: more than {MAX_ANSWER_BYTES} bytes were sent", code="oversized_message"
            )
        for frame in self._frames.feed(data):
            self._messages += 1
            if self._messages > MAX_MESSAGES:
                raise PeerFault(
                    f"identify: more than {MAX_MESSAGES} messages were sent", code="oversized_message"
                )
            self._merged.MergeFrom(parse(_WIRE.Identify, frame, "identify"))
        return bool(self._merged.signedPeerRecord) and not self._frames.pending

    def finish(self) -> Identification:
        """What was said. Raises `PeerFault` when a message is cut off, or none came."""
        if self._frames.pending or not self._messages:
            raise PeerFault("identify: the answer ended too early", code="bad_message")
        said = self._merged
        return Identification(
            public_key=said.publicKey[:MAX_PUBLIC_KEY_BYTES],
            addresses=read_addresses(said.listenAddrs),
            protocols=_protocols(said.protocols),
            observed=read_address(said.observedAddr),
            protocol_version=readable(said.protocolVersion),
            agent=readable(said.agentVersion),
            record=said.signedPeerRecord,
        )


def read_address(data: bytes) -> Multiaddr | None:
    """A binary address; None where it is empty or of a kind that is not known here."""
    try:
        return Multiaddr.from_bytes(data) if data else None
    except Refused:
        return None


def read_addresses(items: Any, limit: int = MAX_ADDRESSES) -> tuple[Multiaddr, ...]:
    """The known ones among binary addresses, each once, in their order. Looks at no more than four times
    as many as it returns."""
    found = (read_address(item) for item in items[: 4 * limit])
    return tuple(dict.fromkeys(address for address in found if address is not None))[:limit]


def readable(data: bytes) -> str:
    """Text of a stranger, fit for a log line or a page: cut, and without control characters."""
    text = data[:MAX_TEXT_BYTES].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)


def check_public_key(said: Identification, peer: str) -> None:
    """Raises `PeerFault` when the key that the peer names is not the one that its connection has proven.

    A short key is its own id, a longer one (RSA, ECDSA) has its SHA-256 for an id (libp2p specs, peer-ids).
    """
    if said.public_key and peer_id_of_encoded(said.public_key) != peer:
        raise PeerFault(f"identify: {peer} names the public key of somebody else", code="wrong_identity")


def _protocols(items: Any) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for item in items[: 4 * MAX_PROTOCOLS]:
        if 0 < len(item) <= MAX_PROTOCOL_BYTES and item.isascii() and (name := item.decode()).isprintable():
            names[name] = None
    return tuple(names)[:MAX_PROTOCOLS]
