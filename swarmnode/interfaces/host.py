"""The host: connections to peers and streams to protocols, whatever carries them.

Everything that speaks to peers is written against these, and so runs the same over TCP and in the
simulator. None of them blocks or raises for what the network does: failures arrive as errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo


class StreamReceiver(Protocol):
    """Takes what comes on one stream. `lost` is called exactly once, and last."""

    def received(self, data: bytes) -> None:
        """Bytes, in order. They count as consumed when this returns, unless the stream is paused."""

    def ended(self) -> None:
        """The peer will send no more."""

    def lost(self, error: SwarmnodeError | None) -> None:
        """The stream is over; None when both sides ended it in order."""

    def drained(self) -> None:
        """What was written and had to wait is low again."""


class Stream(Protocol):
    """One end of a stream of bytes to a peer."""

    @property
    def peer(self) -> str:
        """The peer id at the other end, proven by the connection."""

    @property
    def protocol(self) -> str:
        """The protocol id agreed on; the one offered while a lazy offer is unanswered."""

    @property
    def link(self) -> LinkInfo:
        """The connection it runs over."""

    @property
    def waiting(self) -> int:
        """Bytes written that the peer's window does not let go yet. Whoever writes without an end watches
        this and waits for `drained` above `HIGH_WATER`."""

    def write(self, data: bytes) -> None:
        """Send. Ignored after the stream is over."""

    def end(self) -> None:
        """Send no more; the other direction goes on."""

    def reset(self) -> None:
        """Give up both directions at once."""

    def pause(self) -> None:
        """Count nothing as consumed from now on, so that the peer stops when its window is used up."""

    def resume(self) -> None:
        """Go on, and count what was received meanwhile."""


#: Bytes waiting on a stream above which a writer should pause.
HIGH_WATER = 1 << 20

#: Called with an inbound stream; returns who takes what comes. Raises to refuse: the stream is reset.
Accept = Callable[[Stream], StreamReceiver]


class Connection(Protocol):
    """One secured connection with streams, as a carrier yields it (`interfaces.transport`). Its owner learns
    nothing before `attend` is called."""

    @property
    def info(self) -> LinkInfo: ...

    def attend(self, owner: ConnectionOwner) -> None:
        """Report to this owner from now on; what happened before is told now, in order."""

    def open(self, protocols: Sequence[str], receiver: StreamReceiver, opened: Callable[[], None]) -> Stream:
        """Open a stream; `opened` is called when the protocol is agreed. It can be written to at once; a
        failure arrives as `receiver.lost`."""

    def close(self, error: SwarmnodeError | None) -> None:
        """End it in order; drop it soon if that does not work."""

    def abort(self) -> None:
        """Drop it now."""


class ConnectionOwner(Protocol):
    """What a connection tells. All protocols it serves are known by `serves`."""

    def serves(self) -> Collection[str]:
        """The protocol ids that inbound streams may ask for just now."""

    def stream_opened(self, connection: Connection, stream: Stream) -> StreamReceiver:
        """The peer opened a stream for one of them; raises to refuse it."""

    def alive(self, connection: Connection, rtt: float) -> None:
        """The peer answered a ping after `rtt` seconds."""

    def quiet(self, connection: Connection, seconds: float) -> None:
        """Nothing was heard for so long, and no ping is answered."""

    def closed(self, connection: Connection, error: SwarmnodeError | None) -> None:
        """It is gone: the last call."""


class Admission(Protocol):
    """One connection before the gate of a private network, where nothing but the proof is served."""

    @property
    def verified(self) -> bool:
        """The peer belongs to the network, though it may not have said yet that it thinks so of us."""

    def serves(self) -> Collection[str]:
        """What the peer may open a stream for meanwhile."""

    def stream_opened(self, stream: Stream) -> StreamReceiver:
        """The peer did; raises to refuse."""

    def confirm(self) -> None:
        """The verified peer uses the connection: it thinks so of us."""

    def cancel(self) -> None:
        """The connection is of no interest any more; nothing is settled after that."""


class Gate(Protocol):
    """Lets peers in, or not, before a host has anything to do with them."""

    def admit(self, connection: Connection, settled: Callable[[SwarmnodeError | None], None]) -> Admission:
        """A connection has come about. settled: called once, with why the peer cannot be let in, or None."""


class HostWatcher(Protocol):
    """Told about peers as wholes, however many connections they have. A private network's peers are
    connected when they have proven that they belong to it."""

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        """The first connection to the peer is up."""

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """The last one is gone. error: why, a `PeerFault` when the peer broke the rules."""

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """The peer answers on none of its connections."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """A round trip was measured, seconds."""


class Host(Protocol):
    """This node among its peers."""

    @property
    def peer_id(self) -> str: ...

    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where others can dial this node, without `/p2p`, the likeliest first: every usable address of the
        machine where it listens on all."""

    def serve(self, protocol: str, accept: Accept) -> None:
        """Take inbound streams of a protocol from now on. One taker a protocol."""

    def unserve(self, protocol: str) -> None:
        """Refuse them again."""

    def served(self) -> frozenset[str]:
        """The protocols taken, for identify."""

    def connect(self, peer: str | None, addresses: Sequence[Multiaddr] = ()) -> Any:
        """A Deferred of the peer id, connected; at once when it is already. peer None: whoever answers
        at the addresses. Fails with `Unavailable` (every address and what was wrong with it) or `Refused`."""

    def open(self, peer: str, protocols: Sequence[str], receiver: StreamReceiver) -> Any:
        """A Deferred of a `Stream` with its protocol agreed, connecting first where needed. With a single
        protocol it comes as soon as the connection is there (a lazy offer): a refusal then arrives as
        `receiver.lost`. When the Deferred fails the receiver hears nothing. Cancelling gives up."""

    def disconnect(self, peer: str, error: SwarmnodeError | None = None) -> None:
        """Close all connections to the peer. With a `PeerFault` it is not dialled again for a while."""

    def peers(self) -> tuple[str, ...]:
        """Those connected."""

    def links(self, peer: str) -> tuple[LinkInfo, ...]:
        """The connections to one peer."""

    def rtt(self, peer: str) -> float | None:
        """The smoothed round-trip time, seconds, where measured."""

    def weigh(self, peer: str, tag: str, weight: float) -> None:
        """How useful the peer is to somebody (`tag`); where connections must go, the lightest go first. A
        weight of 0 takes the tag away."""

    def watch(self, watcher: HostWatcher) -> None:
        """Tell this one too."""
