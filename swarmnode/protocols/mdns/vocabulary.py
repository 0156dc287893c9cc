"""Events and effects of finding peers on the link by multicast DNS."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.multiaddr import Multiaddr


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet from somebody on the link, ourselves included."""

    data: bytes


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """Where this node listens, without `/p2p`, the likeliest first: the first such event begins all. A
    change is announced."""

    addresses: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """This node goes."""


@dataclass(frozen=True, slots=True)
class Multicast:
    """To everybody, on each interface."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A peer says, or somebody says of it, that it listens there."""

    peer: str
    addresses: tuple[Multiaddr, ...]
