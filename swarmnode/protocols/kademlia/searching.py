"""Runs queries: asks whom their lookups choose, hands them the answers, and ends them in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarmnode.protocols.kademlia.calls import Call, Calls, Purpose
from swarmnode.protocols.kademlia.lookup import ALPHA, Lookup
from swarmnode.protocols.kademlia.messages import Message, PeerEntry
from swarmnode.protocols.kademlia.queries import Query
from swarmnode.protocols.kademlia.vocabulary import CancelRpc, QueryResult
from swarmnode.values.errors import SwarmnodeError, Unavailable

#: Seconds for a query, and those of them for its lookup: the rest is for telling whom it found.
QUERY_SECONDS = 60.0
LOOKUP_SECONDS = 45.0
#: Queries at a time, those of the caller and our own.
MAX_QUERIES = 64

Ask = Callable[[str, Any, Message, Purpose, int], Call | None]
Ended = Callable[[Query, "QueryResult | SwarmnodeError"], None]


class _Running:
    """A query under way. told: who has yet to take what was told."""

    __slots__ = ("ends", "lookup", "query", "storing", "told")

    def __init__(self, query: Query, lookup: Lookup, ends: float) -> None:
        self.query, self.lookup, self.ends = query, lookup, ends
        self.storing = False
        self.told: set[str] = set()


class Searches:
    """All queries under way.

    seeds: the peers of the table nearest to a place. ask(peer, addresses, message, purpose, query): make a
    request, or None when too many are under way. emit: takes effects. ended: takes every end.
    """

    def __init__(
        self,
        own: str,
        seeds: Callable[[int], list[PeerEntry]],
        calls: Calls,
        ask: Ask,
        emit: Callable[[Any], None],
        ended: Ended,
        alpha: int = ALPHA,
    ) -> None:
        self._own, self._seeds, self._calls = own, seeds, calls
        self._ask, self._emit, self._ended, self._alpha = ask, emit, ended, alpha
        self._running: dict[int, _Running] = {}

    def __len__(self) -> int:
        return len(self._running)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The queries under way."""
        return tuple(self._running)

    def start(self, query: Query, now: float) -> None:
        """Begin. Raises `Unavailable` when too many are under way."""
        if len(self._running) >= MAX_QUERIES or query.number in self._running:
            raise Unavailable(
                f"{MAX_QUERIES} DHT queries are under way already",
                code="dht_busy",
                hint="Ask again in some seconds.",
            )
        seeds = self._seeds(query.target)
        query.lookup = Lookup(query.target, self._own, seeds, alpha=self._alpha)
        running = _Running(query, query.lookup, now + LOOKUP_SECONDS)
        self._running[query.number] = running
        if not seeds and not query.enough:
            self._finish(running, _alone(query.result()))
            return
        self._go_on(running, now)

    def replied(self, call: Call, message: Message, subnet: str | None, now: float) -> None:
        """An answer of the right kind. Raises `PeerFault` for what a query must not be told; the call then
        counts as failed all the same by `failed`."""
        running = self._running.get(call.query)
        if running is None:
            return
        if call.purpose is Purpose.LOOKUP:
            running.query.take(call.peer, message)
            running.lookup.answered(call.peer, message.closer, subnet)
        elif call.purpose is Purpose.TELL:
            running.query.told(call.peer)
            running.told.discard(call.peer)
        self._go_on(running, now)

    def failed(self, call: Call, now: float) -> None:
        """A peer does not answer, or not rightly."""
        running = self._running.get(call.query)
        if running is None:
            return
        if call.purpose is Purpose.LOOKUP:
            running.lookup.failed(call.peer)
        elif call.purpose is Purpose.TELL:
            running.told.discard(call.peer)
        self._go_on(running, now)

    def give_up(self, number: int) -> None:
        """Nobody wants to know any more."""
        if self._running.pop(number, None) is not None:
            self._cancel(number)

    def overdue(self, now: float) -> None:
        """End the phases whose time is up; ask others where requests have become slow."""
        for running in list(self._running.values()):
            if running.ends > now:
                self._go_on(running, now)
            elif running.storing:
                self._finish(running, running.query.result())
            else:
                self._conclude(running, now)

    def deadline(self, now: float) -> float | None:
        """When `overdue` has something to do."""
        soonest: float | None = None
        for running in self._running.values():
            slow = None if running.storing else running.lookup.deadline(now)
            first = running.ends if slow is None else min(slow, running.ends)
            soonest = first if soonest is None else min(soonest, first)
        return soonest

    def _go_on(self, running: _Running, now: float) -> None:
        if running.storing:
            if not running.told:
                self._finish(running, running.query.result())
            return
        if running.query.enough or running.lookup.finished:
            self._conclude(running, now)
            return
        query = running.query
        for candidate in running.lookup.next(now):
            addresses = candidate.addresses
            if self._ask(candidate.peer, addresses, query.request(), Purpose.LOOKUP, query.number) is None:
                running.lookup.failed(candidate.peer)

    def _conclude(self, running: _Running, now: float) -> None:
        """The lookup is over: tell whom it found, then end."""
        query = running.query
        self._cancel(query.number)
        running.storing = True
        running.ends += QUERY_SECONDS - LOOKUP_SECONDS
        purpose = Purpose.TELL if query.waits_for_told else Purpose.CORRECT
        for tell in query.tell():
            call = self._ask(tell.peer, tell.addresses, tell.message, purpose, query.number)
            if call is not None and purpose is Purpose.TELL:
                running.told.add(tell.peer)
        if not running.told:
            self._finish(running, query.result())

    def _finish(self, running: _Running, result: QueryResult | SwarmnodeError) -> None:
        number = running.query.number
        if self._running.pop(number, None) is not None:
            self._cancel(number)
            self._ended(running.query, result)

    def _cancel(self, number: int) -> None:
        for call in self._calls.take_query(number):
            self._emit(CancelRpc(call.rpc))


def _alone(result: QueryResult | SwarmnodeError) -> QueryResult | SwarmnodeError:
    """Why there is no result, when there was nobody to ask."""
    if not isinstance(result, Unavailable):
        return result
    return Unavailable(
        "This node knows no other node of the DHT yet",
        code="no_dht_peers",
        hint="Connect to one: by an invite, by --bootstrap, or on the same network.",
    )
