"""Telling watchers about peers, whatever they do with it, and smoothing round-trip times."""

from __future__ import annotations

from typing import Any

from swarmnode.interfaces.host import HostWatcher
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.network import LinkInfo

#: RFC 6298, 2.3: how much of a new measurement goes into the smoothed round-trip time.
RTT_SHARE = 1 / 8


class Watchers:
    """Those who watch, in the order in which they came. An exception of one is logged and harms nobody."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._watchers: list[HostWatcher] = []
        self._rtts: dict[str, float] = {}
        self._connected: set[str] = set()

    def add(self, watcher: HostWatcher) -> None:
        """Tell this one too."""
        self._watchers.append(watcher)

    def rtt(self, peer: str) -> float | None:
        """The smoothed round-trip time of a connected peer, seconds."""
        return self._rtts.get(peer)

    def connected(self, peer: str, link: LinkInfo) -> None:
        """The first connection to the peer is up. Told once."""
        if peer not in self._connected:
            self._connected.add(peer)
            self._tell("peer_connected", peer, link)

    def disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """The last one is gone."""
        if peer in self._connected:
            self._connected.remove(peer)
            self._rtts.pop(peer, None)
            self._tell("peer_disconnected", peer, error)

    def alive(self, peer: str, rtt: float) -> None:
        """A round trip was measured."""
        if peer in self._connected:
            past = self._rtts.get(peer, rtt)
            self._rtts[peer] = past + (rtt - past) * RTT_SHARE
            self._tell("peer_alive", peer, rtt)

    def quiet(self, peer: str, seconds: float) -> None:
        """The peer answers on none of its connections."""
        if peer in self._connected:
            self._tell("peer_quiet", peer, seconds)

    def _tell(self, what: str, *arguments: Any) -> None:
        for watcher in tuple(self._watchers):
            try:
                getattr(watcher, what)(*arguments)
            except Exception as error:
                name = type(watcher).__name__
                self._log.error("a watcher failed", watcher=name, told=what, reason=repr(error))
