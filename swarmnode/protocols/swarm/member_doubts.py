"""Who is doubted until when, and what of it we are about to say aloud."""

from __future__ import annotations

from swarmnode.protocols.swarm.member_limits import Budget
from swarmnode.protocols.swarm.member_probes import Chance
from swarmnode.protocols.swarm.member_table import Entry
from swarmnode.protocols.swarm.membership_vocabulary import PublishSuspicion

#: How long a member stays that somebody doubts.
SUSPICION_SECONDS = 10.0
#: Of all who see a peer go, those who were first say so; the others hear it meanwhile.
WITNESS_SECONDS = 0.3
#: What we accuse others of in a minute: fewer than those who hear it put up with.
ACCUSATIONS_A_MINUTE = 8


class Doubts:
    """Leases of members, and suspicions that wait a moment in case somebody else says them."""

    def __init__(self, own: str, rng: Chance) -> None:
        self._own, self._rng = own, rng
        self._leases: dict[str, float] = {}
        self._witnessed: dict[str, float] = {}
        self._budget = Budget(ACCUSATIONS_A_MINUTE)

    def deadlines(self) -> list[float]:
        """When something is due."""
        return [*self._leases.values(), *self._witnessed.values()]

    def doubt(self, peer: str, entry: Entry, sequence: int, now: float) -> bool:
        """Somebody doubts the member up to this sequence. Whether nobody did before: a second doubt gives no
        second lease."""
        entry.doubted = max(entry.doubted, sequence)
        if entry.lease is not None:
            return False
        entry.lease = self._leases[peer] = now + SUSPICION_SECONDS
        return True

    def witness(self, peer: str, entry: Entry, now: float) -> bool:
        """The same, and we have seen it ourselves: tell the others soon."""
        if peer not in self._witnessed and entry.doubted < entry.claim.sequence:
            self._witnessed[peer] = now + WITNESS_SECONDS * self._rng.random()
        return self.doubt(peer, entry, entry.claim.sequence, now)

    def said_by_another(self, peer: str) -> None:
        """We need not say it too."""
        self._witnessed.pop(peer, None)

    def end(self, peer: str, entry: Entry | None) -> None:
        """Nobody doubts it any more, or it is no member any more."""
        self._leases.pop(peer, None)
        self._witnessed.pop(peer, None)
        if entry is not None:
            entry.lease, entry.doubted = None, -1

    def expired(self, now: float) -> list[str]:
        """Whose lease has run out."""
        return [peer for peer, end in self._leases.items() if end <= now]

    def due(self, now: float) -> list[str]:
        """Whom we have to doubt aloud now; asked for once."""
        ready = [peer for peer, when in self._witnessed.items() if when <= now]
        for peer in ready:
            del self._witnessed[peer]
        return ready

    def aloud(self, peer: str, sequence: int, now: float) -> list[PublishSuspicion]:
        """The suspicion, unless we have said too many."""
        return [PublishSuspicion(peer, sequence)] if self._budget.take(self._own, now) else []
