"""What is wanted of a lookup: to find a peer, a value or providers, to put a value or to provide.

A query begins with a lookup; put and provide then tell the nearest peers found, get tells those that
had a worse value or none. The machine moves them; here is what each asks, takes and concludes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swarmnode.protocols.kademlia.distance import peer_place, place
from swarmnode.protocols.kademlia.lookup import Lookup
from swarmnode.protocols.kademlia.messages import (
    MAX_ADDRESSES,
    MAX_CLOSER,
    Kind,
    Message,
    PeerEntry,
    Record,
)
from swarmnode.protocols.kademlia.records import Checked
from swarmnode.protocols.kademlia.vocabulary import PeerFound, ProvidersFound, QueryResult, Stored, ValueFound
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id_bytes

#: Peers of one public network among those that are told to keep something: half, so that nobody who has
#: many addresses in one place can be all that holds a key.
MAX_HOLDERS_PER_SUBNET = MAX_CLOSER // 2
#: Different peers that must have the best value before a get ends early (the spec's Q). Those who lag behind,
#: or replay an old record that still holds, have to be so many to be believed.
QUORUM = 5
#: Peers with a worse value or none that are told the best one after a get.
MAX_CORRECTIONS = 5

Check = Callable[[bytes, bytes], Checked]


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell a peer something after the lookup."""

    peer: str
    addresses: tuple[Multiaddr, ...]
    message: Message


class Query:
    """A lookup for its own sake, as when the table is refreshed. number: the caller's; below zero for our
    own. lookup is set when it starts."""

    #: Whether the query ends only when those told have answered.
    waits_for_told = False

    def __init__(self, number: int, key: bytes) -> None:
        self.number, self.key = number, key
        self.target = place(key)
        self.lookup: Lookup | None = None

    def request(self) -> Message:
        """What each peer is asked."""
        return Message(Kind.FIND_NODE, self.key)

    def take(self, peer: str, message: Message) -> None:
        """What a peer answered. Raises `PeerFault` for what must not be."""

    @property
    def enough(self) -> bool:
        """Whether the lookup can end before it is complete."""
        return False

    def tell(self) -> list[Tell]:
        """Whom to tell what, once the lookup is over."""
        return []

    def told(self, peer: str) -> None:
        """The peer has taken what it was told."""

    def result(self) -> QueryResult | SwarmnodeError:
        """The end of it."""
        return Stored(())

    def _nearest(self, message: Message) -> list[Tell]:
        if self.lookup is None:
            return []
        found = self.lookup.closest(MAX_CLOSER, MAX_HOLDERS_PER_SUBNET)
        return [Tell(candidate.peer, candidate.addresses, message) for candidate in found]


class PeerQuery(Query):
    """Where a peer is. Its own answer ends the query; what others say of it is the second best."""

    def __init__(self, number: int, peer: str) -> None:
        super().__init__(number, peer_id_bytes(peer))
        self.peer = peer
        self._addresses: list[Multiaddr] = []
        self._confirmed = False

    def take(self, peer: str, message: Message) -> None:
        self._confirmed = self._confirmed or peer == self.peer
        for entry in message.closer:
            if entry.peer == self.peer:
                fresh = [a for a in entry.addresses if a not in self._addresses]
                self._addresses += fresh[: MAX_ADDRESSES - len(self._addresses)]

    @property
    def enough(self) -> bool:
        return self._confirmed

    def result(self) -> QueryResult | SwarmnodeError:
        known = self.lookup.addresses(self.peer) if self.lookup is not None else ()
        addresses = tuple(dict.fromkeys((*known, *self._addresses)))[:MAX_ADDRESSES]
        if self._confirmed or addresses:
            return PeerFound(self.peer, addresses, self._confirmed)
        return _nothing(f"Nobody who was asked knows where {self.peer} is", "peer_not_found")


class PutQuery(Query):
    """Have the nearest peers keep a record."""

    waits_for_told = True

    def __init__(self, number: int, key: bytes, value: bytes) -> None:
        super().__init__(number, key)
        self.value = value
        self.holders: list[str] = []

    def tell(self) -> list[Tell]:
        return self._nearest(Message(Kind.PUT_VALUE, self.key, Record(self.key, self.value)))

    def told(self, peer: str) -> None:
        self.holders.append(peer)

    def _stored(self) -> Stored:
        return Stored(tuple(sorted(self.holders, key=lambda peer: peer_place(peer) ^ self.target)))

    def result(self) -> QueryResult | SwarmnodeError:
        if self.holders:
            return self._stored()
        return _nothing("No other node took the record", "not_stored")


