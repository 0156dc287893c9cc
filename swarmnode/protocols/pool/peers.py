"""The connections there are, by peer, and how useful each peer is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from swarmnode.protocols.pool.limits import (
    GRACE_SECONDS,
    MAX_TAGS,
    MAX_WEIGHED_PEERS,
    PROTECTED_WEIGHT,
    SPARE_SECONDS,
)
from swarmnode.values.multiaddr import Multiaddr


@dataclass(slots=True)
class Conn:
    """A connection in use. idle_since: when its last stream went. address: where we dialled it."""

    number: int
    peer: str
    inbound: bool
    subnet: str
    since: float
    idle_since: float
    address: Multiaddr | None = None
    streams: int = 0
    quiet: bool = False


@dataclass(slots=True)
class Member:
    """A connected peer. since: when it was connected."""

    peer: str
    since: float
    conns: dict[int, Conn] = field(default_factory=dict)

    @property
    def inbound(self) -> bool:
        """Whether all its connections were its own idea."""
        return all(conn.inbound for conn in self.conns.values())


class Weights:
    """What each peer is worth to whom; connected or not."""

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, float]] = {}

    def __len__(self) -> int:
        return len(self._tags)

    def of(self, peer: str) -> float:
        """The sum of a peer's weights."""
        tags = self._tags.get(peer)
        return sum(tags.values()) if tags else 0.0

    def set(self, peer: str, tag: str, weight: float) -> None:
        """0 takes the tag away. A tag too many is left out; of too many peers the lightest is forgotten."""
        tags = self._tags.get(peer)
        if weight == 0:
            if tags is not None and tags.pop(tag, None) is not None and not tags:
                del self._tags[peer]
            return
        if tags is None:
            if len(self._tags) >= MAX_WEIGHED_PEERS:
                del self._tags[min(self._tags, key=self.of)]
            tags = self._tags[peer] = {}
        if tag in tags or len(tags) < MAX_TAGS:
            tags[tag] = weight


class PeerTable:
    """Who is connected. own_id decides which of two connections made at the same time both ends keep."""

    def __init__(self, own_id: str) -> None:
        self._own_id = own_id
        self._members: dict[str, Member] = {}
        self._conns: dict[int, Conn] = {}
        self._doubled: dict[str, None] = {}
        self.weights = Weights()

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, peer: str) -> bool:
        return peer in self._members

    def conn(self, number: int) -> Conn | None:
        """A connection in use."""
        return self._conns.get(number)

    def conns(self, peer: str) -> tuple[Conn, ...]:
        """A peer's connections."""
        member = self._members.get(peer)
        return tuple(member.conns.values()) if member is not None else ()

    def add(self, conn: Conn) -> bool:
        """A connection comes into use; whether it is the peer's first."""
        peer = conn.peer
        first = peer not in self._members
        member = self._members.setdefault(peer, Member(peer, conn.since))
        member.conns[conn.number] = self._conns[conn.number] = conn
        if len(member.conns) > 1:
            self._doubled[peer] = None
        return first

    def remove(self, conn: Conn) -> bool:
        """A connection is not in use any more; whether it was the peer's last."""
        member = self._members[conn.peer]
        del self._conns[conn.number], member.conns[conn.number]
        if len(member.conns) < 2:
            self._doubled.pop(conn.peer, None)
        if not member.conns:
            del self._members[conn.peer]
        return not member.conns

    def shares(self, subnet: str) -> int:
        """Peers that connected to us from there."""
        return sum(
            1 for member in self._members.values() if any(c.subnet == subnet for c in member.conns.values())
        )

    def lightest(self, now: float, *, at_most: float, spare_new: bool = True) -> str | None:
        """Who goes when one must: the least weight, then those who came by themselves, then the newest (who
        floods us with connections displaces its own). None: nobody may go."""
        candidates = [
            (weight, not member.inbound, -member.since, peer)
            for peer, member in self._members.items()
            if (weight := self.weights.of(peer)) < PROTECTED_WEIGHT
            and weight <= at_most
            and not (spare_new and now - member.since < GRACE_SECONDS)
        ]
        return min(candidates)[3] if candidates else None

    def spares(self, now: float) -> list[Conn]:
        """Duplicates that are to be closed now."""
        return [conn for when, conn in self._closable() if when <= now]

    @property
    def deadline(self) -> float | None:
        """When the next duplicate is to be closed."""
        return min((when for when, _ in self._closable()), default=None)

    def _closable(self) -> Iterator[tuple[float, Conn]]:
        """Duplicates without streams that are ours to close, and when.

        Of two connections made towards each other, the one that the smaller peer id dialled stays, so both
        ends close the same one. Of several in one direction the newest stays, and only who
        dialled closes: it knows their order, the other end may see them in another one.
        """
        for peer in self._doubled:
            conns = self._members[peer].conns.values()
            kept = max(conns, key=self._preference)
            if kept.quiet:
                continue
            for conn in conns:
                ours = conn.inbound is not kept.inbound or not conn.inbound
                if conn is not kept and ours and not conn.streams:
                    yield max(conn.idle_since, kept.since) + SPARE_SECONDS, conn

    def _preference(self, conn: Conn) -> tuple[bool, bool, float, int]:
        return preference(self._own_id, conn.peer, conn.inbound, conn.quiet, conn.since, conn.number)


def preference(
    own_id: str, peer: str, inbound: bool, quiet: bool, since: float, number: int
) -> tuple[bool, bool, float, int]:
    """The larger, the rather is a connection used, and kept, of several to one peer."""
    by_smaller = (peer < own_id) is inbound
    return not quiet, by_smaller, since, number
