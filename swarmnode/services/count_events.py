"""Counting what happens between peers, for metrics: faults by code, and members that come and go."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

from swarmnode.protocols.swarm.membership_vocabulary import Gone
from swarmnode.services.track_swarm import SwarmMember
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.network import LinkInfo

Penalise = Callable[[str, SwarmnodeError], None]
#: Codes that are counted one by one.
MAX_CODES = 100
#: Peers whose last fault is remembered, so that none is counted twice.
MAX_LAST = 256
OTHER = "other"


class CountFaults:
    """Stands before whoever owns trust, and hears of faults that only the connection noticed: it is a
    `HostWatcher`. penalise: the owner's."""

    def __init__(self, penalise: Penalise) -> None:
        self._penalise, self._counts = penalise, Counter[str]()
        self._last: OrderedDict[str, SwarmnodeError] = OrderedDict()

    def __call__(self, peer: str, error: SwarmnodeError) -> None:
        self._last[peer] = error
        self._last.move_to_end(peer)
        if len(self._last) > MAX_LAST:
            self._last.popitem(last=False)
        if isinstance(error, PeerFault):
            known = error.code in self._counts or len(self._counts) < MAX_CODES
            self._counts[error.code if known else OTHER] += 1
        self._penalise(peer, error)

    def counts(self) -> Mapping[str, int]:
        """Faults since the start, by code."""
        return dict(self._counts)

    # As `HostWatcher`.

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        """No fault."""

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """A fault that ended the connection, unless whoever ended it for that has said so already."""
        if isinstance(error, PeerFault) and self._last.pop(peer, None) is not error:
            self(peer, error)

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """No fault."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """No fault."""


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
