"""Examining this node's own network: what it can see, and what it measures of each peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any, Protocol

from twisted.internet.defer import Deferred, inlineCallbacks

from swarmnode.interfaces.host import Host
from swarmnode.policy.network_findings import NetworkView, findings
from swarmnode.policy.observed import SeenAs
from swarmnode.services.measure_bandwidth import Bandwidth
from swarmnode.services.report_peers import milliseconds
from swarmnode.services.say_hello import PeerFacts as Greeted
from swarmnode.services.watch_round_trips import WatchRoundTrips
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo, NetworkSettings

#: Peers that are measured, one after the other; pings to each; and all measuring together, seconds.
MAX_MEASURED, PINGS, MEASURING_SECONDS = 16, 3, 60.0
BITS_IN_MEGABIT = 125_000


class Greetings(Protocol):
    """The part of `services.say_hello.SayHello` that is needed."""

    def facts(self, peer: str) -> Greeted | None: ...

    def skew(self) -> float | None: ...


class ExamineNetwork:
    """ping(peer, count), bandwidth(peer): Deferreds. seen_as: where others see this node. now: monotonic
    seconds. Is a `HostWatcher`."""

    def __init__(
        self,
        host: Host,
        settings: NetworkSettings,
        trips: WatchRoundTrips,
        hello: Greetings,
        ping: Callable[[str, int], Deferred[list[float]]],
        bandwidth: Callable[[str], Deferred[Bandwidth]],
        seen_as: Callable[[], tuple[SeenAs, ...]],
        now: Callable[[], float],
    ) -> None:
        self._host, self._settings, self._trips, self._hello = host, settings, trips, hello
        self._ping, self._bandwidth, self._seen_as, self._now = ping, bandwidth, seen_as, now
        self._begun, self._inbound = now(), False
        host.watch(self)

    @inlineCallbacks
    def examine(self) -> Any:
        """A Deferred of `{"findings": [...], "addresses": [...], "peers": [...]}`."""
        view, end = self._view(), self._now() + MEASURING_SECONDS
        peers = []
        for peer in self._host.peers()[:MAX_MEASURED]:
            if self._now() > end:
                break
            measured = yield self._measure(peer)
            peers.append(measured)
        return {
            "node_id": self._host.peer_id,
            "addresses": [str(one.with_peer(self._host.peer_id)) for one in view.addresses],
            "seen_at": list(view.seen_at),
            "findings": [asdict(finding) for finding in findings(view)],
            "peers": peers,
            "peers_connected": view.peers,
        }

    def _view(self) -> NetworkView:
        settings, addresses = self._settings, self._host.addresses()
        bootstrap = () if settings.offline else settings.bootstrap
        return NetworkView(
            port=next((one.port for one in addresses if one.port), settings.port),
            addresses=addresses,
            peers=len(self._host.peers()),
            max_peers=settings.max_peers,
            inbound=self._inbound,
            running=self._now() - self._begun,
            offline=settings.offline,
            mdns=settings.enable_mdns,
            private=bool(settings.network_id),
            quiet=self._trips.quiet(),
            skew=self._hello.skew(),
            seen_at=tuple(one.ip for one in self._seen_as()),
            missing=tuple(one for one in bootstrap if not self._has(one)),
            bootstrap=len(bootstrap),
            by_choice=ip_address(settings.listen_address).is_loopback,
        )

    def _has(self, address: Multiaddr) -> bool:
        """Whether the bootstrap peer is connected; one that is known by a name alone is taken to be."""
        connected = self._host.peers()
        if address.peer is not None:
            return address.peer in connected
        if address.ip is None:
            return bool(connected)
        plain = address.without_peer()
        return any(
            link.remote.without_peer() == plain for peer in connected for link in self._host.links(peer)
        )

    @inlineCallbacks
    def _measure(self, peer: str) -> Any:
        answer: dict[str, Any] = {"node_id": peer}
        links = self._host.links(peer)
        if links:
            answer["address"] = str(links[0].remote)
        if (greeted := self._hello.facts(peer)) is not None:
            answer["clock_skew_seconds"] = round(greeted.skew, 3)
            answer["clock_error_seconds"] = round(greeted.skew_error, 3)
        try:
            rtts = yield self._ping(peer, PINGS)
            answer["rtt_ms"] = milliseconds(min(rtts))
            measured = yield self._bandwidth(peer)
            answer["down_mbit_s"] = round(measured.down / BITS_IN_MEGABIT, 1)
            answer["up_mbit_s"] = round(measured.up / BITS_IN_MEGABIT, 1)
        except SwarmnodeError as error:
            answer["problem"] = error.message
        return answer

    # As `HostWatcher`.

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        self._inbound = self._inbound or link.inbound

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """Not of interest."""

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Not of interest."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Not of interest."""
