"""The machine of one connection: a pipe of bytes becomes a proven peer (`Securing`), and then, when somebody
attends, streams to it (`Session`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from swarmnode.protocols.connection.noise import Identity, Secure
from swarmnode.protocols.connection.securing import Securing
from swarmnode.protocols.connection.session import Session
from swarmnode.protocols.connection.vocabulary import (
    Attend,
    Begin,
    BytesIn,
    BytesOut,
    Close,
    Closed,
    Lost,
    PipeFull,
    Secured,
)
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.peer_id import peer_id

#: Until the peer is proven and somebody attends to it, seconds.
HANDSHAKE_SECONDS = 10.0
#: From the pipe, kept until somebody attends.
MAX_HELD = 1 << 20


class ConnectionMachine:
    """One end of a connection; see the vocabulary for its events and effects.

    initiator: this end dialled. entropy: n -> n random bytes. serves: the protocols that the peer's streams
    may ask for, asked anew for each. expected: who must answer, or None.
    """

    __slots__ = (
        "_deadline",
        "_full",
        "_held",
        "_initiator",
        "_is_over",
        "_own_key",
        "_rest",
        "_secure",
        "_securing",
        "_serves",
        "_session",
    )

    def __init__(
        self,
        initiator: bool,
        identity: Identity,
        entropy: Callable[[int], bytes],
        serves: Callable[[], Collection[str]],
        expected: str | None = None,
    ) -> None:
        self._initiator, self._serves = initiator, serves
        self._own_key = identity.public_key
        self._securing: Securing | None = Securing(initiator, identity, entropy, expected)
        self._secure: Secure | None = None
        self._session: Session | None = None
        self._held: list[bytes] = []
        self._rest: list[bytes] = []
        self._full = self._is_over = False
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `handle(None, now)` wants to be called."""
        session = self._session
        if session is None:
            return None if self._is_over else self._deadline
        return None if session.is_over else session.deadline

    def waiting(self, stream: int) -> int:
        """Bytes sent on a stream that have to wait for the peer's window or for the pipe."""
        return 0 if self._session is None else self._session.waiting(stream)

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """Take one event. Never raises for what a peer does: that ends in `Closed`."""
        out: list[Any] = []
        session = self._session
        try:
            if session is None:
                if not self._is_over:
                    self._opening(event, now, out)
            elif not session.is_over:
                if event is None:
                    session.tick(now, out)
                else:
                    session.handle(event, now, out)
        except SwarmnodeError as error:
            self._fail(error, out)
        return out

    def _opening(self, event: Any | None, now: float, out: list[Any]) -> None:
        if isinstance(event, BytesIn):
            self._bytes_in(event.data, out)
        elif isinstance(event, Attend):
            self._attend(now, out)
        elif isinstance(event, Begin):
            self._begin(now, out)
        elif isinstance(event, PipeFull):
            self._full = event.full
        elif isinstance(event, Close):
            self._close(event.error, out)
        elif isinstance(event, Lost):
            what = f"The connection was lost before it was secured: {event.reason}"
            self._close(Unavailable(what, code="connection_lost"), out)
        elif event is None and self._deadline is not None and now >= self._deadline:
            raise _too_late(self._secure is not None)

    def _begin(self, now: float, out: list[Any]) -> None:
        self._deadline = now + HANDSHAKE_SECONDS
        if self._securing is not None and (said := self._securing.begin()):
            out.append(BytesOut((said,)))

    def _bytes_in(self, data: bytes, out: list[Any]) -> None:
        securing = self._securing
        if securing is None:
            if sum(map(len, self._held)) + len(data) > MAX_HELD:
                raise _too_late(secured=True)
            self._held.append(data)
            return
        said = tuple(chunk for chunk in securing.feed(data) if chunk)
        if said:
            out.append(BytesOut(said))
        if securing.done is not None:
            self._secured(securing.done, out)

    def _secured(self, secure: Secure, out: list[Any]) -> None:
        if secure.peer == peer_id(self._own_key):
            raise Refused(
                "The address leads back to this node",
                code="self_dial",
                hint="It is one of this node's own addresses.",
            )
        self._secure = secure
        early = secure.muxer is not None
        out.append(Secured(secure.peer, secure.public_key, secure.handshake_hash, early))
        assert self._securing is not None
        self._rest, self._securing = self._securing.rest, None

    def _attend(self, now: float, out: list[Any]) -> None:
        secure = self._secure
        if secure is None:
            return
        session = Session(self._initiator, secure.channel, self._serves, self._full, now)
        self._session, self._secure = session, None
        rest, self._rest = self._rest, []
        session.plain(rest, now, out)
        held, self._held = self._held, []
        for data in held:
            if not session.is_over:
                session.handle(BytesIn(data), now, out)
        if not session.is_over:
            session.look(now, out)

    def _fail(self, error: SwarmnodeError, out: list[Any]) -> None:
        if self._session is not None:
            self._session.end(error, out)
        else:
            self._close(error, out)

    def _close(self, error: SwarmnodeError | None, out: list[Any]) -> None:
        self._is_over = True
        self._held.clear()
        out.append(Closed(error))


def _too_late(secured: bool) -> SwarmnodeError:
    if secured:
        return LocalFault("Nobody attended to the connection in time", code="not_attended")
    return Unavailable(
        f"The connection was not secured within {HANDSHAKE_SECONDS:g} seconds",
        code="handshake_timeout",
        hint="The peer is overloaded or far away, or something else answers at its address.",
    )
