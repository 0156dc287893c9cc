"""One connection as the host sees it: at the gate, in use, or on its way out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from swarmnode.interfaces.host import Admission, Connection, Gate, Stream, StreamReceiver
from swarmnode.values.errors import LocalFault, SwarmnodeError, Unavailable
from swarmnode.values.network import LinkInfo


class LinkOwner(Protocol):
    """What a link tells the host."""

    def serves(self) -> Collection[str]: ...

    def accept_stream(self, link: Link, stream: Stream) -> StreamReceiver: ...

    def link_closed(self, link: Link, error: SwarmnodeError | None) -> None: ...

    def link_alive(self, link: Link, rtt: float) -> None: ...

    def link_quiet(self, link: Link, seconds: float) -> None: ...

    def link_used(self, link: Link) -> None: ...

    def receiver_failed(self, stream: Stream, error: Exception) -> None: ...


class Link:
    """Owns a connection (`interfaces.host.ConnectionOwner`). number: the pool's handle. silence: seconds
    without an answer, 0 when it answers."""

    __slots__ = (
        "_admission",
        "_attended",
        "_owner",
        "at_gate",
        "closing",
        "connection",
        "inbound_streams",
        "info",
        "number",
        "silence",
        "streams",
        "taken",
    )

    def __init__(self, number: int, connection: Connection, owner: LinkOwner) -> None:
        self.number, self.connection, self._owner = number, connection, owner
        self.info: LinkInfo = connection.info
        self.streams = self.inbound_streams = 0
        self.silence = 0.0
        self.taken = self.closing = self.at_gate = self._attended = False
        self._admission: Admission | None = None

    @property
    def peer(self) -> str:
        """Who is at the other end."""
        return self.info.peer

    @property
    def usable(self) -> bool:
        """Whether streams can be opened."""
        return self.taken and not self.closing

    def enter(self, gate: Gate | None, settled: Callable[[SwarmnodeError | None], None]) -> None:
        """Find out whether the peer may be let in."""
        if gate is None:
            settled(None)
            return
        self._attend()
        if not self.closing:
            self._admission = gate.admit(self.connection, settled)

    def take(self) -> None:
        """Use it from now on."""
        self.taken = True
        self._leave_gate()
        self._attend()

    def close(self, error: SwarmnodeError | None) -> None:
        """End it in order; the owner is told when it is gone."""
        if not self.closing:
            self.closing = True
            self._leave_gate()
            self._attend()
            self.connection.close(error)

    def open(self, protocols: Sequence[str], receiver: StreamReceiver, opened: Callable[[], None]) -> Stream:
        """Open a stream; it counts until it is lost."""
        counted = CountedReceiver(self, receiver, inbound=False)
        try:
            counted.stream = self.connection.open(protocols, counted, opened)
        except Exception:
            self.count(-1, inbound=False)
            raise
        return counted.stream

    def count(self, change: int, *, inbound: bool) -> None:
        """A stream came (1) or went (-1)."""
        self.streams += change
        if inbound:
            self.inbound_streams += change
        if self.streams == 0 or (self.streams == 1 and change == 1):
            self._owner.link_used(self)

    def failed(self, stream: Stream | None, error: Exception) -> None:
        """Whoever took what came on the stream raised: the stream ends, nothing else does."""
        if stream is not None:
            self._owner.receiver_failed(stream, error)
            stream.reset()

    def _attend(self) -> None:
        if not self._attended:
            self._attended = True
            self.connection.attend(self)

    def _leave_gate(self) -> None:
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.cancel()

    # What the connection tells.

    def serves(self) -> Collection[str]:
        if self.closing:
            return ()
        admission = self._admission
        if admission is not None and not admission.verified:
            return admission.serves()
        return self._owner.serves() if self.taken or admission is not None else ()

    def stream_opened(self, connection: Connection, stream: Stream) -> StreamReceiver:
        admission = self._admission
        if admission is not None and stream.protocol in admission.serves():
            return admission.stream_opened(stream)
        if admission is not None:
            admission.confirm()
        if not self.usable:
            raise Unavailable("The connection is not in use", code="connection_closing")
        receiver = CountedReceiver(self, self._owner.accept_stream(self, stream), inbound=True)
        receiver.stream = stream
        return receiver

    def alive(self, connection: Connection, rtt: float) -> None:
        self._owner.link_alive(self, rtt)
        self.silence = 0.0

    def quiet(self, connection: Connection, seconds: float) -> None:
        self.silence = seconds
        self._owner.link_quiet(self, seconds)

    def closed(self, connection: Connection, error: SwarmnodeError | None) -> None:
        self.closing = True
        self._leave_gate()
        self._owner.link_closed(self, error)


class CountedReceiver:
    """Stands before a receiver: counts its stream, and lets no exception of it through."""

    __slots__ = ("_dead", "_inbound", "_link", "_receiver", "stream")

    def __init__(self, link: Link, receiver: StreamReceiver, *, inbound: bool) -> None:
        self._link, self._receiver, self._inbound = link, receiver, inbound
        self._dead = False
        self.stream: Stream | None = None
        link.count(1, inbound=inbound)

    def received(self, data: bytes) -> None:
        if not self._dead:
            try:
                self._receiver.received(data)
            except Exception as error:
                self._fail(error)

    def ended(self) -> None:
        self._call(self._receiver.ended)

    def drained(self) -> None:
        self._call(self._receiver.drained)

    def lost(self, error: SwarmnodeError | None) -> None:
        self._link.count(-1, inbound=self._inbound)
        try:
            self._receiver.lost(error)
        except Exception as failure:
            self._dead = True
            if self.stream is not None:
                self._link.failed(self.stream, failure)

    def _call(self, function: Callable[..., Any]) -> None:
        if not self._dead:
            try:
                function()
            except Exception as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._dead = True
        self._link.failed(self.stream, error)


def as_error(cause: BaseException | None, what: str) -> SwarmnodeError:
    """The error of a failed Deferred; what is none of ours is our own fault."""
    if isinstance(cause, SwarmnodeError):
        return cause
    fault = LocalFault(f"{what}: {type(cause).__name__}: {cause}", code="internal_error")
    fault.__cause__ = cause
    return fault
