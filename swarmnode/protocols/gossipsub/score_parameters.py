"""The numbers of peer scoring (gossipsub v1.1, "The Score Function"), chosen for swarms of 3 to thousands.

The subjects here are quiet: minutes may pass without a message. So a peer that only has nothing to say
must never be punished, and the delivery rate (P3, P3b) counts only where a topic tells its rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field


def decay_to(fraction: float, seconds: float, interval: float = 1.0) -> float:
    """The factor per interval with which a counter falls to `fraction` within `seconds`."""
    return float(fraction ** (interval / seconds))


@dataclass(frozen=True, slots=True)
class TopicScore:
    """One topic's share. Weights and units as in the specification; times are seconds.

    P1 gives at most 3 points, after 5 minutes in the mesh; P2 at most 20, for 20 messages first heard from
    the peer within a minute or so. P4: the third invalid message within minutes is enough for the graylist.
    """

    weight: float = 1.0
    time_in_mesh_weight: float = 0.01
    time_in_mesh_quantum: float = 1.0
    time_in_mesh_cap: float = 300.0
    first_weight: float = 1.0
    first_decay: float = decay_to(0.5, 60)
    first_cap: float = 20.0
    rate_weight: float = 0.0
    rate_decay: float = decay_to(0.1, 60)
    rate_cap: float = 100.0
    rate_threshold: float = 1.0
    rate_window: float = 0.01
    rate_activation: float = 60.0
    failure_weight: float = 0.0
    failure_decay: float = decay_to(0.1, 300)
    invalid_weight: float = -10.0
    invalid_decay: float = decay_to(0.1, 600)


def busy_topic(messages_per_second: float) -> TopicScore:
    """For a topic with a steady flow that every peer in the mesh is expected to carry: an eighth of it must
    come from each, or the peer goes, -10 points for one that carries nothing. Only for swarms much larger
    than a mesh: a peer with no other neighbour than this node has nothing to deliver."""
    decay = decay_to(0.1, 60)
    steady = messages_per_second / (1 - decay)
    threshold = steady / 8
    weight = -10 / (threshold * threshold)
    return TopicScore(
        rate_weight=weight,
        rate_decay=decay,
        rate_cap=steady,
        rate_threshold=threshold,
        failure_weight=weight,
    )


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores below which a peer is told no gossip, gets none of our messages, or is ignored; at which its
    peer exchange is taken; and the median of a mesh below which better peers are grafted."""

    gossip: float = -10.0
    publish: float = -50.0
    graylist: float = -80.0
    accept_exchange: float = 2.0
    opportunistic_graft: float = 1.0


@dataclass(frozen=True, slots=True)
class ScoreParameters:
    """The score of a peer as a whole. interval, retain: seconds.

    colocation (P6): peers on one public address beyond the threshold cost each of them the square of the
    surplus. Private, loopback and link-local addresses are exempt: a household's or a company's nodes,
    and every test, share one. behaviour (P7): five slips are forgiven, the eighth reaches the graylist.
    """

    topic: TopicScore = field(default_factory=TopicScore)
    thresholds: Thresholds = field(default_factory=Thresholds)
    topics_cap: float = 60.0
    application_weight: float = 1.0
    colocation_weight: float = -5.0
    colocation_threshold: int = 10
    behaviour_weight: float = -10.0
    behaviour_threshold: float = 5.0
    behaviour_decay: float = decay_to(0.1, 600)
    interval: float = 1.0
    zero: float = 0.01
    retain: float = 3600.0
    retained: int = 1024
