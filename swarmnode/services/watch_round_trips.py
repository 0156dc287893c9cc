"""Watching the round trips to connected peers: the best, how many, and who is quiet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swarmnode.interfaces.host import Host
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.network import LinkInfo

#: Told each round trip, seconds.
Observe = Callable[[float], None]


@dataclass(slots=True)
class RoundTrips:
    """Of one connected peer. least: the shortest round trip, seconds, None before the first. since: monotonic
    seconds of the connection. silent_since: of the last sign of life, where it owes an answer."""

    since: float
    silent_since: float | None = None
    least: float | None = None
    samples: int = 0

    @property
    def quiet(self) -> bool:
        """It owes an answer."""
        return self.silent_since is not None


class WatchRoundTrips:
    """Is a `HostWatcher`. now: monotonic seconds. observe: told each round trip, for metrics."""

    def __init__(self, host: Host, now: Callable[[], float], observe: Observe = lambda seconds: None) -> None:
        self._now, self.observe = now, observe
        self._peers: dict[str, RoundTrips] = {}
        host.watch(self)

    def of(self, peer: str) -> RoundTrips | None:
        """Those of a connected peer."""
        return self._peers.get(peer)

    def quiet(self) -> int:
        """How many connected peers owe an answer."""
        return sum(one.quiet for one in self._peers.values())

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        self._peers[peer] = RoundTrips(self._now())

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        self._peers.pop(peer, None)

    def peer_quiet(self, peer: str, seconds: float) -> None:
        if (one := self._peers.get(peer)) is not None:
            one.silent_since = self._now() - seconds

    def peer_alive(self, peer: str, rtt: float) -> None:
        self.observe(rtt)
        if (one := self._peers.get(peer)) is not None:
            one.silent_since = None
            one.least = rtt if one.least is None else min(one.least, rtt)
            one.samples += 1
