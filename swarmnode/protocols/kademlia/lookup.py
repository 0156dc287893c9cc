"""One iterative lookup: which peers to ask next for those nearest to a place, and when it is over.

Whom an answer names is hearsay. A liar can name peers that do not exist, right beside the target, to
keep a lookup busy, or only its friends. Against that, as in S/Kademlia's disjoint paths but without their
price: a peer counts as found only when it has answered itself; of those that one peer alone named, two are
asked at a time; and when three of them failed, and more failed than answered, that peer is believed no more.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from swarmnode.protocols.kademlia.distance import peer_place
from swarmnode.protocols.kademlia.messages import MAX_ADDRESSES, MAX_CLOSER, PeerEntry
from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import Multiaddr

#: Requests on their way at a time. The spec's default is 3; as go-libp2p does we take 10, because a dead
#: peer costs a time-out and with 3 a few of them stop a lookup.
ALPHA = 10
#: A request that takes longer than this, seconds, gives its place among the ALPHA to another one.
SLOW_SECONDS = 3.0
#: Requests of one lookup on their way at a time, slow ones included, and in all.
MAX_WAITING = 3 * ALPHA
MAX_ASKED = 200
#: Peers that one lookup knows of.
MAX_KNOWN = 512
#: Of those whom one peer alone has named.
MAX_ASKED_BY_HEARSAY = 2
MAX_LIES = 3
#: Peers remembered to have named one and the same.
MAX_SOURCES = 8


class _State(Enum):
    NAMED = 1
    ASKED = 2
    ANSWERED = 3
    FAILED = 4


@dataclass(slots=True)
class Candidate:
    """A peer that may be near. sources: who named it; none for those of our own table."""

    peer: str
    distance: int
    addresses: tuple[Multiaddr, ...]
    sources: list[str] = field(default_factory=list)
    ours: bool = False
    state: _State = _State.NAMED
    asked_at: float = 0.0
    subnet: str | None = None


@dataclass(slots=True)
class _Source:
    """How well those whom a peer named have turned out."""

    answered: int = 0
    failed: int = 0

    @property
    def lies(self) -> bool:
        return self.failed >= MAX_LIES and self.failed > self.answered


class Lookup:
    """target: the place looked for. own: this node, never asked. width: how many to find."""

    def __init__(
        self, target: int, own: str, seeds: Iterable[PeerEntry], width: int = MAX_CLOSER, alpha: int = ALPHA
    ) -> None:
        self.target, self._own, self._width, self._alpha = target, own, width, alpha
        self._known: dict[str, Candidate] = {}
        self._by_distance: list[Candidate] = []
        self._waiting: dict[str, Candidate] = {}
        self._sources: dict[str, _Source] = {}
        self.asked = 0
        for entry in seeds:
            self._name(entry, None)

    @property
    def known(self) -> int:
        """How many peers it knows of."""
        return len(self._known)

    def addresses(self, peer: str) -> tuple[Multiaddr, ...]:
        """What was said of a peer's addresses."""
        candidate = self._known.get(peer)
        return candidate.addresses if candidate is not None else ()

    def next(self, now: float) -> list[Candidate]:
        """Whom to ask now. They count as asked."""
        chosen: list[Candidate] = []
        young = sum(now < c.asked_at + SLOW_SECONDS for c in self._waiting.values())
        room = min(self._alpha - young, MAX_WAITING - len(self._waiting), MAX_ASKED - self.asked)
        if room <= 0:
            return chosen
        busy = self._busy_sources()
        # Those passed over make room for farther ones: else one liar's inventions fill all places.
        places = self._width
        for candidate in self._live():
            if len(chosen) == room or not places:
                break
            if candidate.state is _State.NAMED:
                sole = self._sole_source(candidate)
                if sole is not None:
                    if busy.get(sole, 0) >= MAX_ASKED_BY_HEARSAY:
                        continue
                    busy[sole] = busy.get(sole, 0) + 1
                candidate.state, candidate.asked_at = _State.ASKED, now
                self._waiting[candidate.peer] = candidate
                chosen.append(candidate)
            places -= 1
        self.asked += len(chosen)
        return chosen

    def answered(self, peer: str, named: Iterable[PeerEntry], subnet: str | None) -> None:
        """A peer that was asked has answered and named others."""
        candidate = self._waiting.get(peer)
        if candidate is None:
            return
        candidate.state, candidate.subnet = _State.ANSWERED, subnet
        del self._waiting[peer]
        for source in candidate.sources:
            self._sources.setdefault(source, _Source()).answered += 1
        for entry in named:
            self._name(entry, peer)

    def failed(self, peer: str) -> None:
        """A peer that was asked does not answer, or answered garbage: it is left out."""
        candidate = self._waiting.get(peer)
        if candidate is None:
            return
        candidate.state = _State.FAILED
        del self._waiting[peer]
        for source in candidate.sources:
            self._sources.setdefault(source, _Source()).failed += 1

    @property
    def finished(self) -> bool:
        """Whether the nearest peers that are there have all answered, or nobody is left to ask."""
        if self.asked >= MAX_ASKED and not self._waiting:
            return True
        return all(c.state is _State.ANSWERED for c in islice(self._live(), self._width))

    def closest(self, count: int, per_subnet: int | None = None) -> list[Candidate]:
        """Those that answered, nearest first; of one public network at most `per_subnet`."""
        answered = [c for c in self._by_distance if c.state is _State.ANSWERED]
        if per_subnet is None:
            return answered[:count]
        chosen: list[Candidate] = []
        taken: dict[str, int] = {}
        for candidate in answered:
            if len(chosen) == count:
                break
            if candidate.subnet is not None:
                taken[candidate.subnet] = taken.get(candidate.subnet, 0) + 1
                if taken[candidate.subnet] > per_subnet:
                    continue
            chosen.append(candidate)
        return chosen

    def deadline(self, now: float) -> float | None:
        """When the next request becomes slow, so that another may be made."""
        ends = [candidate.asked_at + SLOW_SECONDS for candidate in self._waiting.values()]
        return min((end for end in ends if end > now), default=None)

    def _live(self) -> Iterator[Candidate]:
        """Those that have not failed and that somebody worth believing has named, nearest first."""
        return (c for c in self._by_distance if c.state is not _State.FAILED and self._believed(c))

    def _believed(self, candidate: Candidate) -> bool:
        if candidate.ours or candidate.state is not _State.NAMED:
            return True
        return any(not self._lies(source) for source in candidate.sources)

    def _lies(self, source: str) -> bool:
        standing = self._sources.get(source)
        return standing is not None and standing.lies

    @staticmethod
    def _sole_source(candidate: Candidate) -> str | None:
        return candidate.sources[0] if not candidate.ours and len(candidate.sources) == 1 else None

    def _busy_sources(self) -> dict[str, int]:
        busy: dict[str, int] = {}
        for candidate in self._waiting.values():
            if (sole := self._sole_source(candidate)) is not None:
                busy[sole] = busy.get(sole, 0) + 1
        return busy

    def _name(self, entry: PeerEntry, source: str | None) -> None:
        if entry.peer in (self._own, source):
            return
        candidate = self._known.get(entry.peer)
        if candidate is None:
            if len(self._known) >= MAX_KNOWN:
                return
            try:
                distance = peer_place(entry.peer) ^ self.target
            except Refused:
                return
            candidate = Candidate(entry.peer, distance, entry.addresses[:MAX_ADDRESSES], ours=source is None)
            self._known[entry.peer] = candidate
            insort(self._by_distance, candidate, key=_distance)
        elif candidate.state is _State.NAMED and len(candidate.addresses) < MAX_ADDRESSES:
            more = tuple(a for a in entry.addresses if a not in candidate.addresses)
            candidate.addresses = (candidate.addresses + more)[:MAX_ADDRESSES]
        if source is not None and source not in candidate.sources and len(candidate.sources) < MAX_SOURCES:
            candidate.sources.append(source)


def _distance(candidate: Candidate) -> int:
    return candidate.distance
