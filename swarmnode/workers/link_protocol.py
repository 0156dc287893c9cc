"""The node's end of the link on a Twisted transport."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from swarmnode.protocols.worker.frames import Outbox
from swarmnode.protocols.worker.messages import Message

_MAX_TOKEN_LINE = 128


@implementer(IPushProducer)
class LinkProtocol(Protocol):
    """Writes frames only as fast as the worker reads, so that urgent lanes can overtake the others.

    token: what the other side must send first, as a line; empty for a socket pair, which needs none.
    """

    transport: Any = None

    def __init__(
        self,
        opened: Callable[[LinkProtocol], None],
        received: Callable[[bytes], None],
        lost: Callable[[], None],
        token: bytes = b"",
    ) -> None:
        self._opened, self._received, self._lost = opened, received, lost
        self._token = token
        self._greeting = b""
        self._trusted = not token
        self._outbox = Outbox()
        self._paused = False

    def connectionMade(self) -> None:
        if self._trusted:
            self._begin()

    def _begin(self) -> None:
        self._trusted = True
        self.transport.registerProducer(self, True)
        self._opened(self)

    def dataReceived(self, data: bytes) -> None:
        if self._trusted:
            self._received(data)
        else:
            self._check_token(data)

    def _check_token(self, data: bytes) -> None:
        self._greeting += data
        line, newline, rest = self._greeting.partition(b"\n")
        if newline and hmac.compare_digest(line, self._token):
            self._begin()
            if rest:
                self._received(rest)
        elif newline or len(self._greeting) > _MAX_TOKEN_LINE:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._trusted:
            self._lost()

    def send(self, message: Message) -> None:
        """Queue a message. Raises `LinkFault` when too much waits."""
        self._outbox.push(message)
        self._write()

    def close(self) -> None:
        """Hang up once what was written has left."""
        if self.transport is not None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def _write(self) -> None:
        while not self._paused and (frame := self._outbox.pop()) is not None:
            self.transport.write(frame)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        self._paused = True
