"""When to look around and when to publish again.

The table is refreshed every minute as long as it changes, and seldomer and seldomer, down to every 10
minutes, while it does not: a quiet swarm of 50 nodes then spends about 0.3 kB/s a node on this. What
this node publishes is published again every 22 minutes, so that two failures in a row are survived within the
hour that records live. Those who hold a record for others publish it only if nobody else has for 25
minutes: while its owner lives that never happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmnode.protocols.kademlia.distance import Rng
from swarmnode.values.errors import Refused

REFRESH_SECONDS = 60.0
QUIET_REFRESH_SECONDS = 600.0
#: Times vary by this share, so that nodes that began together do not act together.
JITTER = 0.1
REPUBLISH_SECONDS = 22 * 60.0
#: Peers that must prove at each refresh that they are there, if they have not been heard of for so long.
MAX_PROBES = 5
PROBE_SECONDS = 600.0
#: After a publication that reached nobody.
RETRY_SECONDS = 60.0
HOLDER_SECONDS = 25 * 60.0
#: How often what is held for others is looked through, how many records are published again each time at
#: most, and how likely each is: the first holder that does it spares the others from it.
HOLDER_ROUND_SECONDS = 60.0
HOLDER_BATCH = 4
HOLDER_CHANCE = 0.25
MAX_PUBLICATIONS = 2048


def jittered(seconds: float, rng: Rng) -> float:
    """About so many seconds."""
    return seconds * (1 - JITTER + 2 * JITTER * rng.random())


class RefreshSchedule:
    """When the table is to be refreshed."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._last: float | None = None
        self._interval = REFRESH_SECONDS
        self._changed = False
        self.next: float | None = None

    def changed(self, now: float) -> None:
        """The table has gained or lost a peer."""
        self._changed = True
        soon = now if self._last is None else max(now, self._last + REFRESH_SECONDS)
        self.next = soon if self.next is None else min(self.next, soon)

    def begin(self, now: float) -> bool:
        """A refresh begins; whether a thorough one is due, because the table has changed."""
        thorough = self._changed or self._last is None
        self._interval = (
            REFRESH_SECONDS
            if thorough
            else min(QUIET_REFRESH_SECONDS, max(REFRESH_SECONDS, 2 * self._interval))
        )
        self._changed, self._last = False, now
        self.next = now + jittered(self._interval, self._rng)
        return thorough

    def hurry(self, now: float) -> None:
        """Refresh at once."""
        self.next, self._changed = now, True


@dataclass(slots=True)
class Publication:
    """What this node publishes under a key. payload: of a record; None: it provides the key. due: when
    next; None: it is being published."""

    key: bytes
    payload: bytes | None = field(repr=False)
    due: float | None = None


class Publications:
    """All that this node publishes."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._all: dict[tuple[bytes, bool], Publication] = {}
        self._next: float | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, key: bytes, payload: bytes | None) -> Publication:
        """It is being published now, for the first time or with a new payload. Raises `Refused`."""
        name = (key, payload is None)
        if name not in self._all and len(self._all) >= MAX_PUBLICATIONS:
            raise Refused(
                f"This node publishes {MAX_PUBLICATIONS} keys already",
                code="too_many_dht_keys",
                hint="Withdraw some.",
            )
        self._all.pop(name, None)
        self._all[name] = Publication(key, payload)
        self._look()
        return self._all[name]

    def withdraw(self, key: bytes) -> None:
        """Publish the key no more."""
        self._all.pop((key, True), None)
        self._all.pop((key, False), None)
        self._look()

    def done(self, publication: Publication, *, well: bool, now: float) -> None:
        """An attempt is over."""
        publication.due = now + jittered(REPUBLISH_SECONDS if well else RETRY_SECONDS, self._rng)
        self._look()

    def take_due(self, now: float) -> Publication | None:
        """The one most overdue, which counts as being published from now on."""
        if self._next is None or self._next > now:
            return None
        first = next(p for p in self._all.values() if p.due == self._next)
        first.due = None
        self._look()
        return first

    @property
    def next(self) -> float | None:
        """When the next one is due."""
        return self._next

    def _look(self) -> None:
        self._next = min((p.due for p in self._all.values() if p.due is not None), default=None)
