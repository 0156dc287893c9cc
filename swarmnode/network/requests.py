"""Who waits for a connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from swarmnode.network.link import as_error
from swarmnode.network.resolving import Resolve, needs_resolving
from swarmnode.protocols.pool.vocabulary import Answer, Unwanted, Wanted
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr

Bars = Callable[[str | None], SwarmnodeError | None]


class Requests:
    """Turns wishes into `Wanted` events and `Answer` effects into results. post: hands the pool an event.
    order: sorts addresses for dialling. resolve: names into addresses. bars(peer): why a peer (None:
    whoever is at some addresses) is not to be dialled."""

    def __init__(
        self,
        post: Callable[[Any], None],
        order: Callable[[Sequence[Multiaddr]], tuple[Multiaddr, ...]],
        resolve: Resolve | None,
        bars: Bars = lambda peer: None,
    ) -> None:
        self._post, self._order, self._resolve, self._bars = post, order, resolve, bars
        self._waiting: dict[int, Deferred[str]] = {}
        self._numbers = 0

    def want(self, peer: str | None, addresses: Sequence[Multiaddr]) -> Deferred[str]:
        """A Deferred of the peer, connected."""
        if (barred := self._bars(peer)) is not None:
            return fail(barred)
        self._numbers += 1
        number = self._numbers
        deferred: Deferred[str] = Deferred(lambda _: self._unwanted(number))
        self._waiting[number] = deferred

        def found(resolved: Sequence[Multiaddr]) -> None:
            if number in self._waiting:
                self._post(Wanted(number, peer, self._order(resolved)))

        if self._resolve is None or not needs_resolving(addresses):
            found(addresses)
        else:
            self._resolve(addresses).addCallbacks(found, lambda why: self._unresolved(number, why))
        return deferred

    def answer(self, effect: Answer) -> None:
        """What became of one."""
        deferred = self._waiting.pop(effect.request, None)
        if deferred is None:
            return
        if effect.peer is not None:
            deferred.callback(effect.peer)
        else:
            deferred.errback(effect.error or Unavailable("Not connected", code="unreachable"))

    def fail(self, error: SwarmnodeError) -> None:
        """Nothing will become of any."""
        waiting, self._waiting = self._waiting, {}
        for deferred in waiting.values():
            deferred.errback(error)

    def _unresolved(self, number: int, why: Failure) -> None:
        deferred = self._waiting.pop(number, None)
        if deferred is not None:
            deferred.errback(as_error(why.value, "Resolving a name failed"))

    def _unwanted(self, number: int) -> None:
        # Twisted fails a cancelled Deferred itself.
        if self._waiting.pop(number, None) is not None:
            self._post(Unwanted(number))
