"""The members that are known, and those that were: who is gone comes back only by a newer word of its own."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass

from blake3 import blake3

from swarmnode.protocols.swarm.member_claims import Claim
from swarmnode.protocols.swarm.membership_vocabulary import Known, Member

#: Members at once, and names of those that are gone.
MAX_MEMBERS, MAX_TOMBSTONES = 4096, 4096
TOMBSTONE_SECONDS = 3600.0
#: A page of what we know: claims, and bytes of them.
PAGE_CLAIMS, PAGE_BYTES = 1000, 240 << 10
DIGEST_BYTES = 8


def digest_of(statement: bytes) -> int:
    """What one statement adds to a digest: 64 bits."""
    return int.from_bytes(blake3(statement).digest(DIGEST_BYTES))


@dataclass(slots=True)
class Entry:
    """A member. lease: when it is gone unless it is heard of; None while nobody doubts it. doubted: the
    highest sequence that is. checked: until when it counts as heard of. heard: we, or a third party, heard it
    itself; until then it is a name that anybody may have made up."""

    claim: Claim
    known: Known
    since: float
    checked: float
    lease: float | None = None
    doubted: int = -1
    heard: bool = False

    def snapshot(self) -> Member:
        """As others may keep it."""
        return Member(
            self.claim.peer,
            self.claim.sequence,
            self.claim.addresses,
            self.claim.facts,
            self.claim.coordinate,
            self.known,
            self.lease is not None,
            self.since,
            self.heard or self.known is Known.DIRECT,
        )


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What a peer said last. died: it did not take leave."""

    claim: Claim
    died: bool
    at: float


class MemberTable:
    """Members and tombstones, both bounded."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._tombstones: OrderedDict[str, Tombstone] = OrderedDict()
        self._statements: set[bytes] = set()
        #: Of all that members said last, in any order: equal where two nodes know the same.
        self.digest = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, peer: str) -> Entry | None:
        """The member, if it is one."""
        return self._entries.get(peer)

    def entries(self) -> tuple[tuple[str, Entry], ...]:
        """All members, in the order in which they joined."""
        return tuple(self._entries.items())

    def tombstone(self, peer: str, now: float) -> Tombstone | None:
        """What is left of it, for an hour."""
        stone = self._tombstones.get(peer)
        return stone if stone is not None and now - stone.at < TOMBSTONE_SECONDS else None

    def put(self, entry: Entry) -> None:
        """Add or replace; whoever may do so has made room."""
        self.drop(entry.claim.peer)
        self._entries[entry.claim.peer] = entry
        self._note(entry.claim.statement)
        self._tombstones.pop(entry.claim.peer, None)

    def renew(self, entry: Entry, claim: Claim) -> None:
        """The member has said something newer."""
        self._unnote(entry.claim.statement)
        entry.claim = claim
        self._note(claim.statement)

    def drop(self, peer: str) -> Entry | None:
        """Take it out, without a trace."""
        entry = self._entries.pop(peer, None)
        if entry is not None:
            self._unnote(entry.claim.statement)
        return entry

    def _note(self, statement: bytes) -> None:
        self._statements.add(statement)
        self.digest ^= digest_of(statement)

    def _unnote(self, statement: bytes) -> None:
        self._statements.discard(statement)
        self.digest ^= digest_of(statement)

    def bury(self, claim: Claim, now: float, *, died: bool) -> Entry | None:
        """Take it out, and remember what it said last. The member that it was."""
        entry = self.drop(claim.peer)
        self._tombstones.pop(claim.peer, None)
        self._tombstones[claim.peer] = Tombstone(claim, died, now)
        if len(self._tombstones) > MAX_TOMBSTONES:
            self._tombstones.popitem(last=False)
        return entry

    @property
    def is_full(self) -> bool:
        """Whether somebody has to go before somebody comes."""
        return len(self._entries) >= MAX_MEMBERS

    def least_certain(self) -> str | None:
        """Of those known by hearsay, one that nobody has heard, or else the one heard of longest ago."""
        hearsay = [
            (e.heard, e.checked, peer) for peer, e in self._entries.items() if e.known is not Known.DIRECT
        ]
        return min(hearsay)[2] if hearsay else None

    def knows(self, statement: bytes) -> bool:
        """Whether these very bytes are what a member said last: they need not be checked again."""
        return statement in self._statements

    def page(self, asker: str, after: str, now: float) -> tuple[tuple[bytes, ...], str]:
        """What members said, as they signed it, by their ids; and where the next page begins, or empty.
        Nobody who is doubted is in it. Whoever asks and is believed dead is told its own word, so that it
        can say a newer one."""
        chosen: list[bytes] = []
        stone = self.tombstone(asker, now) if not after else None
        if stone is not None:
            chosen.append(stone.claim.statement)
        size = sum(map(len, chosen))
        later = [peer for peer in self._entries if peer > after and peer != asker]
        last = after
        for peer in heapq.nsmallest(PAGE_CLAIMS, later):
            entry = self._entries[peer]
            if len(chosen) == PAGE_CLAIMS or size + len(entry.claim.statement) + 4 > PAGE_BYTES:
                return tuple(chosen), last
            last = peer
            if entry.lease is None and entry.claim.statement:
                chosen.append(entry.claim.statement)
                size += len(entry.claim.statement) + 4
        return tuple(chosen), last if len(later) > PAGE_CLAIMS else ""
