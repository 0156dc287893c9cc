"""The greeting of two nodes: what each one is and can (`swarmnode/hello/1`).

On a stream of its own: whoever dialled says hello first, the other one answers with its own, both end. The
protocol's version stays 1; everything new is a feature, and whoever sends something new looks first whether
the peer has said that it knows it. Unknown fields and features are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from blake3 import blake3

from swarmnode.protocols.wire.framing import framed
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.multiaddr import Multiaddr

PROTOCOL_VERSION = 1
#: The protocol's name, for `ids.protocol_id`.
NAME = "hello/1"
#: Bytes of a greeting, and how much of each thing is kept of one.
MAX_HELLO_BYTES = 16 << 10
MAX_NAMES = 64
MAX_NAME_CHARS = 64
MAX_ADDRESSES = 32
#: Bytes of what `digest_of` makes of a greeting.
DIGEST_BYTES = 16

_HELLOS = schema(
    "hello",
    Hello={
        "protocol_version": "1 uint32",
        "software": "2 string",
        "features": "3 repeated string",
        "profiles": "4 repeated string",
        "stamp_ms": "5 uint64",
        "addresses": "6 repeated bytes",
        "mode": "7 string",
    },
)


@dataclass(frozen=True, slots=True)
class Hello:
    """One node's greeting.

    software: name and version. features: names of what it can beyond version 1. profiles: of numerics
    (DESIGN 6) that it can compute in. stamp_ms: its clock, Unix milliseconds. addresses: where it listens.
    mode: `node`, or what it is instead (`client`: it serves nothing).
    """

    software: str
    features: frozenset[str] = frozenset()
    profiles: tuple[str, ...] = ()
    stamp_ms: int = 0
    addresses: tuple[Multiaddr, ...] = ()
    mode: str = "node"
    protocol_version: int = PROTOCOL_VERSION


def encode_hello(hello: Hello) -> bytes:
    """The greeting as it goes over the stream, its length before it."""
    message = _HELLOS.Hello(
        protocol_version=hello.protocol_version,
        software=hello.software,
        features=sorted(hello.features)[:MAX_NAMES],
        profiles=hello.profiles[:MAX_NAMES],
        stamp_ms=hello.stamp_ms,
        addresses=[address.to_bytes() for address in hello.addresses[:MAX_ADDRESSES]],
        mode=hello.mode,
    )
    return framed(message.SerializeToString(deterministic=True))


def digest_of(hello: Hello) -> bytes:
    """What a node's claim in the swarm says of its greeting, so that a change is seen without asking: of all
    but the clock and the addresses, which are told elsewhere."""
    lasting = replace(hello, stamp_ms=0, addresses=())
    return blake3(encode_hello(lasting)).digest(DIGEST_BYTES)


def decode_hello(data: bytes) -> Hello:
    """A greeting without its length. What is too much is left out; addresses of unknown kinds are too.
    Raises `PeerFault` when it is no greeting, or of a version that can not be spoken to."""
    message = parse(_HELLOS.Hello, data, "A hello")
    if message.protocol_version != PROTOCOL_VERSION:
        raise PeerFault(
            f"The peer speaks version {message.protocol_version} of the swarm's protocols, "
            f"this node {PROTOCOL_VERSION}",
            code="other_version",
            hint="One of the two nodes needs an update.",
        )
    return Hello(
        software=_name(message.software),
        features=frozenset(_names(message.features)),
        profiles=tuple(_names(message.profiles)),
        stamp_ms=message.stamp_ms,
        addresses=tuple(_addresses(message.addresses)),
        mode=_name(message.mode) or "node",
    )


def skew(stamp_ms: int, sent: float, received: float, stamp: float) -> float:
    """By how many seconds the peer's clock is ahead of ours.

    stamp_ms: what its clock said, when the message was written. sent, received: monotonic seconds of our
    question and its answer; half of the time between is taken for the way back (as NTP does, RFC 5905). The
    error is at most that half. stamp: our clock, Unix seconds, at `received`.
    """
    return stamp_ms / 1000 + (received - sent) / 2 - stamp


def _name(text: str) -> str:
    return "".join(char for char in text[:MAX_NAME_CHARS] if char.isprintable())


def _names(values: Any) -> list[str]:
    """A name that had to be shortened would be another name."""
    kept = [value for value in values[:MAX_NAMES] if value == _name(value) != ""]
    return list(dict.fromkeys(kept))


def _addresses(values: Any) -> list[Multiaddr]:
    known: list[Multiaddr] = []
    for value in values[:MAX_ADDRESSES]:
        try:
            known.append(Multiaddr.from_bytes(value))
        except Refused:
            continue
    return known
