"""What happened so far, and how things stand: for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmnode.protocols.gossipsub.scoring import PeerScore


@dataclass(slots=True)
class Counts:
    """Since the start. Messages: published by us; delivered here; forwarded copies; duplicates; ignored by a
    validator; invalid; of topics not ours (foreign); on which a validator
    failed. Ids: announced, asked for, answered. RPCs that were not listened to."""

    published: int = 0
    delivered: int = 0
    forwarded: int = 0
    duplicates: int = 0
    ignored: int = 0
    invalid: int = 0
    foreign: int = 0
    validator_failures: int = 0
    announced: int = 0
    asked: int = 0
    answered: int = 0
    broken_promises: int = 0
    graylisted_rpcs: int = 0
    malformed_rpcs: int = 0


@dataclass(frozen=True, slots=True)
class TopicState:
    """peers: neighbours that subscribe; mesh: those in its mesh."""

    topic: str
    peers: int
    mesh: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GossipState:
    """A snapshot. seen, cached: messages remembered; cached_bytes: their size; retained: scores kept of peers
    that have gone."""

    peers: int
    topics: tuple[TopicState, ...]
    scores: tuple[PeerScore, ...] = field(repr=False)
    counts: Counts
    seen: int
    cached: int
    cached_bytes: int
    retained: int
