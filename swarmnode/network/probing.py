"""Trying one address and saying exactly what happened there, beside the pool: to find out what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Connection, Gate, Stream, StreamReceiver
from swarmnode.network.dials import no_transport
from swarmnode.network.link import Link, as_error
from swarmnode.policy.meeting import Attempt
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr

#: A dial, a handshake and the proof of a private network all have their own times; this is for all together.
PROBE_SECONDS = 20.0

Report = Callable[[Attempt], None]


class Probe:
    """carriers, gate: those of the host."""

    def __init__(self, carriers: Sequence[Any], gate: Gate | None, clock: Clock) -> None:
        self._carriers, self._gate, self._clock = carriers, gate, clock

    def __call__(self, address: Multiaddr) -> Deferred[Attempt]:
        """Whoever answers is welcome: a Deferred that never fails. The connection is given up at once."""
        result: Deferred[Attempt] = Deferred()
        _Probing(address, self._gate, result.callback).begin(self._carriers, self._clock)
        return result


class _Probing:
    """One try. Owns the connection while the gate looks at it (`network.link.LinkOwner`)."""

    def __init__(self, address: Multiaddr, gate: Gate | None, report: Report) -> None:
        self._address, self._gate = address, gate
        self._report: Report | None = report
        self._dialling: Deferred[Any] | None = None
        self._link: Link | None = None
        self._late: Any = None

    def begin(self, carriers: Sequence[Any], clock: Clock) -> None:
        """Dial."""
        carrier = next((each for each in carriers if each.dials(self._address)), None)
        if carrier is None:
            self._done(None, no_transport())
            return
        self._late = clock.callLater(PROBE_SECONDS, self._too_late)
        self._dialling = maybeDeferred(carrier.dial, self._address, None)
        self._dialling.addCallbacks(self._reached, self._failed)

    def _reached(self, connection: Connection) -> None:
        self._link = link = Link(0, connection, self)
        if self._report is None:
            link.close(None)
        else:
            link.enter(self._gate, lambda error: self._done(link.peer, error))

    def _failed(self, failure: Failure) -> None:
        self._done(None, as_error(failure.value, "Dialling failed"))

    def _too_late(self) -> None:
        self._done(
            None if self._link is None else self._link.peer,
            Unavailable(f"nothing came of it within {PROBE_SECONDS:.0f} s", code="dial_timeout"),
        )
        if self._link is None and self._dialling is not None:
            self._dialling.cancel()

    def _done(self, peer: str | None, error: SwarmnodeError | None) -> None:
        report, self._report = self._report, None
        if report is None:
            return
        if self._late is not None and self._late.active():
            self._late.cancel()
        if self._link is not None:
            self._link.close(None)
        report(Attempt(self._address, peer, error))

    # As the owner of the link.

    def serves(self) -> Collection[str]:
        return ()

    def accept_stream(self, link: Link, stream: Stream) -> StreamReceiver:
        raise Unavailable("The connection is only tried", code="connection_closing")

    def link_closed(self, link: Link, error: SwarmnodeError | None) -> None:
        self._done(link.peer, error or Unavailable("the peer closed it", code="connection_lost"))

    def link_alive(self, link: Link, rtt: float) -> None:
        """Not of interest."""

    def link_quiet(self, link: Link, seconds: float) -> None:
        """Not of interest."""

    def link_used(self, link: Link) -> None:
        """Not of interest."""

    def receiver_failed(self, stream: Stream, error: Exception) -> None:
        """The link resets it."""
