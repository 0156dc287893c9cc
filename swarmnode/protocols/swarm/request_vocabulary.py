"""Events and effects of both ends of a stream of requests.

When the stream ends, whoever runs a machine drops it, and what was open with it."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.protocols.swarm.messages import Kind
from swarmnode.values.errors import PeerFault, SwarmnodeError

# Events of both.


@dataclass(frozen=True, slots=True)
class Heard:
    """Bytes from the peer."""

    data: bytes


# Events of the asking end.


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this. id: above all before it on this stream. seconds: how long the answer is worth having."""

    id: int
    kind: Kind
    body: bytes
    payload: bytes | None
    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nobody waits for this answer any more."""

    id: int


# Events of the answering end.


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer is there."""

    id: int
    body: bytes
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Decline:
    """There will be none."""

    id: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class AtWork:
    """All open answers are being worked on: tell the peer."""


# Effects of both.


@dataclass(frozen=True, slots=True)
class Say:
    """For the stream, in this order."""

    chunks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Break:
    """Reset the stream, and drop this machine: the peer broke the rules."""

    error: PeerFault


# Effects of the asking end.


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one question. body: the encoded reply."""

    id: int
    body: bytes
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer to it."""

    id: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class Progressed:
    """The peer works on the answer."""

    id: int


# Effects of the answering end.


@dataclass(frozen=True, slots=True)
class Serve:
    """Somebody asks. Answer or decline it before monotonic `deadline`."""

    id: int
    kind: Kind
    body: bytes
    payload: bytes | None
    deadline: float


@dataclass(frozen=True, slots=True)
class Abandon:
    """Nobody waits for this answer any more; what is said of it from now on is dropped."""

    id: int
    error: SwarmnodeError
