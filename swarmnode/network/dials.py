"""The attempts in flight: carriers dial, the gate lets in, the pool hears how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure

from swarmnode.interfaces.host import Connection, Gate
from swarmnode.network.link import Link, as_error
from swarmnode.protocols.pool.refusals import given_up
from swarmnode.protocols.pool.vocabulary import Dial, Failed, GiveUp, Reached
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable


class Dials:
    """Executes `Dial` and `GiveUp`. Every attempt that is not given up ends with one event to `post`."""

    def __init__(
        self,
        carriers: Sequence[Any],
        post: Callable[[Any], None],
        new_link: Callable[[Connection], Link],
        gate: Gate | None,
    ) -> None:
        self._carriers, self._post, self._new_link, self._gate = carriers, post, new_link, gate
        self._dialling: dict[int, Deferred[Any]] = {}
        self._proving: dict[int, Link] = {}
        self._attempts: dict[int, int] = {}

    def dial(self, effect: Dial) -> None:
        """Try an address."""
        attempt = effect.attempt
        carrier = next((each for each in self._carriers if each.dials(effect.address)), None)
        if carrier is None:
            self._post(Failed(attempt, no_transport()))
            return
        dialling = maybeDeferred(carrier.dial, effect.address, effect.peer)
        self._dialling[attempt] = dialling
        dialling.addCallbacks(partial(self._reached, attempt), partial(self._failed, attempt))

    def give_up(self, effect: GiveUp) -> None:
        """It is of no interest any more."""
        dialling = self._dialling.pop(effect.attempt, None)
        if dialling is not None:
            dialling.cancel()
        link = self._proving.pop(effect.attempt, None)
        if link is not None:
            self._attempts.pop(link.number, None)
            link.close(given_up())

    def stop(self) -> None:
        """Give up all."""
        for attempt in (*self._dialling, *self._proving):
            self.give_up(GiveUp(attempt))

    def link_closed(self, link: Link, error: SwarmnodeError | None) -> None:
        """A connection is gone, perhaps at the gate."""
        attempt = self._attempts.pop(link.number, None)
        if attempt is not None:
            self._proving.pop(attempt, None)
            self._post(Failed(attempt, error or Unavailable("The peer closed it", code="connection_lost")))

    def _reached(self, attempt: int, connection: Connection) -> None:
        link = self._new_link(connection)
        if self._dialling.pop(attempt, None) is None:
            link.close(given_up())
            return
        self._proving[attempt] = link
        self._attempts[link.number] = attempt
        link.enter(self._gate, partial(self._settled, attempt, link))

    def _settled(self, attempt: int, link: Link, error: SwarmnodeError | None) -> None:
        if self._proving.pop(attempt, None) is None:
            return
        self._attempts.pop(link.number, None)
        if error is None:
            self._post(Reached(attempt, link.number, link.peer))
        else:
            self._post(Failed(attempt, error))
            link.close(error)

    def _failed(self, attempt: int, failure: Failure) -> None:
        if self._dialling.pop(attempt, None) is None or failure.check(CancelledError):
            return
        self._post(Failed(attempt, as_error(failure.value, "Dialling failed")))


def no_transport() -> Refused:
    """Nothing here can dial such an address."""
    return Refused(
        "this node has no transport for such an address",
        code="no_transport",
        hint="`swarmnode plugins` lists the transports.",
    )
