"""Inbound connections on their way to the pool: through the gate, where there is one, so many at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from swarmnode.interfaces.host import Connection, Gate
from swarmnode.network.doorstep import Doorstep
from swarmnode.network.link import Link
from swarmnode.policy.dialling import shared_subnet
from swarmnode.protocols.pool.vocabulary import Arrived
from swarmnode.values.errors import SwarmnodeError, Unavailable

#: Stands for all addresses that are no IP addresses, as of relays.
UNKNOWN_IP = "0.0.0.0"  # noqa: S104 - a name, nothing listens


class Arrivals:
    """Tells the pool (`post`) of peers that connected and were let in. seconds: monotonic time. At the gate
    of a private network there is as much room as for handshakes, and who takes long gives way in the same
    manner."""

    def __init__(
        self,
        post: Callable[[Any], None],
        new_link: Callable[[Connection], Link],
        gate: Gate | None,
        log: Any,
        seconds: Callable[[], float],
    ) -> None:
        self._post, self._new_link, self._gate, self._log = post, new_link, gate, log
        self._at_gate: dict[int, int] = {}
        self._step = Doorstep(seconds)
        self._closed = False

    def arrived(self, connection: Connection) -> None:
        """A carrier has one."""
        link = self._new_link(connection)
        ip = str(link.info.remote.ip or UNKNOWN_IP)
        if self._closed or not self._step.has_room(ip):
            link.close(_busy())
            return
        self._at_gate[link.number] = self._step.enter(ip, lambda: link.close(_busy()))
        link.enter(self._gate, partial(self._settled, link))

    def link_closed(self, link: Link) -> None:
        """It is gone, perhaps while it was at the gate."""
        self._leave(link)

    def stop(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def _settled(self, link: Link, error: SwarmnodeError | None) -> None:
        if not self._leave(link):
            return
        if error is None:
            self._post(Arrived(link.number, link.peer, shared_subnet(link.info.remote)))
        else:
            self._log.info("peer not let in", peer=link.peer, reason=error.message)
            link.close(error)

    def _leave(self, link: Link) -> bool:
        number = self._at_gate.pop(link.number, None)
        if number is not None:
            self._step.leave(number)
        return number is not None


def _busy() -> Unavailable:
    return Unavailable("No more connections are taken just now", code="host_busy")
