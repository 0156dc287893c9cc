"""Events and effects of a connection: one pipe of bytes, secured and divided into streams.

Streams are known by a handle: the owner chooses even ones (2, 4, ...) when it opens a stream, the
machine chooses odd ones (1, 3, ...) for streams that the peer opens. Nothing of a stream comes after its
`StreamLost`; every stream ends with exactly one.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.errors import SwarmnodeError

Bytes = bytes | bytearray | memoryview


# Events.


@dataclass(frozen=True, slots=True)
class Begin:
    """The pipe is open."""


@dataclass(frozen=True, slots=True)
class BytesIn:
    """From the pipe."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Attend:
    """Somebody listens to what the streams tell. What comes from the pipe after `Secured` waits for this; it
    has to come within the time that the handshake may take."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Open a stream for the first of these protocols that the peer speaks. With a single one what is sent
    goes with the offer, without waiting for its answer (lazy)."""

    stream: int
    protocols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the peer; kept until the peer's window and `Flush` let them go."""

    stream: int
    data: Bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """Write down what has gathered: the end of a reactor turn."""


@dataclass(frozen=True, slots=True)
class EndWrite:
    """No more will be sent on the stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class ResetStream:
    """Give the stream up in both directions."""

    stream: int


@dataclass(frozen=True, slots=True)
class Consumed:
    """So many bytes of `DataIn` are done with: the peer may send as many more."""

    stream: int
    size: int


@dataclass(frozen=True, slots=True)
class PipeFull:
    """The pipe takes no more just now (True), or does again: nothing is written meanwhile."""

    full: bool


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection in order; what has gathered is written first."""

    error: SwarmnodeError | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """The pipe is gone."""

    reason: str


# Effects.


@dataclass(frozen=True, slots=True)
class BytesOut:
    """For the pipe, in this order."""

    chunks: tuple[Bytes, ...]


@dataclass(frozen=True, slots=True)
class Secured:
    """The peer has proven who it is and streams can be opened. handshake_hash: 32 bytes, the same at both
    ends and at no other connection. muxer_early: agreed within the handshake."""

    peer: str
    public_key: bytes
    handshake_hash: bytes
    muxer_early: bool


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The protocol is agreed. inbound: the peer opened it."""

    stream: int
    protocol: str
    inbound: bool


@dataclass(frozen=True, slots=True)
class DataIn:
    """From the peer. What is not `Consumed` stops the peer when its window is used up."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer will send no more on the stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamLost:
    """The stream is over: None when both sides had ended it in order."""

    stream: int
    error: SwarmnodeError | None


@dataclass(frozen=True, slots=True)
class Drained:
    """What had to wait on this stream is low again: more may be sent."""

    stream: int


@dataclass(frozen=True, slots=True)
class Alive:
    """The peer answered a ping. rtt: seconds."""

    rtt: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """The peer has said nothing for so many seconds and does not answer; said again while that lasts."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Closed:
    """Drop the pipe now. error: why; a `PeerFault` when the peer broke the rules; None after an orderly
    end."""

    error: SwarmnodeError | None
