"""Why there is no connection, in words."""

from __future__ import annotations

from collections.abc import Sequence

from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr

#: Failed addresses that an error names.
SHOWN = 8


def self_dial() -> Refused:
    """The peer or the address is this node."""
    return Refused(
        "This node cannot connect to itself",
        code="self_dial",
        hint="The address or the peer id is this node's own; give those of another node.",
    )


def no_address(peer: str | None, given: bool) -> Unavailable:
    """There is nothing to dial. given: there were addresses, but for other peers."""
    why = "the addresses given belong to other peers" if given else "no address of it is known"
    return Unavailable(
        f"{_name(peer)} cannot be reached: {why}",
        code="no_address",
        hint="Give an address such as /ip4/192.168.1.5/tcp/8810, or an invite code of that node.",
    )


def backing_off(peer: str | None, seconds: float, last: SwarmnodeError) -> Unavailable:
    """It was tried a moment ago."""
    return Unavailable(
        f"{_name(peer)} was not reached a moment ago ({last.message}); the next try is in {seconds:.0f} s",
        code="dial_backoff",
        hint="Try again later, or give another address.",
    )


def unreachable(peer: str | None, faults: Sequence[tuple[Multiaddr, SwarmnodeError]]) -> SwarmnodeError:
    """Every address and what was wrong with it. The code is `wrong_peer` where somebody else is at one."""
    if faults and all(error.code == "self_dial" for _, error in faults):
        return self_dial()
    each = "; ".join(f"{address.without_peer()}: {error.message}" for address, error in faults[:SHOWN])
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return Unavailable(
        f"{_name(peer)} cannot be reached: {each}{more}",
        code="wrong_peer" if any(error.code == "wrong_peer" for _, error in faults) else "unreachable",
        hint="Check that the node runs, that the addresses are its own, and that no firewall is between.",
    )


def short(seconds: float) -> Unavailable:
    """The peer took the connection and ended it at once."""
    return Unavailable(
        f"the peer ended the connection after {seconds:.0f} s",
        code="short_connection",
        hint="It may have too many peers, or none of the protocols of this node.",
    )


def queue_full() -> Unavailable:
    """Too many wait already."""
    return Unavailable(
        "Too many connections are waiting to be made",
        code="dial_queue_full",
        hint="Try again in a few seconds.",
    )


def given_up() -> Unavailable:
    """It came too late."""
    return Unavailable("The connection came when it was not needed any more", code="given_up")


def wrong_peer(expected: str, found: str) -> PeerFault:
    """Somebody else answered."""
    return PeerFault(f"Peer {found} answered where {expected} was expected", code="wrong_peer")


def too_many_connections(peer: str, limit: int) -> Unavailable:
    """The peer has as many connections as it may have."""
    return Unavailable(f"There are {limit} connections to {peer} already", code="too_many_connections")


def peers_full(limit: int) -> Unavailable:
    """No peer can be sent away for this one."""
    return Unavailable(
        f"There are {limit} peers already, and none less useful",
        code="peers_full",
        hint="network.max_peers sets how many there may be.",
    )


def made_room() -> Unavailable:
    """The peer had to go for another one."""
    return Unavailable("The connection made room for a more useful peer", code="made_room")


def subnet_full(subnet: str, limit: int) -> Unavailable:
    """Too many come from one neighbourhood (an eclipse attack looks like that)."""
    return Unavailable(f"There are {limit} peers of {subnet} already", code="subnet_full")


def in_disgrace(peer: str, seconds: float, last: SwarmnodeError) -> Unavailable:
    """The peer broke the rules a moment ago."""
    return Unavailable(
        f"Peer {peer} broke the rules ({last.message}); it is left alone for {seconds:.0f} s",
        code="peer_backoff",
        hint="It is tried again later; if it is your own node, update both to the same version.",
    )


def spare() -> Unavailable:
    """A duplicate that is of no use."""
    return Unavailable("The connection was a duplicate", code="duplicate_connection")


def _name(peer: str | None) -> str:
    return "The node at these addresses" if peer is None else f"Peer {peer}"
