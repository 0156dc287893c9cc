"""Events and effects of the connection pool: which connections to have.

Numbers are handles: of requests and connections, chosen by the owner; of attempts, chosen by the machine.
A connection that was `Reached` or `Arrived` is answered with exactly one of `Accept` and `Refuse`; a
request with exactly one `Answer`, unless it is `Unwanted` first; an attempt ends with `Reached`, `Failed` or
`GiveUp`.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr

# Events.


@dataclass(frozen=True, slots=True)
class Wanted:
    """A connection to the peer, or to whoever answers (None). addresses: the best first."""

    request: int
    peer: str | None
    addresses: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The request is of no interest any more."""

    request: int


@dataclass(frozen=True, slots=True)
class Reached:
    """The attempt led to a connection whose peer is proven."""

    attempt: int
    connection: int
    peer: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt led to nothing."""

    attempt: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class Arrived:
    """A peer, proven, has connected to us. subnet: what its address has in common with its neighbours'; empty
    where sharing it means nothing (loopback, private networks)."""

    connection: int
    peer: str
    subnet: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """A connection broke, or was closed by the peer. error: a `PeerFault` when the peer broke the rules."""

    connection: int
    error: SwarmnodeError | None


@dataclass(frozen=True, slots=True)
class Drop:
    """Close all connections to the peer; after a `PeerFault` keep away from it for a while."""

    peer: str
    error: SwarmnodeError | None = None


@dataclass(frozen=True, slots=True)
class Weigh:
    """How useful a peer is to somebody; 0 takes the tag away."""

    peer: str
    tag: str
    weight: float


@dataclass(frozen=True, slots=True)
class Used:
    """How many streams a connection has now."""

    connection: int
    streams: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The connection's peer answers, or has been quiet for too long."""

    connection: int
    quiet: bool


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """Where this node listens: whoever dials there finds itself."""

    addresses: tuple[Multiaddr, ...]


# Effects.


@dataclass(frozen=True, slots=True)
class Dial:
    """Try an address. peer: who must answer, or None."""

    attempt: int
    address: Multiaddr
    peer: str | None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Another attempt won, or nobody wants it any more."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Accept:
    """Take the connection into use."""

    connection: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close the connection; it was never in use."""

    connection: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close a connection that was in use; the machine has forgotten it already."""

    connection: int
    error: SwarmnodeError | None


@dataclass(frozen=True, slots=True)
class Connected:
    """The first connection to the peer is in use."""

    peer: str
    connection: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The last one is not."""

    peer: str
    error: SwarmnodeError | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: the peer connected, or why not."""

    request: int
    peer: str | None
    error: SwarmnodeError | None


Effect = Dial | GiveUp | Accept | Refuse | CloseConnection | Connected | Disconnected | Answer