class ProvideQuery(PutQuery):
    """Tell the nearest peers that this node provides something. own: itself, with addresses."""

    def __init__(self, number: int, key: bytes, own: PeerEntry) -> None:
        super().__init__(number, key, b"")
        self._own = own

    def tell(self) -> list[Tell]:
        return self._nearest(Message(Kind.ADD_PROVIDER, self.key, providers=(self._own,)))

    def result(self) -> QueryResult | SwarmnodeError:
        if self.holders:
            return self._stored()
        return _nothing("No other node took down that this one provides the key", "not_stored")


class ValueQuery(Query):
    """The best record under a key. check: what a record says, or a `PeerFault`. local: our own copy."""

    def __init__(
        self, number: int, key: bytes, signer: str | None, check: Check, local: Checked | None
    ) -> None:
        super().__init__(number, key)
        self._signer, self._check = signer, check
        self._best = local if local is not None and signer in (None, local.signer) else None
        self._had: dict[str, Checked | None] = {}
        self._here = int(self._best is not None)

    def request(self) -> Message:
        return Message(Kind.GET_VALUE, self.key)

    def take(self, peer: str, message: Message) -> None:
        self._had[peer] = None
        if message.record is None:
            return
        if message.record.key != self.key:
            raise PeerFault("A DHT record of another key was sent", code="bad_record")
        try:
            record = self._check(self.key, message.record.value)
        except PeerFault as error:
            if error.code == "stale_record":
                return  # Its time may just be over, or its clock be slow: nobody's lie.
            raise
        if self._signer not in (None, record.signer):
            return
        self._had[peer] = record
        if self._best is None or record.rank > self._best.rank:
            self._best, self._here = record, 0

    @property
    def best(self) -> Checked | None:
        """The best record so far."""
        return self._best

    @property
    def _agreed(self) -> int:
        if self._best is None:
            return 0
        return self._here + sum(r is not None and r.value == self._best.value for r in self._had.values())

    @property
    def enough(self) -> bool:
        return self._agreed >= QUORUM

    def tell(self) -> list[Tell]:
        """The spec's entry correction: those with a worse record first, then the nearest that have none."""
        if self._best is None or self.lookup is None:
            return []
        message = Message(Kind.PUT_VALUE, self.key, Record(self.key, self._best.value))
        nearest = self.lookup.closest(MAX_CLOSER, MAX_HOLDERS_PER_SUBNET)
        behind = [c for c in nearest if self._worse(c.peer)]
        if self.lookup.finished:
            behind += [c for c in nearest if c.peer in self._had and self._had[c.peer] is None]
        return [Tell(c.peer, c.addresses, message) for c in behind[:MAX_CORRECTIONS]]

    def _worse(self, peer: str) -> bool:
        record = self._had.get(peer)
        return record is not None and self._best is not None and record.value != self._best.value

    def result(self) -> QueryResult | SwarmnodeError:
        best = self._best
        if best is None:
            return _nothing("No node that was asked has a record under this key", "record_not_found")
        return ValueFound(self.key, best.payload, best.signer, best.stamp, self._agreed)


class ProvidersQuery(Query):
    """Who provides a key. local: those that this node knows of."""

    def __init__(self, number: int, key: bytes, limit: int, local: tuple[PeerEntry, ...]) -> None:
        super().__init__(number, key)
        self._limit = limit
        self._found = {entry.peer: entry for entry in local[:limit]}

    def request(self) -> Message:
        return Message(Kind.GET_PROVIDERS, self.key)

    def take(self, peer: str, message: Message) -> None:
        for entry in message.providers:
            before = self._found.get(entry.peer)
            if before is None and len(self._found) >= self._limit:
                continue
            # What the provider says of itself is better than what others say of it.
            if before is None or not before.addresses or entry.peer == peer:
                self._found[entry.peer] = entry

    @property
    def enough(self) -> bool:
        return len(self._found) >= self._limit

    def result(self) -> QueryResult | SwarmnodeError:
        if self._found:
            return ProvidersFound(tuple(self._found.values()))
        return _nothing("No node that was asked knows a provider of this key", "no_providers")


def _nothing(what: str, code: str) -> Unavailable:
    return Unavailable(
        what,
        code=code,
        hint="It may not exist, or the nodes that know it are not connected; try again later.",
    )
