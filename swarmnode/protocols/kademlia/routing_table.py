"""The routing table: buckets of up to 20 peers by the leading bits they share with this node.

Who is in stays in while it answers: a newcomer to a full bucket waits until the one heard of least
lately fails to answer a ping (Kademlia, section 2.2), because a flood of fresh ids must not be able to
push out peers that have proven themselves. Networks count too: at most 2 peers of one public IPv4 /24 (IPv6
/64) in a bucket and 10 in the table, by the address their connection really comes from. Private and
loopback addresses are exempt, so a LAN works.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache

from swarmnode.protocols.kademlia.distance import common_prefix, peer_place
from swarmnode.protocols.kademlia.messages import MAX_CLOSER
from swarmnode.values.multiaddr import Multiaddr

BUCKET_SIZE = MAX_CLOSER
#: Newcomers that wait for a place in a full bucket.
MAX_WAITING = 10
MAX_SUBNET_IN_BUCKET = 2
MAX_SUBNET_IN_TABLE = 10
#: Who was heard of within so many seconds is not pinged for a newcomer's sake: a flood of newcomers must
#: not become a flood of pings.
TRUSTED_SECONDS = 60.0
#: Requests in a row without an answer after which a peer is dropped even if nobody waits for its place.
MAX_FAILURES = 3
#: Addresses whose network is remembered in the process.
MEMO_SUBNETS = 4096


@dataclass(slots=True)
class Entry:
    """A peer in the table. subnet: the public network it comes from. seen: when it last answered or
    connected. failures: requests in a row without an answer."""

    peer: str
    place: int
    subnet: str | None
    seen: float
    failures: int = 0
    connected: bool = False


@dataclass(slots=True)
class _Bucket:
    """The one heard of last is at the end; of those waiting too."""

    entries: OrderedDict[str, Entry] = field(default_factory=OrderedDict)
    waiting: OrderedDict[str, Entry] = field(default_factory=OrderedDict)
    pinged: str | None = None


@dataclass(slots=True)
class Changes:
    """What an event did to the table. ping: who must prove that it still answers."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    ping: str | None = None


