"""Which peers to keep in a mesh and which to take in: choices without state (gossipsub v1.1, Heartbeat
Maintenance, Outbound Mesh Quotas, Opportunistic Grafting)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from swarmnode.protocols.gossipsub.parameters import GossipParameters, Rng

T = TypeVar("T")


def chosen(peers: Sequence[T], count: int, rng: Rng) -> list[T]:
    """At most so many of them, at random."""
    return rng.sample(peers, min(max(count, 0), len(peers)))


def surplus(
    members: Sequence[str],
    score: Callable[[str], float],
    outbound: Callable[[str], bool],
    parameters: GossipParameters,
    rng: Rng,
) -> list[str]:
    """Whom to prune so that `degree` stay: the best `degree_score` stay, the rest is chance, but at least
    `degree_out` of those that stay were dialled by us."""
    mixed = rng.sample(members, len(members))
    best = sorted(mixed, key=score, reverse=True)[: parameters.degree_score]
    rest = [peer for peer in mixed if peer not in best]
    places = parameters.degree - len(best)
    missing = parameters.degree_out - sum(outbound(peer) for peer in best)
    # Those dialled by us take the first of the places that chance would give.
    first = [peer for peer in rest if outbound(peer)][: max(0, min(missing, places))]
    staying = [*best, *first, *(peer for peer in rest if peer not in first)][: parameters.degree]
    # Where the best alone leave too few places for the quota, they make room from the worst up.
    short = parameters.degree_out - sum(outbound(peer) for peer in staying)
    waiting = [peer for peer in rest if outbound(peer) and peer not in staying]
    for peer in waiting[: max(0, short)]:
        leaving = next(p for p in reversed(staying) if not outbound(p))
        staying[staying.index(leaving)] = peer
    return [peer for peer in mixed if peer not in staying]


def quota_candidates(
    members: Sequence[str],
    candidates: Sequence[str],
    outbound: Callable[[str], bool],
    parameters: GossipParameters,
    rng: Rng,
) -> list[str]:
    """Whom to graft so that enough peers in the mesh were dialled by us."""
    missing = parameters.degree_out - sum(outbound(peer) for peer in members)
    return chosen([p for p in candidates if outbound(p)], missing, rng) if missing > 0 else []


def better_candidates(
    members: Sequence[str],
    candidates: Sequence[str],
    score: Callable[[str], float],
    parameters: GossipParameters,
    rng: Rng,
) -> list[str]:
    """Whom to graft because the mesh does poorly: peers better than its median, when that is low."""
    if len(members) < 2:
        return []
    scores = sorted(score(peer) for peer in members)
    median = scores[len(scores) // 2]
    if median >= parameters.score.thresholds.opportunistic_graft:
        return []
    return chosen([p for p in candidates if score(p) > median], parameters.opportunistic_peers, rng)
