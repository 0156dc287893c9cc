"""What the Kademlia machine is told and what it asks for: its events, effects and results.

Queries are known by a number above zero that the caller chooses, requests of ours (RPCs) by one that the
machine chooses, requests of others by one that the adapter chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmnode.protocols.kademlia.messages import PeerEntry
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr

# Events: peers.


@dataclass(frozen=True, slots=True)
class PeerServes:
    """A connected peer speaks the protocol as a server. remote: the address at the connection's other end,
    which nobody can lie about."""

    peer: str
    remote: Multiaddr | None = None


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer is not connected any more. It stays in the table until it does not answer."""

    peer: str


@dataclass(frozen=True, slots=True)
class PeerDropped:
    """The peer is not to be asked any more: it serves no longer, or it misbehaved elsewhere."""

    peer: str


# Events: what this node wants.


@dataclass(frozen=True, slots=True)
class FindPeer:
    """Look a peer's addresses up: a `PeerFound`."""

    query: int
    peer: str


@dataclass(frozen=True, slots=True)
class PutValue:
    """Sign a payload, have the nearest peers keep it, and publish it again until `Withdraw`: a `Stored`."""

    query: int
    key: bytes
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class GetValue:
    """Look a record up: a `ValueFound`. signer: only what this peer signed counts; None: whoever."""

    query: int
    key: bytes
    signer: str | None = None


@dataclass(frozen=True, slots=True)
class Provide:
    """Tell the nearest peers that this node provides the key, and again until `Withdraw`: a `Stored`."""

    query: int
    key: bytes


@dataclass(frozen=True, slots=True)
class FindProviders:
    """Look up to `limit` providers up: a `ProvidersFound`."""

    query: int
    key: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Publish this key no more; what others keep of it expires."""

    key: bytes


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The caller wants no answer to this query any more."""

    query: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """Look around now, whatever the schedule says."""


# Events: requests.


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an RPC; no bytes where none was to come. remote: as in `PeerServes`."""

    rpc: int
    data: bytes = field(repr=False)
    remote: Multiaddr | None = None


@dataclass(frozen=True, slots=True)
class RpcFailed:
    """There is no answer to an RPC and will be none."""

    rpc: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class Asked:
    """A peer's request. remote: as in `PeerServes`."""

    request: int
    peer: str
    data: bytes = field(repr=False)
    remote: Multiaddr | None = None


# Effects.


@dataclass(frozen=True, slots=True)
class Rpc:
    """Ask a peer. addresses: hearsay, for when it is not connected. answered: whether an answer comes; if not
    it is done when the peer has taken it (the spec answers ADD_PROVIDER nowhere)."""

    rpc: int
    peer: str
    addresses: tuple[Multiaddr, ...]
    data: bytes = field(repr=False)
    answered: bool = True


@dataclass(frozen=True, slots=True)
class CancelRpc:
    """No answer to it is wanted any more: reset its stream."""

    rpc: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a peer's request; None: there is nothing to say, and that is in order."""

    request: int
    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """Reset the stream of a peer's request."""

    request: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class AddressesLearnt:
    """The peer answered, or said itself, that it can be reached there."""

    peer: str
    addresses: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """The peer is in the routing table now (True), or no longer: connections to such peers are worth
    keeping."""

    peer: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Penalise:
    """The peer broke the rules."""

    peer: str
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class QueryDone:
    """A query's result, or why there is none."""

    query: int
    result: QueryResult | SwarmnodeError


# Results.


@dataclass(frozen=True, slots=True)
class PeerFound:
    """confirmed: the peer itself answered; else its addresses are hearsay."""

    peer: str
    addresses: tuple[Multiaddr, ...]
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """holders: the peers that took it, nearest first."""

    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValueFound:
    """A record, its signature checked. signer: the peer id that signed it (empty for `/pk/`). stamp: Unix
    seconds, when. agreed: how many peers had this very value."""

    key: bytes
    payload: bytes = field(repr=False)
    signer: str
    stamp: int
    agreed: int


@dataclass(frozen=True, slots=True)
class ProvidersFound:
    """Who claims to provide the key; whether it does shows when it is asked."""

    providers: tuple[PeerEntry, ...]


QueryResult = PeerFound | Stored | ValueFound | ProvidersFound
