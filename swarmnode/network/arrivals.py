"""Inbound connections on their way to the pool: through the gate, where there is one, so many at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from swarmnode.interfaces.host import Connection, Gate
from swarmnode.network.link import Link
from swarmnode.policy.dialling import shared_subnet
from swarmnode.protocols.pool.vocabulary import Arrived
from swarmnode.values.errors import SwarmnodeError, Unavailable

#: Inbound connections at the gate of a private network at once.
MAX_AT_GATE = 64


class Arrivals:
    """Tells the pool (`post`) of peers that connected and were let in."""

    def __init__(
        self,
        post: Callable[[Any], None],
        new_link: Callable[[Connection], Link],
        gate: Gate | None,
        log: Any,
    ) -> None:
        self._post, self._new_link, self._gate, self._log = post, new_link, gate, log
        self._at_gate: dict[int, Link] = {}
        self._closed = False

    def arrived(self, connection: Connection) -> None:
        """A carrier has one."""
        link = self._new_link(connection)
        if self._closed or len(self._at_gate) >= MAX_AT_GATE:
            link.close(Unavailable("No more connections are taken just now", code="host_busy"))
            return
        self._at_gate[link.number] = link
        link.enter(self._gate, partial(self._settled, link))

    def link_closed(self, link: Link) -> None:
        """It is gone, perhaps while it was at the gate."""
        self._at_gate.pop(link.number, None)

    def stop(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def _settled(self, link: Link, error: SwarmnodeError | None) -> None:
        if self._at_gate.pop(link.number, None) is None:
            return
        if error is None:
            self._post(Arrived(link.number, link.peer, shared_subnet(link.info.remote)))
        else:
            self._log.info("peer not let in", peer=link.peer, reason=error.message)
            link.close(error)
