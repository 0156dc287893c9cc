"""Signed peer records: addresses of a peer that anybody may pass on (libp2p specs, RFC 0003).

A record travels in a signed envelope, unchanged. The domain and payload type are those that go-libp2p and
js-libp2p use; the text of the RFC names older ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from swarmnode.protocols.identify.messages import MAX_ADDRESSES, read_addresses
from swarmnode.protocols.identity.envelope import open_envelope, seal
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id, peer_id_bytes

DOMAIN = b"libp2p-peer-record"
#: The multicodec 0x0301, libp2p-peer-record.
PAYLOAD_TYPE = b"\x03\x01"
MAX_RECORD_BYTES = 8 * 1024
#: Records that are not checked again: the same ones come from peer after peer.
_REMEMBERED = 1024

_WIRE = schema(
    "peer_record",
    AddressInfo={"multiaddr": "1 bytes"},
    PeerRecord={"peer_id": "1 bytes", "seq": "2 uint64", "addresses": "3 repeated AddressInfo"},
)


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """A record whose signature holds. sequence: the higher one of two is the newer. addresses: without
    the peer's own `/p2p/ID`. envelope: the bytes to pass on."""

    peer: str
    sequence: int
    addresses: tuple[Multiaddr, ...]
    envelope: bytes = field(repr=False)


def seal_record(signer: Signer, sequence: int, addresses: Sequence[Multiaddr]) -> bytes:
    """The signed envelope of a record about ourselves."""
    record = _WIRE.PeerRecord(
        peer_id=peer_id_bytes(peer_id(signer.public_key)),
        seq=sequence,
        addresses=[_WIRE.AddressInfo(multiaddr=address.to_bytes()) for address in addresses],
    )
    return seal(signer.public_key, signer.sign, DOMAIN, PAYLOAD_TYPE, record.SerializeToString())


@lru_cache(_REMEMBERED)
def open_record(envelope: bytes) -> PeerRecord:
    """What a record says, once its signature holds and its signer is the one it is about. Raises
    `PeerFault`; `bad_public_key` means no more than that the key is of a kind we cannot check."""
    if len(envelope) > MAX_RECORD_BYTES:
        raise PeerFault(
            f"A peer record has {len(envelope)} bytes ({MAX_RECORD_BYTES} at most)", code="oversized_message"
        )
    opened = open_envelope(envelope, DOMAIN)
    if opened.payload_type != PAYLOAD_TYPE:
        raise PeerFault("A peer record is signed as something else", code="bad_message")
    record = parse(_WIRE.PeerRecord, opened.payload, "A peer record")
    peer = peer_id(opened.public_key)
    if record.peer_id != peer_id_bytes(peer):
        raise PeerFault(f"{peer} signed a peer record about somebody else", code="bad_signature")
    claimed = read_addresses([info.multiaddr for info in record.addresses[: 4 * MAX_ADDRESSES]])
    return PeerRecord(peer, record.seq, own_addresses(peer, claimed), envelope)


def own_addresses(peer: str, addresses: Sequence[Multiaddr]) -> tuple[Multiaddr, ...]:
    """Addresses claimed for a peer, without its own id at their end; those that end in another's id are
    left out."""
    ours = (a.without_peer() for a in addresses if a.peer in (None, peer) and a.transport != ("p2p",))
    return tuple(dict.fromkeys(ours))
