"""Where others see this node: a vote.

A peer says from where it sees us. One peer can lie and many peers of one owner can lie together, so each
network (/24, /48) has one vote, and an IP address counts when more than half of the votes, and at
least `LEAST_VOTES`, are for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from swarmnode.policy.addresses import ip_of, is_public, subnet
from swarmnode.values.multiaddr import Multiaddr

LEAST_VOTES = 2
#: Votes older than this are no longer counted, seconds: addresses change.
VOTE_SECONDS = 3600.0
MAX_VOTERS = 256


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one peer says. observer: the address it is connected from or at. dialled: it connected to us, so
    the port in `seen` is one that can be dialled. at: monotonic seconds."""

    observer: Multiaddr
    seen: Multiaddr
    dialled: bool
    at: float


@dataclass(frozen=True, slots=True)
class SeenAs:
    """An IP address that the vote is for. addresses: with a port at which peers have reached this node."""

    ip: str
    votes: int
    voters: int
    addresses: tuple[Multiaddr, ...]


def seen_as(sightings: Iterable[Sighting], now: float) -> tuple[SeenAs, ...]:
    """The outcome, IPv4 and IPv6 each for itself: none, one or two. Only public observers are asked: those
    in the same house see other addresses, which this node knows by itself."""
    votes: dict[tuple[int, str], Sighting] = {}
    for sighting in sorted(sightings, key=lambda one: one.at):
        ip, place = ip_of(sighting.seen), subnet(sighting.observer)
        counts = is_public(sighting.observer) and is_public(sighting.seen)
        if ip is not None and place is not None and counts and now - sighting.at <= VOTE_SECONDS:
            votes[ip.version, place] = sighting
    return tuple(outcome for version in (4, 6) if (outcome := _outcome(version, votes)) is not None)


def _outcome(version: int, votes: dict[tuple[int, str], Sighting]) -> SeenAs | None:
    counted = [sighting for (kind, _), sighting in votes.items() if kind == version]
    if not counted:
        return None
    (ip, most), *_ = Counter(str(ip_of(sighting.seen)) for sighting in counted).most_common(1)
    if most < LEAST_VOTES or 2 * most <= len(counted):
        return None
    reached = (s.seen.without_peer() for s in counted if s.dialled and str(ip_of(s.seen)) == ip)
    return SeenAs(ip, most, len(counted), tuple(dict.fromkeys(reached)))
