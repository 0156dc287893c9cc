"""Finding peers on the local network: the mDNS machine on its sockets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
from zope.interface import implementer

from swarmnode.driving.driver import DelayedCall, Driver
from swarmnode.interfaces.discovery import ISearch
from swarmnode.interfaces.host import Host
from swarmnode.network.mdns_socket import MulticastSocket, interfaces_with, versions_at
from swarmnode.protocols.mdns.machine import Chance, MdnsMachine
from swarmnode.protocols.mdns.vocabulary import Found, Leave, Multicast, OwnAddresses, Packet
from swarmnode.protocols.swarm.ids import mdns_service
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings

HOW = "mdns"
#: How often to look for other interfaces and addresses: the system does not say so by itself.
LOOK_SECONDS = 10.0


@implementer(ISearch)
class FindByMdns:
    """The factory of the discovery method `mdns`. socket: a `MulticastSocket` unless given."""

    def __init__(
        self,
        host: Host,
        found: Callable[[str, Sequence[Multiaddr], str], None],
        settings: NetworkSettings,
        reactor: Any,
        *,
        rng: Chance | None = None,
        socket: Any = None,
        log: Any = None,
    ) -> None:
        self._host, self._found, self._clock = host, found, reactor
        self._log = log if log is not None else structlog.get_logger("mdns")
        if socket is None:
            listen = settings.listen_address
            socket = MulticastSocket(
                reactor, self._log, partial(interfaces_with, listen), versions=versions_at(listen)
            )
        self._socket = socket
        # The name on the link must not be guessed from others: it stands for nobody.
        machine = MdnsMachine(mdns_service(settings.network_id), host.peer_id, rng or random.SystemRandom())
        self._driver = Driver(
            "mdns",
            machine,
            reactor,
            {
                Multicast: self._send,
                Found: lambda effect: found(effect.peer, effect.addresses, HOW),
            },
            self._failed,
        )
        self._look: DelayedCall | None = None
        self._received = self._sent = 0

    def packets(self) -> dict[str, int]:
        """How many packets came from the link, and were sent to it."""
        return {"in": self._received, "out": self._sent}

    def start(self) -> None:
        """Look around, and go on looking. Where mDNS cannot be had the log says so."""
        if self._socket.start(self._take):
            self._look_again()

    def stop(self) -> Any:
        """Take leave of the others; a Deferred."""
        if self._look is not None and self._look.active():
            self._look.cancel()
        self._driver.post(Leave())
        self._driver.stop()
        return self._socket.stop()

    def _take(self, packet: bytes) -> None:
        self._received += 1
        self._driver.post(Packet(packet))

    def _send(self, effect: Multicast) -> None:
        self._sent += 1
        self._socket.send(effect.data)

    def _look_again(self) -> None:
        self._socket.refresh()
        self._driver.post(OwnAddresses(tuple(self._host.addresses())))
        self._look = self._clock.callLater(LOOK_SECONDS, self._look_again)

    def _failed(self, error: SwarmnodeError) -> None:
        self._log.error("mDNS has ended", reason=error.message)
