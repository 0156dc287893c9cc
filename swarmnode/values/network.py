"""Connections and peers as values."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmnode.values.multiaddr import Multiaddr


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """One secured connection. number: unique in this process. remote, local: addresses of its two ends,
    without `/p2p`. since: monotonic seconds."""

    number: int
    peer: str
    remote: Multiaddr
    local: Multiaddr | None
    inbound: bool
    transport: str
    since: float
    handshake_hash: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The peer-to-peer network. port 0: any free one. max_peers: connected at once; a connection more
    costs the least useful one its place. network_id: name of a private network, or empty."""

    listen_address: str = "0.0.0.0"  # noqa: S104 - peers are strangers by design; the APIs have their own
    port: int = 8810
    bootstrap: tuple[Multiaddr, ...] = ()
    trusted_peers: tuple[str, ...] = ()
    network_id: str = ""
    enable_mdns: bool = True
    peer_exchange: bool = True
    max_peers: int = 150
    max_connections_per_peer: int = 3
    offline: bool = False
