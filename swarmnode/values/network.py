"""Connections and peers as values."""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class HostStats:
    """How a host's connections are doing. inbound, outbound: in use now; pending: not yet, or not any more.
    streams: open now. received, sent: bytes on the wire since the start. dials, arrivals, ends: counts since
    the start by what became of them: `ok`, or the code of an error."""

    inbound: int
    outbound: int
    pending: int
    streams: int
    received: int
    sent: int
    dials: Mapping[str, int]
    arrivals: Mapping[str, int]
    ends: Mapping[str, int]
