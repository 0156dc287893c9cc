"""What is signed about members of a swarm: that one is there, that it goes, that somebody doubts it.

A statement is a libp2p signed envelope with the domain `swarmnode/member/1`, and travels unchanged: those who
join later get the very bytes that the subject signed. It names the private network that it was made
in, so that it says nothing in another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmnode.protocols.identity.envelope import open_envelope, seal
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.ids import network_tag
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.coordinate import Coordinate
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id, peer_id_bytes, peer_id_text

DOMAIN = b"swarmnode/member/1"
PAYLOAD_TYPE = b"/swarmnode/member"
#: Bytes of a statement; addresses in it; bytes of a digest.
MAX_STATEMENT_BYTES = 4096
MAX_ADDRESSES = 16
MAX_FACTS_BYTES = 32
MAX_SEQUENCE = (1 << 53) - 1

#: Kinds of statements on the wire; another one is of a later version.
_PRESENT, _LEFT, _SUSPECTED = 1, 2, 3
#: Coordinates are told in microseconds, their errors in thousandths.
_MICROSECONDS, _THOUSANDTHS = 1e6, 1e3

_WIRE = schema(
    "member",
    Statement={
        "kind": "1 int32",
        "peer": "2 bytes",
        "sequence": "3 uint64",
        "stamp": "4 uint64",
        "network": "5 string",
        "addresses": "6 repeated bytes",
        "facts": "7 bytes",
        "coordinate": "8 repeated sint32",
    },
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A peer's own word about itself. sequence: above all it said before. left: it goes. addresses: where it
    can be dialled. facts: a digest of what else it tells of itself, to see changes by. stamp: Unix seconds,
    by its clock. statement: the signed bytes."""

    peer: str
    sequence: int
    left: bool = False
    addresses: tuple[Multiaddr, ...] = ()
    facts: bytes = b""
    coordinate: Coordinate | None = None
    stamp: int = 0
    statement: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Somebody's word that a peer no longer answers. sequence: of the claim that is doubted."""

    accuser: str
    peer: str
    sequence: int
    stamp: int = 0
    statement: bytes = field(default=b"", repr=False)


def sign_claim(
    signer: Signer,
    network: str,
    *,
    sequence: int,
    stamp: int,
    left: bool = False,
    addresses: Sequence[Multiaddr] = (),
    facts: bytes = b"",
    coordinate: Coordinate | None = None,
) -> bytes:
    """Our own word. Addresses that are too many are left out. Raises `Refused` for facts too long."""
    if len(facts) > MAX_FACTS_BYTES:
        raise Refused(f"A digest of {len(facts)} bytes; {MAX_FACTS_BYTES} are allowed", code="bad_claim")
    return _sign(
        signer,
        _WIRE.Statement(
            kind=_LEFT if left else _PRESENT,
            peer=peer_id_bytes(peer_id(signer.public_key)),
            sequence=sequence,
            stamp=stamp,
            network=network_tag(network),
            addresses=_fitting(addresses),
            facts=facts,
            coordinate=_numbers(coordinate),
        ),
    )


def sign_suspicion(signer: Signer, network: str, peer: str, sequence: int, stamp: int) -> bytes:
    """Our word that `peer` does not answer, as far as its claim `sequence` goes."""
    return _sign(
        signer,
        _WIRE.Statement(
            kind=_SUSPECTED,
            peer=peer_id_bytes(peer),
            sequence=sequence,
            stamp=stamp,
            network=network_tag(network),
        ),
    )


def open_statement(statement: bytes, network: str) -> Claim | Suspicion | None:
    """What a statement says, once its signature holds; None for a kind of a later version. Raises
    `PeerFault`: `bad_signature` when it is forged, `bad_claim` when no honest node makes such a one."""
    if len(statement) > MAX_STATEMENT_BYTES:
        raise _bad(f"it has {len(statement)} bytes ({MAX_STATEMENT_BYTES} at most)")
    opened = open_envelope(statement, DOMAIN)
    if opened.payload_type != PAYLOAD_TYPE:
        raise _bad("it is signed as something else")
    said = parse(_WIRE.Statement, opened.payload, "A member's claim")
    signer, subject = peer_id(opened.public_key), _peer(said.peer)
    if said.network != network_tag(network):
        raise _bad("it was made in another network")
    if said.sequence > MAX_SEQUENCE:
        raise _bad("its sequence is too high")
    if said.kind == _SUSPECTED:
        return Suspicion(signer, subject, said.sequence, said.stamp, statement)
    if said.kind not in (_PRESENT, _LEFT):
        return None
    if signer != subject:
        raise PeerFault(f"{signer} signed a claim about {subject}", code="bad_signature")
    if len(said.facts) > MAX_FACTS_BYTES or len(said.addresses) > MAX_ADDRESSES:
        raise _bad("it says too much")
    return Claim(
        peer=subject,
        sequence=said.sequence,
        left=said.kind == _LEFT,
        addresses=_addresses(said.addresses, subject),
        facts=said.facts,
        coordinate=_coordinate(said.coordinate),
        stamp=said.stamp,
        statement=statement,
    )


def _sign(signer: Signer, said: Any) -> bytes:
    return seal(
        signer.public_key, signer.sign, DOMAIN, PAYLOAD_TYPE, said.SerializeToString(deterministic=True)
    )


def _fitting(addresses: Sequence[Multiaddr]) -> list[bytes]:
    """As many as fit, leaving room for the rest of the statement."""
    room = MAX_STATEMENT_BYTES - 512
    kept: list[bytes] = []
    for address in dict.fromkeys(one.without_peer() for one in addresses):
        data = address.to_bytes()
        room -= len(data) + 3
        if len(kept) == MAX_ADDRESSES or room < 0:
            break
        kept.append(data)
    return kept


def _addresses(values: Any, peer: str) -> tuple[Multiaddr, ...]:
    known: dict[Multiaddr, None] = {}
    for value in values:
        try:
            address = Multiaddr.from_bytes(value)
        except Refused:
            continue  # a kind that a later version knows
        if address.peer in (None, peer) and address.transport != ("p2p",):
            known[address.without_peer()] = None
    return tuple(known)


def _peer(data: bytes) -> str:
    try:
        return peer_id_text(data)
    except Refused as error:
        raise _bad(error.message) from error


def _numbers(coordinate: Coordinate | None) -> list[int]:
    if coordinate is None:
        return []
    place = (coordinate.x, coordinate.y, coordinate.height)
    return [*(round(value * _MICROSECONDS) for value in place), round(coordinate.error * _THOUSANDTHS)]


def _coordinate(numbers: Any) -> Coordinate | None:
    if len(numbers) != 4:
        return None
    x, y, height = (value / _MICROSECONDS for value in numbers[:3])
    return Coordinate(x, y, height, numbers[3] / _THOUSANDTHS)


def _bad(fault: str) -> PeerFault:
    return PeerFault(f"A member's claim is not usable: {fault}", code="bad_claim")