class RoutingTable:
    """own: this node's peer id."""

    def __init__(self, own: str) -> None:
        self._own, self.place = own, peer_place(own)
        self._buckets: dict[int, _Bucket] = {}
        self._entries: dict[str, Entry] = {}
        self._subnets: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, peer: object) -> bool:
        return peer in self._entries

    def get(self, peer: str) -> Entry | None:
        """The peer's entry, if it has a place."""
        return self._entries.get(peer)

    def peers(self) -> tuple[str, ...]:
        """All peers in it, in the order they came."""
        return tuple(self._entries)

    def heard(self, peer: str, remote: Multiaddr | None, now: float, *, connected: bool | None) -> Changes:
        """The peer answered or connected. connected: None to leave that as it is."""
        changes = Changes()
        if peer == self._own:
            return changes
        index, bucket = self._bucket_of(peer)
        entry = bucket.entries.get(peer)
        if entry is not None:
            entry.seen, entry.failures = now, 0
            entry.connected = entry.connected if connected is None else connected
            bucket.entries.move_to_end(peer)
            return changes
        entry = Entry(peer, peer_place(peer), subnet_of(remote), now, connected=bool(connected))
        if not self._subnet_has_room(entry, bucket):
            self._discard_empty(index)
            return changes
        if len(bucket.entries) >= BUCKET_SIZE:
            self._drop_doubtful(bucket, changes)
        if len(bucket.entries) < BUCKET_SIZE:
            self._insert(bucket, entry, changes)
        else:
            self._wait(bucket, entry, now, changes)
        return changes

    def failed(self, peer: str) -> Changes:
        """A request to the peer was not answered."""
        changes = Changes()
        entry = self._entries.get(peer)
        if entry is None:
            return changes
        entry.failures += 1
        index, bucket = self._bucket_of(peer)
        waited_for = bucket.pinged == peer
        if waited_for:
            bucket.pinged = None
        if bucket.waiting or entry.failures >= MAX_FAILURES:
            self._remove(index, bucket, entry, changes)
        return changes

    def drop(self, peer: str) -> Changes:
        """Let go of a peer at once."""
        changes = Changes()
        index, bucket = self._bucket_of(peer)
        bucket.waiting.pop(peer, None)
        entry = bucket.entries.get(peer)
        if entry is not None:
            self._remove(index, bucket, entry, changes)
        self._discard_empty(index)
        return changes

    def answered_ping(self, peer: str, now: float) -> str | None:
        """The pinged peer keeps its place; who must be pinged next for those that wait."""
        _, bucket = self._bucket_of(peer)
        if bucket.pinged == peer:
            bucket.pinged = None
        return self._next_ping(bucket, now) if bucket.waiting else None

    def disconnected(self, peer: str) -> None:
        """The peer's last connection is gone."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.connected = False

    def closest(self, target: int, count: int, *, leave_out: tuple[str, ...] = ()) -> list[Entry]:
        """The peers nearest to a place, nearest first; those that failed to answer only after all others."""
        entries = [entry for entry in self._entries.values() if entry.peer not in leave_out]
        good = heapq.nsmallest(
            count, (e for e in entries if not e.failures), key=lambda entry: entry.place ^ target
        )
        if len(good) < count:
            doubtful = (entry for entry in entries if entry.failures)
            good += heapq.nsmallest(count - len(good), doubtful, key=lambda entry: entry.place ^ target)
        return good

    def unproven(self, before: float, count: int) -> list[str]:
        """Peers that should show that they are there: those that failed to answer first, then those not
        connected and not heard of since a moment, for longest. The connections of others are watched."""
        doubtful = [e for e in self._entries.values() if e.failures or (not e.connected and e.seen < before)]
        doubtful.sort(key=lambda entry: (not entry.failures, entry.seen))
        return [entry.peer for entry in doubtful[:count]]

    def stale_buckets(self) -> list[int]:
        """The buckets that a self-lookup does not fill: those farther than the nearest 20 peers."""
        nearest = self.closest(self.place, BUCKET_SIZE)
        if len(nearest) < BUCKET_SIZE:
            return []
        return list(range(common_prefix(nearest[-1].place, self.place)))

    def _bucket_of(self, peer: str) -> tuple[int, _Bucket]:
        index = common_prefix(peer_place(peer), self.place)
        return index, self._buckets.setdefault(index, _Bucket())

    def _subnet_has_room(self, entry: Entry, bucket: _Bucket) -> bool:
        if entry.subnet is None:
            return True
        here = sum(other.subnet == entry.subnet for other in bucket.entries.values())
        return here < MAX_SUBNET_IN_BUCKET and self._subnets[entry.subnet] < MAX_SUBNET_IN_TABLE

    def _drop_doubtful(self, bucket: _Bucket, changes: Changes) -> None:
        for entry in bucket.entries.values():
            if entry.failures:
                self._take_out(bucket, entry, changes)
                return

    def _insert(self, bucket: _Bucket, entry: Entry, changes: Changes) -> None:
        bucket.waiting.pop(entry.peer, None)
        bucket.entries[entry.peer] = self._entries[entry.peer] = entry
        if entry.subnet is not None:
            self._subnets[entry.subnet] += 1
        changes.added.append(entry.peer)

    def _wait(self, bucket: _Bucket, entry: Entry, now: float, changes: Changes) -> None:
        bucket.waiting.pop(entry.peer, None)
        bucket.waiting[entry.peer] = entry
        if len(bucket.waiting) > MAX_WAITING:
            bucket.waiting.popitem(last=False)
        changes.ping = self._next_ping(bucket, now)

    def _next_ping(self, bucket: _Bucket, now: float) -> str | None:
        if bucket.pinged is not None:
            return None
        oldest = min(bucket.entries.values(), key=lambda entry: entry.seen)
        if now - oldest.seen < TRUSTED_SECONDS:
            return None
        bucket.pinged = oldest.peer
        return oldest.peer

    def _remove(self, index: int, bucket: _Bucket, entry: Entry, changes: Changes) -> None:
        self._take_out(bucket, entry, changes)
        while bucket.waiting and len(bucket.entries) < BUCKET_SIZE:
            _, newcomer = bucket.waiting.popitem()  # Whoever came last is the likeliest to be there still.
            if self._subnet_has_room(newcomer, bucket):
                self._insert(bucket, newcomer, changes)
        self._discard_empty(index)

    def _take_out(self, bucket: _Bucket, entry: Entry, changes: Changes) -> None:
        del bucket.entries[entry.peer], self._entries[entry.peer]
        if bucket.pinged == entry.peer:
            bucket.pinged = None
        if entry.subnet is not None:
            self._subnets[entry.subnet] -= 1
            if not self._subnets[entry.subnet]:
                del self._subnets[entry.subnet]
        changes.removed.append(entry.peer)

    def _discard_empty(self, index: int) -> None:
        bucket = self._buckets.get(index)
        if bucket is not None and not bucket.entries and not bucket.waiting:
            del self._buckets[index]


@lru_cache(maxsize=MEMO_SUBNETS)
def subnet_of(address: Multiaddr | None) -> str | None:
    """The public network an address belongs to; None for private, loopback and unknown ones."""
    ip = address.ip if address is not None else None
    if ip is None or not ip.is_global:
        return None
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False))
