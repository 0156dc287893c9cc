"""Ping (libp2p specs, ping): 32 random bytes that come back.

Pings follow one another on one stream, each sent when the one before has come back, so that none waits
behind another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarmnode.protocols.ping.vocabulary import Failed, Gone, Measured, Opened, Received, Write
from swarmnode.values.errors import PeerFault, Unavailable

PROTOCOL = "/ipfs/ping/1.0.0"
PING_BYTES = 32
MAX_PINGS = 100
#: One ping, and also the opening of the stream, may take so long.
PING_SECONDS = 10.0


class PingMachine:
    """Measures `count` round trips (1 to `MAX_PINGS`). entropy(n): n random bytes. start: monotonic
    seconds."""

    def __init__(self, count: int, entropy: Callable[[int], bytes], start: float) -> None:
        self._left = max(1, min(count, MAX_PINGS))
        self._entropy = entropy
        self._expected = b""
        self._got = b""
        self._sent = start
        self._rtts: list[float] = []
        self._over = False
        self.deadline: float | None = start + PING_SECONDS

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """As `interfaces.machine.Machine` says. Exactly one `Measured` or `Failed` comes, and last."""
        if self._over:
            return []
        match event:
            case None:
                return self._timeout(now)
            case Opened():
                return [] if self._expected else self._send(now)
            case Received(data):
                return self._take(data, now)
            case Gone(error):
                why = error or Unavailable("The peer ended the ping", code="ping_ended")
                return self._fail(why)
        return []

    def _timeout(self, now: float) -> list[Any]:
        if self.deadline is None or now < self.deadline:
            return []
        return self._fail(
            Unavailable(
                f"No answer to a ping within {PING_SECONDS:g} s",
                code="ping_timeout",
                hint="The peer or the way to it is overloaded or gone.",
            )
        )

    def _send(self, now: float) -> list[Any]:
        self._expected, self._got = self._entropy(PING_BYTES), b""
        self._sent, self.deadline = now, now + PING_SECONDS
        return [Write(self._expected)]

    def _take(self, data: bytes, now: float) -> list[Any]:
        if len(self._got) + len(data) > len(self._expected):
            return self._fail(PeerFault("The peer sent more than it was pinged with", code="bad_ping"))
        self._got += data
        if len(self._got) < PING_BYTES:
            return []
        if self._got != self._expected:
            return self._fail(
                PeerFault("The peer answered a ping with other bytes than were sent", code="bad_ping")
            )
        self._rtts.append(now - self._sent)
        self._left -= 1
        if self._left:
            return self._send(now)
        self._over, self.deadline = True, None
        return [Measured(tuple(self._rtts))]

    def _fail(self, error: Any) -> list[Any]:
        self._over, self.deadline = True, None
        return [Failed(error)]


class Echo:
    """The other side: gives back each 32 bytes when they are whole. Keeps fewer than 32."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes to send back."""
        data = self._rest + data
        whole = len(data) - len(data) % PING_BYTES
        self._rest = data[whole:]
        return data[:whole]
