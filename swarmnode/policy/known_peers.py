"""Which peers to remember over a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from swarmnode.policy.peer_book import PeerFacts
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import Multiaddr

MAX_KNOWN = 200
#: Addresses that are remembered of each.
MAX_ADDRESSES = 8


def worth_remembering(
    facts: Iterable[PeerFacts],
    earlier: Iterable[KnownPeer],
    dialled: Callable[[str], tuple[Multiaddr, ...]],
    now: float,
    stamp: float,
) -> tuple[KnownPeer, ...]:
    """The peers that were really connected, in this run or an earlier one, the latest first; at most
    `MAX_KNOWN`, so that one too many costs the one connected longest ago its place.

    earlier: what was remembered at the start. dialled: a peer's addresses, the likeliest first. now:
    monotonic, stamp: Unix seconds, of this moment.
    """
    best = {known.peer: known for known in earlier}
    for one in facts:
        addresses = dialled(one.peer)[:MAX_ADDRESSES]
        if one.last_connected is None or not addresses:
            continue
        last = stamp - (now - one.last_connected)
        best[one.peer] = KnownPeer(one.peer, addresses, one.how, last_seen=last, last_connected=last)
    return in_order(best.values())[:MAX_KNOWN]


def in_order(known: Iterable[KnownPeer]) -> tuple[KnownPeer, ...]:
    """The peers connected last first."""
    return tuple(sorted(known, key=lambda one: (-one.last_connected, -one.last_seen, one.peer)))
