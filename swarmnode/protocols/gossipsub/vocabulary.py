"""Events and effects of a gossipsub node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from swarmnode.protocols.gossipsub.parameters import MAX_DATA_BYTES
from swarmnode.protocols.gossipsub.score_parameters import TopicScore
from swarmnode.values.errors import PeerFault


class Verdict(Enum):
    """What a validator says (gossipsub v1.1, Extended Validators)."""

    ACCEPT = "accept"
    #: Neither deliver nor pass on, and hold it against nobody.
    IGNORE = "ignore"
    #: Invalid: whoever passed it on loses points.
    REJECT = "reject"


class Urgency(IntEnum):
    """What goes first when a peer is slow; the highest number is dropped first."""

    CONTROL = 0
    OWN = 1
    FORWARD = 2
    GOSSIP = 3


#: A peer's signed record, a libp2p envelope, where one is known; for peer exchange.
RecordOf = Callable[[str], bytes | None]
#: Judges a message whose signature holds: (source peer id, data). Pure and quick.
Validator = Callable[[str, bytes], Verdict]


# Events.


@dataclass(frozen=True, slots=True)
class PeerAdded:
    """A peer that speaks meshsub is there. ip: its address, or empty. outbound: this node dialled it."""

    peer: str
    ip: str
    outbound: bool


@dataclass(frozen=True, slots=True)
class PeerReopened:
    """The stream to the peer broke and there is a new one: it may have missed what was last sent."""

    peer: str


@dataclass(frozen=True, slots=True)
class PeerGone:
    """No connection to it is left."""

    peer: str


@dataclass(frozen=True, slots=True)
class RpcIn:
    """One RPC, without the length before it."""

    peer: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Take part in a topic. max_bytes: of a message's data. score: None for the usual parameters."""

    topic: str
    validator: Validator
    max_bytes: int = MAX_DATA_BYTES
    score: TopicScore | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Leave a topic."""

    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Sign and send a message of our own, whether or not the topic is subscribed to. Not delivered here."""

    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Regard:
    """What the application thinks of a peer (P5), points."""

    peer: str
    points: float


Event = PeerAdded | PeerReopened | PeerGone | RpcIn | Subscribe | Unsubscribe | Publish | Regard


# Effects.


@dataclass(frozen=True, slots=True)
class SendRpc:
    """One RPC for a peer, without the length before it; at most `MAX_RPC_BYTES`."""

    peer: str
    data: bytes
    urgency: Urgency


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message that the validator accepted, once. peer: who sent it here. source: who signed it."""

    topic: str
    peer: str
    source: str
    data: bytes
    message_id: bytes


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """A peer worth a connection: from peer exchange with its signed record (checked), or one of our direct
    peers, without."""

    peer: str
    record: bytes | None


@dataclass(frozen=True, slots=True)
class Penalise:
    """A peer misbehaved; gossipsub's own score has it already."""

    peer: str
    error: PeerFault


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Nothing sensible can come from this peer any more."""

    peer: str
    error: PeerFault


@dataclass(frozen=True, slots=True)
class Weigh:
    """In so many of this node's meshes the peer is now."""

    peer: str
    meshes: int


Effect = SendRpc | Deliver | ConnectTo | Penalise | Disconnect | Weigh
