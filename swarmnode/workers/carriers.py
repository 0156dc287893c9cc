"""How the link's two ends come together: a socket pair, or a loopback connection with a token."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from swarmnode.workers.link_protocol import LinkProtocol
from swarmnode.workers.spawning import LINK_FD

_ACCEPT_BACKLOG = 4


class _Single(Factory):
    """Makes one link protocol after another until one of them has proved itself."""

    noisy = False

    def __init__(self, make: Callable[[], LinkProtocol]) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._make()


class SocketPair:
    """An AF_UNIX socket pair; the worker inherits one of them as descriptor 3."""

    link = f"fd:{LINK_FD}"
    stdin = b""

    def __init__(self, reactor: Any, make: Callable[[bytes], LinkProtocol]) -> None:
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _Single(lambda: make(b"")))
        ours.close()

    def descriptors(self) -> dict[int, int]:
        """What the child is to inherit besides its standard streams."""
        return {LINK_FD: self._theirs.fileno()}

    def spawned(self) -> None:
        """The child has its end: close ours of it."""
        self._theirs.close()

    def close(self) -> None:
        """Nothing is left open."""


class Loopback:
    """A listening port on 127.0.0.1 that takes the one connection which knows the token."""

    def __init__(self, reactor: Any, make: Callable[[bytes], LinkProtocol]) -> None:
        token = secrets.token_hex(32).encode("ascii")
        factory = _Single(lambda: make(token))
        self._port = reactor.listenTCP(0, factory, backlog=_ACCEPT_BACKLOG, interface="127.0.0.1")
        self.link = f"tcp:{self._port.getHost().port}"
        self.stdin = token + b"\n"

    def descriptors(self) -> dict[int, int]:
        """The child inherits nothing."""
        return {}

    def spawned(self) -> None:
        """The child will call."""

    def close(self) -> None:
        """Take no more calls."""
        self._port.stopListening()


def carrier_for(way: str) -> type[SocketPair] | type[Loopback]:
    """`pair`, `tcp`, or `auto` for the first of them that the system has."""
    if way == "auto":
        way = "pair" if hasattr(socket, "AF_UNIX") and hasattr(socket, "socketpair") else "tcp"
    return SocketPair if way == "pair" else Loopback
