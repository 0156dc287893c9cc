"""Who belongs to the swarm, in the manner of SWIM (Das, Gupta, Motivala, DSN 2002).

Each member is watched by those connected to it. What travels, by gossip: births, changes and leaves, signed
by their subject, and suspicions, signed by whoever has them; never renewals. A claim counts when it is newer
than all that is known of its subject, dead or alive. A suspicion shortens the member's lease to ten seconds;
the subject's own newer claim ends it, and whoever hears the member itself passes it over. Members without a
connection to us are asked after (`member_probes`). Whoever joins asks its neighbours for what they know, as
it was signed.

The machine sees only statements whose signatures hold.
"""

from __future__ import annotations

from typing import Any

from swarmnode.protocols.swarm.member_claims import Claim
from swarmnode.protocols.swarm.member_doubts import Doubts
from swarmnode.protocols.swarm.member_limits import Budget
from swarmnode.protocols.swarm.member_probes import ANSWERED_SECONDS, CHECKED_SECONDS, Chance, Probes
from swarmnode.protocols.swarm.member_table import DIGEST_BYTES, Entry, MemberTable, digest_of
from swarmnode.protocols.swarm.member_views import Views
from swarmnode.protocols.swarm.membership_vocabulary import (
    Alive,
    Begin,
    Claimed,
    Connected,
    Disconnected,
    Gone,
    Known,
    Leave,
    Member,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    NotViewed,
    Penalise,
    Probed,
    Quiet,
    Reached,
    Said,
    Say,
    Suspected,
    Viewed,
)
from swarmnode.protocols.swarm.own_word import OwnWord
from swarmnode.values.errors import PeerFault

#: Suspicions of one accuser, and claims of one subject, that are taken in a minute. A subject that is doubted
#: again and again answers once a second.
ACCUSATIONS_A_MINUTE, CLAIMS_A_MINUTE = 10, 90
#: A dead member that comes back within so many sequences was never gone: the network between us was.
SAME_RUN = 1000
#: How often one of those connected is asked whether it knows the same, between these.
COMPARE_SECONDS = (7.5, 12.5)
#: Connected peers that are watched.
MAX_WATCHED = 4096


