"""A connection over a Twisted transport: the machine of `protocols.connection` on any pipe of bytes (TCP, or
a simulated one).

What is written in one reactor turn leaves together: it gathers here and is handed to the machine when the
turn's data are dealt with, or by a call the reactor makes next.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from swarmnode.driving.driver import Clock, DelayedCall, Driver
from swarmnode.interfaces.host import ConnectionOwner, StreamReceiver
from swarmnode.network.stream import PipedStream
from swarmnode.network.stream_table import StreamTable
from swarmnode.network.writing import write_pieces
from swarmnode.protocols.connection import vocabulary as says
from swarmnode.protocols.connection.connection import ConnectionMachine
from swarmnode.protocols.connection.noise import Identity
from swarmnode.values.errors import LocalFault, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo

#: How long the pipe may take to write the last bytes of a connection that is closed, seconds.
CLOSING_SECONDS = 2.0

_log = logging.getLogger(__name__)
_numbers = itertools.count(1)


def connect_protocol(
    initiator: bool,
    identity: Identity,
    clock: Clock,
    entropy: Callable[[int], bytes],
    expected: str | None,
    remote: Multiaddr,
    local: Multiaddr | None,
    transport_name: str,
) -> tuple[PipedConnection, Deferred[PipedConnection]]:
    """A Twisted protocol for one end of a pipe, and a Deferred of its secured connection
    (`interfaces.host.Connection`), which fails with a `SwarmnodeError`; cancelling it drops the pipe.
    expected: the peer that must answer, or None. Somebody has to `attend` to the connection soon."""
    ends = _Ends(initiator, remote, local, transport_name)
    protocol = PipedConnection(identity, clock, entropy, expected, ends)
    return protocol, protocol.secured


class _Ends:
    """What is known of a connection before its peer is."""

    __slots__ = ("initiator", "local", "remote", "transport")

    def __init__(self, initiator: bool, remote: Multiaddr, local: Multiaddr | None, transport: str) -> None:
        self.initiator, self.remote, self.local, self.transport = initiator, remote, local, transport


@implementer(IPushProducer)
class PipedConnection(Protocol):
    """A Twisted protocol that is an `interfaces.host.Connection` once `secured` has fired."""

    transport: Any = None

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        entropy: Callable[[int], bytes],
        expected: str | None,
        ends: _Ends,
    ) -> None:
        self.secured: Deferred[PipedConnection] = Deferred(lambda _: self.abort())
        self._clock, self._ends = clock, ends
        self._streams = StreamTable(self)
        self._machine = ConnectionMachine(ends.initiator, identity, entropy, self._serves, expected)
        self._driver = Driver("connection", self._machine, clock, self._executors(), self._failed)
        self._info: LinkInfo | None = None
        self._owner: ConnectionOwner | None = None
        self._dirty: list[PipedStream] = []
        self._turn = False  # inside a turn that ends with a flush
        self._flushing: DelayedCall | None = None
        self._dropping: DelayedCall | None = None
        self._is_pipe_gone = False
        self._end: tuple[SwarmnodeError | None] | None = None
        self._received = self._sent = 0

    def _executors(self) -> dict[type, Callable[[Any], None]]:
        return {
            says.BytesOut: self._bytes_out,
            says.Alive: self._alive,
            says.Quiet: self._quiet,
            says.Secured: self._secured,
            says.Closed: self._closed,
            **self._streams.effects(),
        }

    # interfaces.host.Connection

    @property
    def info(self) -> LinkInfo:
        """The connection in short. Only after `secured` has fired."""
        if self._info is None:
            raise LocalFault("The connection is not secured yet", code="not_secured")
        return self._info

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent so far."""
        return self._received, self._sent

    def attend(self, owner: ConnectionOwner) -> None:
        """Report to this owner from now on."""
        self._owner = self._streams.owner = owner
        if self._end is not None:
            owner.closed(self, self._end[0])
            return
        self._driver.post(says.Attend())
        if self._end is None and self.transport is not None:
            self.transport.resumeProducing()
        self._flush_later()

    def open(
        self, protocols: Sequence[str], receiver: StreamReceiver, opened: Callable[[], None]
    ) -> PipedStream:
        """Open a stream, which can be written to at once."""
        stream = self._streams.create(protocols, receiver, opened)
        if self._end is not None:
            error = Unavailable("The connection is closed", code="connection_closed")
            self._clock.callLater(0, self._streams.lose_all, error)
            return stream
        self._driver.post(says.OpenStream(stream.handle, tuple(protocols)))
        self._flush_later()
        return stream

    def close(self, error: SwarmnodeError | None) -> None:
        """End it in order."""
        self._hand_over()
        self._driver.post(says.Close(error))

    def abort(self) -> None:
        """Drop it now."""
        if self._end is None:
            self._driver.post(says.Lost("it was given up by this end"))
        self._drop()

    # For its streams.

    def post(self, event: Any) -> None:
        """Hand the machine an event of a stream."""
        self._driver.post(event)

    def touch(self, stream: PipedStream) -> None:
        """The stream has something for the end of this turn."""
        if self._end is None:
            self._dirty.append(stream)
            self._flush_later()

    def waiting(self, handle: int) -> int:
        """Bytes of a stream that wait in the machine."""
        return self._machine.waiting(handle)

    # Twisted

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self, True)
        self._driver.post(says.Begin())

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        self._turn = True
        self._driver.post(says.BytesIn(data))
        self._turn = False
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_pipe_gone = True
        if self._dropping is not None and self._dropping.active():
            self._dropping.cancel()
        self._driver.post(says.Lost(reason.getErrorMessage()))

    def pauseProducing(self) -> None:
        """The pipe is full."""
        self._driver.post(says.PipeFull(True))

    def resumeProducing(self) -> None:
        """The pipe takes bytes again."""
        self._driver.post(says.PipeFull(False))

    def stopProducing(self) -> None:
        """The pipe is gone; `connectionLost` says so too."""

    # The turn.

    def _flush_later(self) -> None:
        if not self._turn and self._flushing is None and self._end is None:
            self._flushing = self._clock.callLater(0, self._flush_now)

    def _flush_now(self) -> None:
        self._flushing = None
        self._flush()

    def _flush(self) -> None:
        self._hand_over()
        self._driver.post(says.Flush())

    def _hand_over(self) -> None:
        if self._dirty:
            dirty, self._dirty = self._dirty, []
            for stream in dirty:
                stream.hand_over()

    # Effects.

    def _bytes_out(self, effect: says.BytesOut) -> None:
        assert self.transport is not None
        self._sent += sum(map(len, effect.chunks))
        write_pieces(self.transport, effect.chunks)

    def _alive(self, effect: says.Alive) -> None:
        if self._owner is not None:
            self._owner.alive(self, effect.rtt)

    def _quiet(self, effect: says.Quiet) -> None:
        if self._owner is not None:
            self._owner.quiet(self, effect.seconds)

    def _secured(self, effect: says.Secured) -> None:
        ends = self._ends
        self._info = LinkInfo(
            number=next(_numbers),
            peer=effect.peer,
            remote=ends.remote,
            local=ends.local,
            inbound=not ends.initiator,
            transport=ends.transport,
            since=self._clock.seconds(),
            handshake_hash=effect.handshake_hash,
        )
        self.secured.callback(self)
        if self._owner is None and self._end is None and self.transport is not None:
            self.transport.pauseProducing()

    def _closed(self, effect: says.Closed) -> None:
        if self._end is not None:
            return
        self._end = (effect.error,)
        self._driver.stop()
        self._dirty.clear()
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._hang_up(patient=getattr(effect.error, "code", "") != "peer_silent")
        if self._owner is not None:
            self._owner.closed(self, effect.error)
        elif not self.secured.called:
            error = effect.error or Unavailable("The connection was closed", code="connection_closed")
            self.secured.errback(Failure(error))

    def _failed(self, error: SwarmnodeError) -> None:
        """The machine itself failed, or executing one of its effects: nothing can be said to the peer."""
        _log.error("%s", error, exc_info=error.__cause__)
        self._streams.lose_all(error)
        self._drop()
        self._closed(says.Closed(error))

    def _hang_up(self, patient: bool) -> None:
        if self.transport is None or self._is_pipe_gone:
            return
        self.transport.unregisterProducer()
        if not patient:
            self._drop()
            return
        self._dropping = self._clock.callLater(CLOSING_SECONDS, self._drop)
        self.transport.loseConnection()

    def _drop(self) -> None:
        if self.transport is not None and not self._is_pipe_gone:
            self.transport.abortConnection()

    def _serves(self) -> Collection[str]:
        return () if self._owner is None else self._owner.serves()
