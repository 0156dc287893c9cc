"""What gossipsub is tuned with, and the bounds of everything it keeps.

Values are those of the v1.1 specification where it recommends one; where not, of js-libp2p, with the reason
beside those that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from swarmnode.protocols.gossipsub.score_parameters import ScoreParameters

PROTOCOL_1_1 = "/meshsub/1.1.0"
PROTOCOL_1_0 = "/meshsub/1.0.0"
#: Offered in this order.
PROTOCOLS = (PROTOCOL_1_1, PROTOCOL_1_0)

#: Bytes of the largest RPC taken or sent (libp2p's usual cap).
MAX_RPC_BYTES = 1 << 20
#: Bytes of data in a message, unless the topic says something else.
MAX_DATA_BYTES = 64 * 1024
#: The most that a topic may allow: it has to fit into an RPC with everything around it.
MAX_TOPIC_DATA_BYTES = MAX_RPC_BYTES - 4096
#: Bytes of a topic's name.
MAX_TOPIC_BYTES = 256
#: Topics this node subscribes to or publishes in.
MAX_OWN_TOPICS = 64
#: Topics remembered of one peer; more are not noted.
MAX_PEER_TOPICS = 256
#: Subscriptions, messages or control entries of one kind in an RPC; more are a fault.
MAX_ENTRIES = 5000
#: Bytes of a message id that is looked at: 44 of a peer id and 8 of a number, and some room.
MAX_ID_BYTES = 128
#: Peers that are connected.
MAX_PEERS = 1024
#: Messages remembered as seen, and for how long, seconds.
MAX_SEEN = 32_768
SEEN_SECONDS = 120.0
#: Messages and bytes kept for those who ask.
MAX_CACHED_MESSAGES = 8192
MAX_CACHED_BYTES = 16 << 20
#: Pairs of topic and peer that wait out a back-off.
MAX_BACKOFFS = 8192
#: The longest back-off that a peer can ask for, seconds.
MAX_BACKOFF = 3600.0
#: Message ids asked for at a time.
MAX_PROMISES = 16_384
#: Heartbeats after which back-offs that are over are cleared away.
CLEAR_TICKS = 15
#: Per peer and heartbeat: ids taken or asked, IHAVE and IWANT entries, bytes answered to IWANT.
MAX_IDS = 5000
MAX_IHAVE_ENTRIES = 10
MAX_IWANT_ENTRIES = 10
MAX_ANSWER_BYTES = 1 << 20
#: Times that one message is sent to the same peer on demand.
MAX_RETRANSMISSIONS = 3
#: Seconds until a message that was announced and asked for must have come.
PROMISE_SECONDS = 3.0
#: Seconds during which nobody else is asked for the same message.
ASK_AGAIN_SECONDS = 1.0
#: Peers in one PRUNE, ours or theirs; peers so found that are dialled per heartbeat.
MAX_EXCHANGED = 16
#: Bytes of a signed peer record that is kept or taken, and of all records in one PRUNE of ours.
MAX_RECORD_BYTES = 4096
MAX_EXCHANGE_BYTES = 8192

T = TypeVar("T")


class Rng(Protocol):
    """The part of `random.Random` that is needed."""

    def random(self) -> float:
        """From 0 up to 1."""

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """k different ones."""


@dataclass(frozen=True, slots=True)
class GossipParameters:
    """degree: peers in a topic's mesh that are aimed at. Times are seconds.

    degree_low is 5 as in go-libp2p (the specification says 4): nodes are people's computers, which leave more
    often than servers, and with 5 a mesh is refilled when the second of its six has gone.
    flood_publish_bytes: own messages up to this size go to every peer in the topic (spec, Flood
    Publishing); larger ones only to the mesh or the fanout, or one message of 64 KiB would cost 10 MB at
    150 peers.
    direct: peers that always get every message and are outside the mesh (spec, Explicit Peering).
    """

    degree: int = 6
    degree_low: int = 5
    degree_high: int = 12
    degree_score: int = 4
    degree_out: int = 2
    degree_lazy: int = 6
    gossip_factor: float = 0.25
    heartbeat: float = 1.0
    history: int = 5
    history_gossip: int = 3
    fanout_ttl: float = 60.0
    prune_backoff: float = 60.0
    unsubscribe_backoff: float = 10.0
    graft_flood: float = 10.0
    opportunistic_ticks: int = 60
    opportunistic_peers: int = 2
    direct_ticks: int = 300
    flood_publish_bytes: int = 16 * 1024
    direct: tuple[str, ...] = ()
    score: ScoreParameters = field(default_factory=ScoreParameters)

    def __post_init__(self) -> None:
        if not 0 <= self.degree_out < max(1, self.degree_low) or self.degree_out > self.degree / 2:
            raise ValueError("degree_out must be below degree_low and at most half of degree")
        if not self.degree_low <= self.degree <= self.degree_high or self.degree_score > self.degree:
            raise ValueError("degree must lie between degree_low and degree_high, and hold degree_score")
        if not 0 < self.history_gossip <= self.history or self.heartbeat <= 0:
            raise ValueError("history_gossip must be within history, and the heartbeat positive")