class Membership:
    """own: our peer id. sequence: milliseconds of Unix time at the start of the process. now: monotonic."""

    def __init__(self, own: str, sequence: int, rng: Chance, now: float) -> None:
        self._own, self._rng = own, rng
        self._word = OwnWord(sequence)
        self._statement = b""
        self._table = MemberTable()
        # Connected peers; whether they are heard.
        self._watched: dict[str, bool] = {}
        self._doubts = Doubts(own, rng)
        self._probes = Probes(rng, now)
        self._views = Views()
        self._compare_at = now + COMPARE_SECONDS[0]
        self._accusers, self._claimants = Budget(ACCUSATIONS_A_MINUTE), Budget(CLAIMS_A_MINUTE)
        self._once_a_minute = Budget(1)
        self._gone = False

    # Snapshots.

    def members(self) -> tuple[Member, ...]:
        """Everybody but ourselves, those that joined first first."""
        return tuple(entry.snapshot() for _, entry in self._table.entries())

    def member(self, peer: str) -> Member | None:
        """One of them."""
        entry = self._table.get(peer)
        return None if entry is None else entry.snapshot()

    def hears(self, peer: str) -> bool:
        """Whether the peer is connected to us, and answers."""
        return self._watched.get(peer, False)

    def knows(self, statement: bytes) -> bool:
        """Whether a member said these very bytes last."""
        return self._table.knows(statement)

    def digest(self) -> bytes:
        """Of what all members, we among them, said last."""
        own = digest_of(self._statement) if self._statement else 0
        return (self._table.digest ^ own).to_bytes(DIGEST_BYTES)

    def view(self, asker: str, after: str, now: float, digest: bytes = b"") -> tuple[tuple[bytes, ...], str]:
        """A page for a peer that asks whom we know; and where the next one begins, or empty. digest: of what
        it knows."""
        if digest == self.digest():
            return (), ""
        page, last = self._table.page(asker, after, now)
        return ((self._statement, *page) if self._statement and not after else page), last

    # As `interfaces.machine.Machine`.

    @property
    def deadline(self) -> float | None:
        if self._gone:
            return None
        due = [self._probes.deadline, self._compare_at, *self._doubts.deadlines()]
        due += [moment for moment in (self._word.due, self._views.due) if moment is not None]
        return min(due)

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """Never raises for what peers say."""
        if self._gone:
            return []
        effects = self._take(event, now)
        if not self._gone:
            effects += self._tick(now)
        return effects

    def _take(self, event: Any | None, now: float) -> list[Any]:
        match event:
            case Begin(about) | Say(about):
                self._word.change(about, now)
            case Leave():
                effects, self._gone = self._word.leave(now), True
                return list(effects)
            case Said(statement):
                self._statement = statement
            case Connected(peer):
                return self._connected(peer, now)
            case Disconnected(peer, in_order):
                return self._disconnected(peer, in_order, now)
            case Quiet(peer):
                return self._quiet(peer, now)
            case Alive(peer):
                return self._alive(peer, now)
            case Claimed(claim):
                return self._claimed(claim, now)
            case Suspected(suspicion):
                return self._suspected(suspicion.accuser, suspicion.peer, suspicion.sequence, now)
            case Viewed() | NotViewed():
                return self._viewed(event, now)
            case Probed(asked, peer, hears):
                return self._probes.answered(asked, peer, hears, self._table.get(peer), now)
            case Reached(peer, reached):
                return self._reached(peer, reached, now)
        return []

    def _tick(self, now: float) -> list[Any]:
        effects: list[Any] = []
        for peer in self._doubts.expired(now):
            effects += self._died(peer, now)
        for peer in self._doubts.due(now):
            entry = self._table.get(peer)
            effects += [] if entry is None else self._doubts.aloud(peer, entry.claim.sequence, now)
        effects += self._word.tick(now)
        if now >= self._compare_at:
            least, most = COMPARE_SECONDS
            self._compare_at = now + least + (most - least) * self._rng.random()
            askable = self._askable()
            if askable:
                self._views.ask(askable[int(self._rng.random() * len(askable))], now)
        if now >= self._probes.deadline:
            effects += self._probes.tick(self._table.entries(), self._askable(), now)
        effects += self._views.tick(now, self.digest)
        return effects

    def _askable(self) -> list[str]:
        """Members that are connected and heard."""
        return [p for p, heard in self._watched.items() if heard and self._table.get(p) is not None]

    # Connections.

    def _connected(self, peer: str, now: float) -> list[Any]:
        if peer == self._own or (peer not in self._watched and len(self._watched) >= MAX_WATCHED):
            return []
        if not self._watched:
            self._word.met(now)
        self._watched[peer] = True
        self._views.ask(peer, now)
        entry = self._table.get(peer)
        if entry is None:
            return []
        entry.known, entry.heard = Known.DIRECT, True
        self._doubts.end(peer, entry)
        return [MemberChanged(entry.snapshot())]

    def _disconnected(self, peer: str, in_order: bool, now: float) -> list[Any]:
        self._views.forget(peer)
        if self._watched.pop(peer, None) is None:
            return []
        entry = self._table.get(peer)
        if entry is None:
            return []
        entry.known, entry.checked = Known.GOSSIP, now
        if in_order:
            return [MemberChanged(entry.snapshot())]
        return self._witness(peer, entry, now)

    def _quiet(self, peer: str, now: float) -> list[Any]:
        entry = self._table.get(peer)
        if peer not in self._watched:
            return []
        self._watched[peer] = False
        return [] if entry is None else self._witness(peer, entry, now)

    def _alive(self, peer: str, now: float) -> list[Any]:
        if peer not in self._watched:
            return []
        self._watched[peer] = True
        entry = self._table.get(peer)
        if entry is not None:
            if entry.lease is None:
                return []
            self._doubts.end(peer, entry)
            return [MemberChanged(entry.snapshot())]
        stone = self._table.tombstone(peer, now)
        if stone is not None and stone.died and self._once_a_minute.take(peer, now):
            # It lives and does not know that it was given up: what is doubted aloud is answered.
            return list(self._doubts.aloud(peer, stone.claim.sequence, now))
        return []

    # What is said.

    def _claimed(self, claim: Claim, now: float) -> list[Any]:
        if claim.peer == self._own or not self._is_news(claim, now):
            return []
        if not self._claimants.take(claim.peer, now):
            return self._blame(claim.peer, f"more than {CLAIMS_A_MINUTE} claims a minute", now)
        return self._believe(claim, Known.GOSSIP, now)

    def _is_news(self, claim: Claim, now: float) -> bool:
        entry, stone = self._table.get(claim.peer), self._table.tombstone(claim.peer, now)
        known = entry.claim.sequence if entry else stone.claim.sequence if stone else -1
        return claim.sequence > known

    def _believe(self, claim: Claim, known: Known, now: float) -> list[Any]:
        """A newer word of its subject."""
        entry = self._table.get(claim.peer)
        if claim.left:
            self._doubts.end(claim.peer, None)
            self._table.bury(claim, now, died=False)
            return [] if entry is None else [MemberLeft(entry.snapshot(), Gone.LEFT)]
        if entry is None:
            return self._admit(claim, known, now)
        self._table.renew(entry, claim)
        if claim.sequence > entry.doubted:
            if entry.lease is not None:
                entry.checked = now + ANSWERED_SECONDS
            self._doubts.end(claim.peer, entry)
        if self._watched.get(claim.peer) is False:
            # It speaks, but not to us: with nobody else in doubt that is our connection's fault.
            entry.known = Known.GOSSIP
        return [MemberChanged(entry.snapshot())]

    def _admit(self, claim: Claim, known: Known, now: float) -> list[Any]:
        effects: list[Any] = []
        heard = self._watched.get(claim.peer, False)
        if self._table.is_full:
            other = self._table.least_certain() if heard else None
            if other is None:
                return []
            self._doubts.end(other, None)
            evicted = self._table.drop(other)
            effects += [MemberLeft(evicted.snapshot(), Gone.CROWDED_OUT)] if evicted else []
        stone = self._table.tombstone(claim.peer, now)
        if stone is not None and stone.died and claim.sequence - stone.claim.sequence < SAME_RUN:
            self._word.reborn(now)
        # What was handed on says nothing of now; what the subject has just said does.
        checked = now if known is Known.VIEW else now + CHECKED_SECONDS
        entry = Entry(claim, Known.DIRECT if heard else known, now, checked, heard=heard)
        self._table.put(entry)
        return [*effects, MemberJoined(entry.snapshot())]

    def _suspected(self, accuser: str, peer: str, sequence: int, now: float) -> list[Any]:
        if accuser in (self._own, peer):
            return []
        if peer == self._own:
            # Answered whoever says it, and however often: others may have listened.
            self._word.answer(sequence, now)
        if not self._accusers.take(accuser, now):
            return self._blame(accuser, f"more than {ACCUSATIONS_A_MINUTE} suspicions a minute", now)
        entry = self._table.get(peer)
        if entry is None or sequence < entry.claim.sequence or self.hears(peer):
            return []
        self._doubts.said_by_another(peer)
        return self._noted(entry, self._doubts.doubt(peer, entry, sequence, now))

    def _viewed(self, event: Viewed | NotViewed, now: float) -> list[Any]:
        if not self._views.answered(event.peer, event.after if isinstance(event, Viewed) else "", now):
            return []
        effects: list[Any] = []
        for claim in event.claims if isinstance(event, Viewed) else ():
            if claim.peer == self._own:
                self._word.answer(claim.sequence, now)
            elif self._is_news(claim, now):
                known = Known.GOSSIP if claim.peer == event.peer else Known.VIEW
                effects += self._believe(claim, known, now)
        return effects

    # Doubts.

    def _witness(self, peer: str, entry: Entry, now: float) -> list[Any]:
        """We have seen ourselves that it is gone."""
        return self._noted(entry, self._doubts.witness(peer, entry, now))

    def _noted(self, entry: Entry, changed: bool) -> list[Any]:
        return [MemberChanged(entry.snapshot())] if changed else []

    def _reached(self, peer: str, reached: bool, now: float) -> list[Any]:
        entry = self._table.get(peer)
        if not self._probes.reached(peer, reached, entry, now) or entry is None or self.hears(peer):
            return []
        return self._witness(peer, entry, now)

    def _died(self, peer: str, now: float) -> list[Any]:
        entry = self._table.get(peer)
        self._doubts.end(peer, None)
        if entry is None:
            return []
        member = entry.snapshot()
        self._table.bury(entry.claim, now, died=True)
        return [MemberLeft(member, Gone.DIED)]

    def _blame(self, peer: str, what: str, now: float) -> list[Any]:
        if not self._once_a_minute.take(peer, now):
            return []
        return [Penalise(peer, PeerFault(f"{peer} spreads {what}", code="too_many_claims"))]
