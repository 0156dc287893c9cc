"""Kademlia's messages (libp2p specs, kad-dht, "RPC messages"), bounded both ways.

What is longer than a bound but harmless is cut when it is read (a 21st peer, a 17th address, an address
of an unknown kind); what nobody honest would send is a `PeerFault`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id_bytes, peer_id_text

#: The longest message, bytes, without the length before it.
MAX_MESSAGE_BYTES = 64 * 1024
#: Peers nearer to a key that are told and believed, the spec's k.
MAX_CLOSER = 20
#: Providers that are told in one answer, and read from one: others tell all they know.
MAX_PROVIDERS_TOLD = 20
MAX_PROVIDERS_READ = 64
#: Addresses of one peer, and the bytes of them all when they are told.
MAX_ADDRESSES = 16
MAX_ADDRESS_BYTES = 1024
MAX_KEY_BYTES = 512
#: The longest value of a record.
MAX_VALUE_BYTES = 8 * 1024
#: Peers as they were read and written, remembered in the process, and the longest that are: bytes.
MEMO_PEERS = 4096
MEMO_PEER_BYTES = 512
#: Addresses remembered in the process in both of their forms; the same few come all the time.
MEMO_ADDRESSES = 8192

MESSAGES = schema(
    "kademlia",
    Record={"key": "1 bytes", "value": "2 bytes", "timeReceived": "5 string"},
    Peer={"id": "1 bytes", "addrs": "2 repeated bytes", "connection": "3 int32"},
    Message={
        "type": "1 int32",
        "key": "2 bytes",
        "record": "3 Record",
        # Peers are told by one node after the other: as bytes, what was read once need not be read again.
        "closerPeers": "8 repeated bytes",
        "providerPeers": "9 repeated bytes",
        "clusterLevelRaw": "10 int32",
    },
)


class Kind(IntEnum):
    """The spec's `MessageType`."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


#: The spec's `ConnectionType`: what the sender knows of its connection to a peer it names.
NOT_CONNECTED, CONNECTED = 0, 1


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """A peer as a message names it. addresses: hearsay, without `/p2p`."""

    peer: str
    addresses: tuple[Multiaddr, ...] = ()
    connected: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A value as it travels. received: when its holder got it, RFC 3339; told, never believed."""

    key: bytes
    value: bytes
    received: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One request or answer."""

    kind: Kind
    key: bytes = b""
    record: Record | None = None
    closer: tuple[PeerEntry, ...] = ()
    providers: tuple[PeerEntry, ...] = ()


def encode(message: Message) -> bytes:
    """The bytes of a message, without a length before them."""
    wire = MESSAGES.Message(type=int(message.kind))
    if message.key:
        wire.key = message.key
    if message.record is not None:
        wire.record.key, wire.record.value = message.record.key, message.record.value
        if message.record.received:
            wire.record.timeReceived = message.record.received
    wire.closerPeers.extend([_peer_message(entry) for entry in message.closer[:MAX_CLOSER]])
    wire.providerPeers.extend([_peer_message(entry) for entry in message.providers[:MAX_PROVIDERS_TOLD]])
    data: bytes = wire.SerializeToString()
    return data


def decode(data: bytes) -> Message:
    """The message in the bytes. Raises `PeerFault`."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise _fault(f"it has {len(data)} bytes (at most {MAX_MESSAGE_BYTES})")
    wire = parse(MESSAGES.Message, data, "A DHT message")
    if wire.type not in Kind.__members__.values():
        raise _fault(f"its type {wire.type} is unknown")
    if len(wire.key) > MAX_KEY_BYTES:
        raise _fault(f"its key has {len(wire.key)} bytes (at most {MAX_KEY_BYTES})")
    return Message(
        Kind(wire.type),
        wire.key,
        _record(wire.record) if wire.HasField("record") else None,
        _peers(wire.closerPeers, MAX_CLOSER),
        _peers(wire.providerPeers, MAX_PROVIDERS_READ),
    )


def bounded_addresses(addresses: Iterable[Multiaddr]) -> tuple[Multiaddr, ...]:
    """As many of the addresses as are told of one peer, without `/p2p` at their ends."""
    kept: list[Multiaddr] = []
    size = 0
    for address in addresses:
        plain = address.without_peer()
        size += len(_address_bytes(plain))
        if len(kept) == MAX_ADDRESSES or size > MAX_ADDRESS_BYTES:
            break
        kept.append(plain)
    return tuple(kept)


@lru_cache(maxsize=MEMO_PEERS)
def _peer_message(entry: PeerEntry) -> bytes:
    peer = MESSAGES.Peer(id=peer_id_bytes(entry.peer))
    peer.addrs.extend([_address_bytes(address) for address in bounded_addresses(entry.addresses)])
    if entry.connected:
        peer.connection = CONNECTED
    data: bytes = peer.SerializeToString()
    return data


def _peers(wire: Sequence[bytes], limit: int) -> tuple[PeerEntry, ...]:
    return tuple(
        _known_peer(data) if len(data) <= MEMO_PEER_BYTES else _read_peer(data) for data in wire[:limit]
    )


def _read_peer(data: bytes) -> PeerEntry:
    peer = parse(MESSAGES.Peer, data, "A peer in a DHT message")
    try:
        name = peer_id_text(peer.id)
    except Refused as error:
        raise _fault(f"it names a peer by {len(peer.id)} bytes that are no peer id") from error
    addresses = [_address(address) for address in peer.addrs[:MAX_ADDRESSES]]
    known = tuple(address for address in addresses if address is not None)
    return PeerEntry(name, known, peer.connection == CONNECTED)


#: The peer that a FIND_NODE looks for, if its key is one; a lookup asks many nodes the same.
peer_of_key = lru_cache(maxsize=MEMO_PEERS)(peer_id_text)
_known_peer = lru_cache(maxsize=MEMO_PEERS)(_read_peer)


def _record(wire: Any) -> Record:
    if len(wire.key) > MAX_KEY_BYTES or len(wire.value) > MAX_VALUE_BYTES:
        raise _fault(
            f"its record has {len(wire.key)} bytes of key and {len(wire.value)} of value "
            f"(at most {MAX_KEY_BYTES} and {MAX_VALUE_BYTES})"
        )
    return Record(wire.key, wire.value, wire.timeReceived[:64])


def _fault(what: str) -> PeerFault:
    return PeerFault(f"A DHT message is out of bounds: {what}", code="bad_dht_message")


@lru_cache(maxsize=MEMO_ADDRESSES)
def _address(data: bytes) -> Multiaddr | None:
    try:
        return Multiaddr.from_bytes(data).without_peer()
    except Refused:
        return None


_address_bytes = lru_cache(maxsize=MEMO_ADDRESSES)(Multiaddr.to_bytes)
