"""Which peers to tell another one about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from swarmnode.policy.addresses import is_loopback
from swarmnode.policy.peer_book import PeerFacts
from swarmnode.values.multiaddr import Multiaddr

#: Only peers that were really connected within this many seconds are worth telling.
RECENT_SECONDS = 600.0


class Chance(Protocol):
    """The part of `random.Random` that is needed."""

    def random(self) -> float: ...


def worth_telling(
    facts: Iterable[PeerFacts], asker: str, limit: int, rng: Chance, now: float
) -> list[PeerFacts]:
    """At most `limit` peers, drawn by lot, so that no peer gets all the attention: those connected now
    before those that were."""
    fit = [
        one
        for one in facts
        if one.peer != asker
        and one.last_connected is not None
        and now - one.last_connected <= RECENT_SECONDS
        and one.addresses
    ]
    drawn = sorted(fit, key=lambda one: (not one.connected, rng.random()))
    return drawn[:limit]


def tellable(addresses: Iterable[Multiaddr], *, same_machine: bool) -> tuple[Multiaddr, ...]:
    """The addresses that mean something to the asker: loopback only on this machine."""
    return tuple(address for address in addresses if same_machine or not is_loopback(address))
