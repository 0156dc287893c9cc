"""Where the host listens, and what others should dial."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Connection
from swarmnode.network.link import as_error
from swarmnode.policy.addresses import IP, usable_addresses
from swarmnode.values.errors import Refused, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr

#: How long the addresses of the machine's interfaces are taken as they were: VPNs come and go.
INTERFACES_SECONDS = 30.0


class Listeners:
    """The carriers' listening addresses. interfaces: IP addresses of this machine, as text.
    lost: told when one ends by itself."""

    def __init__(
        self,
        carriers: Sequence[Any],
        wanted: Sequence[Multiaddr],
        interfaces: Callable[[], Sequence[str]],
        clock: Clock,
        lost: Callable[[SwarmnodeError], None],
    ) -> None:
        self._carriers, self._wanted, self._interfaces, self._clock = carriers, wanted, interfaces, clock
        self._lost = lost
        self._listening: list[Any] = []
        self._everywhere: tuple[Multiaddr, ...] = ()
        self._told: tuple[Multiaddr, ...] = ()
        self._told_for: tuple[Multiaddr, ...] = ()
        self._read: float | None = None

    def start(self, accept: Callable[[Connection], None]) -> Deferred[Any]:
        """Listen on all; where one fails, on none."""
        beginning = [
            maybeDeferred(carrier.listen, address, accept)
            for address in self._wanted
            for carrier in self._carriers
            if carrier.dials(address)
        ]
        if not beginning and self._wanted:
            names = ", ".join(map(str, self._wanted))
            raise Refused(f"No transport can listen on {names}", code="no_transport")
        return DeferredList(beginning, consumeErrors=True).addCallback(self._started)

    def _started(self, results: Sequence[tuple[bool, Any]]) -> Any:
        self._listening, self._read = [result for ok, result in results if ok], None
        for listening in self._listening:
            if listening.ended is not None:
                listening.ended.addErrback(lambda why: self._lost(as_error(why.value, "Listening ended")))
        failures: list[Failure] = [result for ok, result in results if not ok]
        if not failures:
            return None
        error = as_error(failures[0].value, "Listening failed")

        def give_up(_: object) -> None:
            raise error

        return self.stop().addCallback(give_up)

    def stop(self) -> Deferred[Any]:
        """Listen no more."""
        listening, self._listening, self._read = self._listening, [], None
        if not listening:
            return succeed(None)
        return DeferredList([maybeDeferred(each.stop) for each in listening], consumeErrors=True)

    def addresses(self) -> tuple[Multiaddr, ...]:
        """What others may dial; loopback only where there is nothing else."""
        everywhere = self.everywhere()
        if everywhere is not self._told_for:
            self._told, self._told_for = _told(everywhere), everywhere
        return self._told

    def everywhere(self) -> tuple[Multiaddr, ...]:
        """All addresses at which this node answers, loopback too; the same object while they stay as they
        are."""
        now = self._clock.seconds()
        if self._read is None or now - self._read >= INTERFACES_SECONDS:
            self._read = now
            places = [ipaddress.ip_address(text) for text in self._interfaces()]
            each = (_expanded(listening.address, places) for listening in self._listening)
            found = tuple(dict.fromkeys(address for addresses in each for address in addresses))
            if found != self._everywhere:
                self._everywhere = found
        return self._everywhere


def _told(everywhere: Sequence[Multiaddr]) -> tuple[Multiaddr, ...]:
    specific = [a for a in everywhere if not (a.ip is not None and a.ip.is_loopback)]
    return usable_addresses(specific or everywhere)


def _expanded(address: Multiaddr, places: Sequence[IP]) -> list[Multiaddr]:
    ip = address.ip
    if ip is None or not ip.is_unspecified:
        return [address]
    # Listening on `::` takes IPv4 connections as well.
    families = (4,) if ip.version == 4 else (4, 6)
    return [
        Multiaddr(((f"ip{place.version}", str(place)), *address.parts[1:]))
        for place in places
        if place.version in families
    ]
