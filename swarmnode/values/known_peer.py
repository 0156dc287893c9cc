"""A peer as it is remembered over a restart."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.multiaddr import Multiaddr


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """addresses: without `/p2p`, the best first. how: the way in which it was first found. last_seen,
    last_connected: Unix seconds; 0 when it never was."""

    peer: str
    addresses: tuple[Multiaddr, ...]
    how: str
    last_seen: float
    last_connected: float
