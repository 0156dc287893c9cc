"""Counting what becomes of connections: for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from swarmnode.network.link import Link
from swarmnode.protocols.pool.vocabulary import Arrived, Failed, Reached, Refuse
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.network import HostStats

OK = "ok"


class Tally:
    """Codes of errors are ours, so there are few of them."""

    def __init__(self) -> None:
        self._dials: Counter[str] = Counter()
        self._arrivals: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._received = self._sent = 0

    def event(self, event: Any) -> None:
        """What the pool is told."""
        if isinstance(event, Reached):
            self._dials[OK] += 1
        elif isinstance(event, Failed):
            self._dials[event.error.code] += 1
        elif isinstance(event, Arrived):
            self._arrivals[OK] += 1

    def refused(self, effect: Any) -> None:
        """What the pool decides about a connection that is there."""
        if isinstance(effect, Refuse):
            self._arrivals[effect.error.code] += 1

    def closed(self, link: Link, error: SwarmnodeError | None) -> None:
        """It is gone: its bytes are counted here from now on."""
        received, sent = _traffic(link)
        self._received += received
        self._sent += sent
        if link.taken:
            self._ends[OK if error is None else error.code] += 1

    def stats(self, links: Iterable[Link]) -> HostStats:
        """links: those there are now."""
        links = tuple(links)
        traffic = [_traffic(link) for link in links]
        used = [link for link in links if link.taken]
        return HostStats(
            inbound=sum(link.info.inbound for link in used),
            outbound=sum(not link.info.inbound for link in used),
            pending=len(links) - len(used),
            streams=sum(link.streams for link in used),
            received=self._received + sum(received for received, _ in traffic),
            sent=self._sent + sum(sent for _, sent in traffic),
            dials=dict(self._dials),
            arrivals=dict(self._arrivals),
            ends=dict(self._ends),
        )


def _traffic(link: Link) -> tuple[int, int]:
    """Bytes received and sent, where the carrier counts them."""
    traffic: tuple[int, int] = getattr(link.connection, "traffic", (0, 0))
    return traffic
