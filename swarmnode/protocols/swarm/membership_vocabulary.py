"""Events and effects of the membership machine, and its snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from swarmnode.protocols.swarm.member_claims import Claim, Suspicion
from swarmnode.values.coordinate import Coordinate
from swarmnode.values.errors import PeerFault
from swarmnode.values.multiaddr import Multiaddr


class Known(Enum):
    """How a member is known: by its own connection, or by what others pass on."""

    DIRECT = "direct"
    GOSSIP = "gossip"
    VIEW = "view"


class Gone(Enum):
    """Why a member is no longer one."""

    LEFT = "left"
    DIED = "died"
    CROWDED_OUT = "crowded_out"


@dataclass(frozen=True, slots=True)
class Member:
    """One member at a moment. suspected: it will be gone soon unless it is heard of. since: monotonic seconds
    at which it joined, in our view. heard: not by its own word alone; we or a third party heard it."""

    peer: str
    sequence: int
    addresses: tuple[Multiaddr, ...]
    facts: bytes
    coordinate: Coordinate | None
    known: Known
    suspected: bool
    since: float
    heard: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What this node says of itself in its claims."""

    addresses: tuple[Multiaddr, ...] = ()
    facts: bytes = b""
    coordinate: Coordinate | None = None


# Events.


@dataclass(frozen=True, slots=True)
class Begin:
    """Take part from now on."""

    about: About


@dataclass(frozen=True, slots=True)
class Say:
    """Something about us has changed."""

    about: About


@dataclass(frozen=True, slots=True)
class Leave:
    """Take leave, and part no longer."""


@dataclass(frozen=True, slots=True)
class Said:
    """The bytes that a `PublishClaim` was signed to."""

    statement: bytes


@dataclass(frozen=True, slots=True)
class Connected:
    """The first connection to a peer is up."""

    peer: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The last one is gone. in_order: closed on purpose, by either side; it says nothing about the peer."""

    peer: str
    in_order: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """The peer answers on none of its connections."""

    peer: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The peer was heard over its own connection."""

    peer: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A peer's own word, the signature checked, by gossip."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Suspected:
    """Somebody doubts a member, the signature checked."""

    suspicion: Suspicion


@dataclass(frozen=True, slots=True)
class Viewed:
    """A page of what a peer knows, the signatures checked. after: where the next page begins, if any."""

    peer: str
    claims: tuple[Claim, ...]
    after: str = ""


@dataclass(frozen=True, slots=True)
class NotViewed:
    """The peer does not say."""

    peer: str


@dataclass(frozen=True, slots=True)
class Probed:
    """A peer's answer to whether it hears another one; False too when there is no answer."""

    asked: str
    peer: str
    hears: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of trying to connect to a member."""

    peer: str
    reached: bool


# Effects.


@dataclass(frozen=True, slots=True)
class PublishClaim:
    """Sign this about ourselves, post `Said`, and tell the swarm."""

    sequence: int
    about: About
    left: bool = False


@dataclass(frozen=True, slots=True)
class PublishSuspicion:
    """Sign this and tell the swarm."""

    peer: str
    sequence: int


@dataclass(frozen=True, slots=True)
class AskView:
    """Ask the peer whom it knows; `Viewed` or `NotViewed` answers. digest: of what we know."""

    peer: str
    after: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class AskProbe:
    """Ask whether it hears `peer`; `Probed` answers."""

    asked: str
    peer: str


@dataclass(frozen=True, slots=True)
class Reach:
    """Connect to the member; `Reached` answers."""

    peer: str
    addresses: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class MemberJoined:
    member: Member


@dataclass(frozen=True, slots=True)
class MemberChanged:
    member: Member


@dataclass(frozen=True, slots=True)
class MemberLeft:
    member: Member
    why: Gone


@dataclass(frozen=True, slots=True)
class Penalise:
    peer: str
    error: PeerFault
