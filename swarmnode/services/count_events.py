"""Counting what happens between peers, for metrics: faults by code, and members that come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from swarmnode.protocols.swarm.membership_vocabulary import Gone
from swarmnode.services.track_swarm import SwarmMember
from swarmnode.values.errors import PeerFault, SwarmnodeError

Penalise = Callable[[str, SwarmnodeError], None]
#: Codes that are counted one by one.
MAX_CODES = 100
OTHER = "other"


class CountFaults:
    """Stands before whoever owns trust. penalise: the owner's."""

    def __init__(self, penalise: Penalise) -> None:
        self._penalise, self._counts = penalise, Counter[str]()

    def __call__(self, peer: str, error: SwarmnodeError) -> None:
        if isinstance(error, PeerFault):
            known = error.code in self._counts or len(self._counts) < MAX_CODES
            self._counts[error.code if known else OTHER] += 1
        self._penalise(peer, error)

    def counts(self) -> Mapping[str, int]:
        """Faults since the start, by code."""
        return dict(self._counts)


class CountMembers:
    """Is a `SwarmListener`."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def member_joined(self, member: SwarmMember) -> None:
        self._counts["joined"] += 1

    def member_changed(self, member: SwarmMember) -> None:
        self._counts["suspected" if member.state == "suspect" else "changed"] += 1

    def member_left(self, member: SwarmMember, why: Gone) -> None:
        self._counts[why.value] += 1

    def counts(self) -> Mapping[str, int]:
        """Since the start, by what happened."""
        return dict(self._counts)
