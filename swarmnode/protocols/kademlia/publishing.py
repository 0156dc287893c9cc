"""Does the upkeep when it is due: refreshes the table, publishes again, lets go of what has ended."""

from __future__ import annotations

from collections.abc import Callable

from swarmnode.protocols.kademlia.distance import Rng, aimed_key, place
from swarmnode.protocols.kademlia.messages import MAX_CLOSER, MAX_KEY_BYTES
from swarmnode.protocols.kademlia.queries import ProvideQuery, PutQuery, Query
from swarmnode.protocols.kademlia.records import Sign, signed_record
from swarmnode.protocols.kademlia.routing_table import RoutingTable
from swarmnode.protocols.kademlia.searching import Searches
from swarmnode.protocols.kademlia.serving import Server, Stamp
from swarmnode.protocols.kademlia.upkeep import (
    HOLDER_BATCH,
    HOLDER_CHANCE,
    HOLDER_ROUND_SECONDS,
    HOLDER_SECONDS,
    MAX_PROBES,
    PROBE_SECONDS,
    Publication,
    Publications,
    RefreshSchedule,
    jittered,
)
from swarmnode.protocols.kademlia.vocabulary import QueryResult, Stored
from swarmnode.values.errors import Refused, SwarmnodeError
from swarmnode.values.peer_id import peer_id_bytes

#: Queries of our own at a time: upkeep must not be in the caller's way.
MAX_BACKGROUND = 4
#: Lookups of one refresh: of ourselves and of a bucket each.
MAX_REFRESH_LOOKUPS = 16


