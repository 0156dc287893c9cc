"""The HTTP port: reserved before anything else starts, so that a taken port is one clear line.

The socket is bound while the service is being built (so also before `twistd` turns into a daemon), and
handed to the reactor when the API starts.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorSocket
from twisted.python.failure import Failure

from swarmnode.values.errors import LocalFault, Refused

BACKLOG = 512
KEEPALIVE_IDLE_SECONDS, KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_PROBES = 60, 10, 3


class ReservedPort:
    """A bound, listening socket that nobody accepts from yet."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = _bind(address, port)
        self.address, self.port = self._socket.getsockname()[:2]
        self._listening: Any = None
        self._closing = False
        #: Fires when the port is closed; fails with a `LocalFault` when it ends by itself.
        self.ended: Deferred[None] = Deferred()

    def serve(self, reactor: Any, factory: Any) -> None:
        """Begin to accept connections for a Twisted factory."""
        if IReactorSocket.providedBy(reactor):
            family = self._socket.family
            self._listening = reactor.adoptStreamPort(self._socket.fileno(), family, factory)
            self._socket.close()
        else:  # Windows: its reactors cannot adopt a socket
            self._socket.close()
            self._listening = reactor.listenTCP(self.port, factory, BACKLOG, self.address)
        # Twisted tells nobody but the port itself when its socket is gone.
        self._forget = self._listening.connectionLost
        self._listening.connectionLost = self._lost

    def _lost(self, reason: Failure) -> None:
        self._forget(reason)
        if self._closing:
            self.ended.callback(None)
            return
        self.ended.errback(
            LocalFault(
                f"Port {self.port} on {self.address} is not listened on any more",
                code="port_lost",
                hint="Something closed its socket; start the node again.",
            )
        )

    def close(self) -> Any:
        """Stop listening; None or a Deferred."""
        self._closing = True
        self._socket.close()
        return self._listening.stopListening() if self._listening is not None else None


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _keep_alive(listening)
        listening.bind((address, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _explained(error, address, port) from error
    return listening


def _keep_alive(listening: socket.socket) -> None:
    """Accepted sockets inherit this: work stops when a client vanishes without a word."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, name):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _explained(error: OSError, address: str, port: int) -> Refused | LocalFault:
    if error.errno == errno.EADDRINUSE:
        return Refused(
            f"Port {port} on {address} is taken by another program",
            code="port_in_use",
            hint="`swarmnode status` tells whether it is a node; `--port N` chooses another port.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Refused(
            f"This user may not listen on port {port}",
            code="port_forbidden",
            hint="Choose a port above 1023 with --port N.",
        )
    kind = Refused if error.errno == errno.EADDRNOTAVAIL else LocalFault
    return kind(
        f"Cannot listen on {address} port {port}: {error.strerror or error}",
        code="cannot_listen",
        hint="Check api.listen_address: it must be an address of this machine.",
    )
