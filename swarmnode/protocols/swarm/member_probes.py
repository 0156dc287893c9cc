"""Finding out whether somebody lives to whom we have no connection: through third parties, then directly.

One at a time, whoever was heard of longest ago. Two connected members are asked whether they hear it; when
neither does, we try to connect. Only when that fails too is it doubted aloud, and then it may answer for
itself (SWIM, Das, Gupta, Motivala, DSN 2002, sections 3.1 and 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from swarmnode.protocols.swarm.member_table import Entry
from swarmnode.protocols.swarm.membership_vocabulary import AskProbe, Known, Reach

#: Seconds between two probes, drawn between these.
INTERVAL = (5.0, 10.0)
#: Members asked about one, and seconds that their answers are waited for.
ASKED, ANSWER_SECONDS = 2, 3.0
#: Seconds after which an attempt to connect counts for nothing, however it ends.
REACH_SECONDS = 20.0
#: Whoever is heard by a third party, or has spoken, needs no probe for so long.
CHECKED_SECONDS = 60.0
#: Whoever cannot be reached by us but answered for itself need not do so again for so long.
ANSWERED_SECONDS = 600.0
#: Between two members that are doubted by hearsay alone.
DOUBT_SECONDS = 30.0


class Chance(Protocol):
    """The part of `random.Random` that is needed."""

    def random(self) -> float: ...


@dataclass(slots=True)
class _Probe:
    peer: str
    until: float
    waiting: set[str] = field(default_factory=set)
    reaching: bool = False


class Probes:
    """rng: spreads the probes of many nodes over time."""

    def __init__(self, rng: Chance, now: float) -> None:
        self._rng = rng
        self._probe: _Probe | None = None
        self._next = now + self._interval()
        self._doubt_from = now

    @property
    def deadline(self) -> float:
        """When `tick` has something to do."""
        return self._next if self._probe is None else self._probe.until

    def tick(self, entries: Sequence[tuple[str, Entry]], askable: Sequence[str], now: float) -> list[Any]:
        """Go on with the probe under way, or begin one. askable: connected members."""
        probe = self._probe
        if now < self.deadline:
            return []
        if probe is not None and not probe.reaching:
            return self._reach(probe, dict(entries).get(probe.peer), now)
        self._next = now + self._interval()
        due = [
            (entry.checked, peer)
            for peer, entry in entries
            if entry.known is not Known.DIRECT and entry.lease is None and entry.checked <= now
        ]
        self._probe = None
        return self._begin(min(due)[1], askable, now) if due and askable else []

    def answered(self, asked: str, peer: str, hears: bool, entry: Entry | None, now: float) -> list[Any]:
        """A third party has, or has not, answered."""
        probe = self._probe
        if probe is None or probe.peer != peer or asked not in probe.waiting:
            return []
        probe.waiting.discard(asked)
        if hears:
            self._probe = None
            if entry is not None:
                entry.checked, entry.heard = now + CHECKED_SECONDS, True
            return []
        return [] if probe.waiting else self._reach(probe, entry, now)

    def reached(self, peer: str, reached: bool, entry: Entry | None, now: float) -> bool:
        """What became of connecting. Whether the member is to be doubted aloud."""
        probe = self._probe
        if probe is None or probe.peer != peer or not probe.reaching:
            return False
        self._probe = None
        if entry is None:
            return False
        if reached:
            entry.checked, entry.heard = now + CHECKED_SECONDS, True
            return False
        if now < self._doubt_from:
            return False
        self._doubt_from = now + DOUBT_SECONDS
        return True

    def _begin(self, peer: str, askable: Sequence[str], now: float) -> list[Any]:
        asked = self._draw(askable)
        self._probe = _Probe(peer, now + ANSWER_SECONDS, set(asked))
        return [AskProbe(one, peer) for one in asked]

    def _reach(self, probe: _Probe, entry: Entry | None, now: float) -> list[Any]:
        if entry is None or entry.known is Known.DIRECT:
            self._probe = None
            return []
        probe.reaching, probe.until = True, now + REACH_SECONDS
        # Others have their turn before this one is tried again.
        entry.checked = now + DOUBT_SECONDS
        return [Reach(probe.peer, entry.claim.addresses)]

    def _draw(self, among: Sequence[str]) -> list[str]:
        left = list(among)
        drawn: list[str] = []
        while left and len(drawn) < ASKED:
            drawn.append(left.pop(int(self._rng.random() * len(left))))
        return drawn

    def _interval(self) -> float:
        return INTERVAL[0] + (INTERVAL[1] - INTERVAL[0]) * self._rng.random()