class Publisher:
    """Begins queries of its own, numbered below zero, and those that publish for the caller."""

    def __init__(
        self,
        table: RoutingTable,
        server: Server,
        searches: Searches,
        rng: Rng,
        stamp: Stamp,
        public_key: bytes,
        sign: Sign,
        ping: Callable[[str], None],
    ) -> None:
        self._table, self._server, self._searches, self._ping = table, server, searches, ping
        self._rng, self._stamp, self._public_key, self._sign = rng, stamp, public_key, sign
        self._schedule = RefreshSchedule(rng)
        self._publications = Publications(rng)
        self._publishing: dict[int, Publication] = {}
        self._lookups: list[bytes] = []
        self._next_number = 0
        self._holder_round: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `work` has something to do."""
        if self._background >= MAX_BACKGROUND:
            return None  # The end of one of them leads on.
        times = (self._schedule.next, self._publications.next, self._holder_round)
        return min((time for time in times if time is not None), default=None)

    def publish(self, number: int, key: bytes, payload: bytes | None, now: float) -> None:
        """Publish now, and again until `withdraw`. payload: of a record; None: to provide the key. Raises
        `Refused` for what cannot be published, `Unavailable` when too many queries are under way."""
        query = self._query(number, key, payload, now)
        publication = self._publications.add(key, payload)
        self._publishing[number] = publication
        try:
            self._searches.start(query, now)
        except SwarmnodeError:
            self._publishing.pop(number, None)
            self._publications.done(publication, well=False, now=now)
            raise

    def withdraw(self, key: bytes) -> None:
        """Publish the key no more."""
        self._publications.withdraw(key)
        self._server.providers.remove(key, self._server.own)

    def table_changed(self, now: float) -> None:
        """The table has gained or lost a peer."""
        self._schedule.changed(now)
        if self._holder_round is None:
            self._holder_round = now + jittered(HOLDER_ROUND_SECONDS, self._rng)

    def hurry(self, now: float) -> None:
        """Refresh the table at once."""
        self._schedule.hurry(now)

    def given_up(self, number: int, now: float) -> None:
        """The caller does not wait for this publication; it is due again later."""
        publication = self._publishing.pop(number, None)
        if publication is not None:
            self._publications.done(publication, well=False, now=now)

    def ended(self, number: int, result: QueryResult | SwarmnodeError, now: float) -> None:
        """A query is over, one of these or another."""
        publication = self._publishing.pop(number, None)
        if publication is not None:
            self._publications.done(publication, well=isinstance(result, Stored), now=now)
        if number < 0:
            self.work(now)

    def work(self, now: float) -> None:
        """Begin what is due, as far as there is room for it."""
        if self._holder_round is not None and self._holder_round <= now:
            self._holder_round = now + jittered(HOLDER_ROUND_SECONDS, self._rng)
            self._server.records.prune(now)
            self._server.providers.prune(now)
            self._publish_for_others(now)
        if self._schedule.next is not None and self._schedule.next <= now and len(self._table):
            self._plan_refresh(thorough=self._schedule.begin(now))
            for peer in self._table.unproven(now - PROBE_SECONDS, MAX_PROBES):
                self._ping(peer)
        while self._lookups and self._has_room:
            self._begin(Query(self._number(), self._lookups.pop()), now)
        while self._has_room and (due := self._publications.take_due(now)) is not None:
            self._publish_again(due, now)

    @property
    def _background(self) -> int:
        return sum(number < 0 for number in self._searches.numbers)

    @property
    def _has_room(self) -> bool:
        return self._background < MAX_BACKGROUND and bool(len(self._table))

    def _plan_refresh(self, *, thorough: bool) -> None:
        """Ourselves first, which also makes us known to our neighbours; then the far buckets, of which one
        at random is enough while nothing changes."""
        stale = self._table.stale_buckets()
        if stale and not thorough:
            stale = [stale[int(self._rng.random() * len(stale))]]
        del stale[MAX_REFRESH_LOOKUPS - 1 :]
        own = self._table.place
        self._lookups = [aimed_key(own, prefix, self._rng) for prefix in stale]
        self._lookups.append(peer_id_bytes(self._server.own))

    def _publish_for_others(self, now: float) -> None:
        """What this node holds, is among the nearest for, and nobody has published for long."""
        for held in self._server.records.unrenewed(now - HOLDER_SECONDS, HOLDER_BATCH):
            if not self._has_room:
                return
            if self._rng.random() >= HOLDER_CHANCE:
                continue
            target = place(held.key)
            nearest = self._table.closest(target, MAX_CLOSER)
            ours = len(nearest) < MAX_CLOSER or self._table.place ^ target < nearest[-1].place ^ target
            self._server.records.renewed(held.key, now)
            if ours:
                self._begin(PutQuery(self._number(), held.key, held.record.value), now)

    def _publish_again(self, due: Publication, now: float) -> None:
        number = self._number()
        try:
            query = self._query(number, due.key, due.payload, now)
        except SwarmnodeError:
            self._publications.done(due, well=False, now=now)
            return
        self._publishing[number] = due
        self._begin(query, now)

    def _begin(self, query: Query, now: float) -> None:
        try:
            self._searches.start(query, now)
        except SwarmnodeError:
            self.given_up(query.number, now)

    def _query(self, number: int, key: bytes, payload: bytes | None, now: float) -> Query:
        if payload is None:
            if not 0 < len(key) <= MAX_KEY_BYTES:
                raise Refused(
                    f"A provided key has 1 to {MAX_KEY_BYTES} bytes, not {len(key)}",
                    code="bad_provider_key",
                    param="key",
                )
            own = self._server.entry(self._server.own)
            self._server.keep_provider(key, own, now)
            return ProvideQuery(number, key, own)
        stamp = int(self._stamp())
        held = self._server.local(key, now)
        if held is not None and held.signer == self._server.own and held.payload != payload:
            stamp = max(stamp, held.stamp + 1)  # Two values of one second: the later one must win.
        value = signed_record(key, payload, stamp, self._public_key, self._sign)
        self._server.keep_record(key, value, now)
        return PutQuery(number, key, value)

    def _number(self) -> int:
        self._next_number -= 1
        return self._next_number
