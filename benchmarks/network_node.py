"""One end of the network's measurements: connections over TCP with what the measurements ask for.

As a program (`python -m benchmarks.network_node`) it listens on loopback, prints one JSON line
`{"port": ..., "peer": ...}` and serves until its input ends. Any program that does the same can be measured
in its place (`--peer-command`):

    /ipfs/ping/1.0.0         says again what it is sent
    /bench/sink/1.0.0        counts what it is sent; at the end answers with the count, 8 bytes big-endian
    /bench/source/1.0.0      reads a count of 8 bytes, sends so many bytes and ends
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from nacl.signing import SigningKey
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.stdio import StandardIO

from swarmnode.interfaces.host import HIGH_WATER
from swarmnode.network.connection import PipedConnection, connect_protocol
from swarmnode.network.stream import PipedStream
from swarmnode.protocols.identity.handover import Signer
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

reactor: Any = _reactor

PING, SINK, SOURCE = "/ipfs/ping/1.0.0", "/bench/sink/1.0.0", "/bench/source/1.0.0"
WRITE_BYTES = 1 << 20
_CHUNK = bytes(WRITE_BYTES)
LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/1")


class Receiver:
    """Takes a stream; the parts that a measurement needs are overridden."""

    stream: PipedStream

    def received(self, data: bytes) -> None:
        """Bytes."""

    def ended(self) -> None:
        """The peer sends no more."""

    def lost(self, error: SwarmnodeError | None) -> None:
        """It is over."""

    def drained(self) -> None:
        """Write more."""


class Echo(Receiver):
    """The ping protocol."""

    def received(self, data: bytes) -> None:
        self.stream.write(data)

    def ended(self) -> None:
        self.stream.end()


class Sink(Receiver):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def received(self, data: bytes) -> None:
        self.count += len(data)

    def ended(self) -> None:
        self.stream.write(self.count.to_bytes(8, "big"))
        self.stream.end()


class Sender(Receiver):
    """Writes so many bytes, as fast as the stream takes them, and ends."""

    def __init__(self, left: int = 0) -> None:
        self.left = left

    def drained(self) -> None:
        while self.left and self.stream.waiting < HIGH_WATER:
            size = min(self.left, WRITE_BYTES)
            self.stream.write(_CHUNK if size == WRITE_BYTES else bytes(size))
            self.left -= size
            if not self.left:
                self.stream.end()


class Source(Sender):
    """Sends what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._ask = b""

    def received(self, data: bytes) -> None:
        self._ask += data
        if len(self._ask) == 8:
            self.left = int.from_bytes(self._ask, "big")
            self.drained()


SERVED: dict[str, Callable[[], Receiver]] = {PING: Echo, SINK: Sink, SOURCE: Source}


class Owner:
    """Of a connection that is measured. ended: called with the error when it is gone."""

    def __init__(self, ended: Callable[[SwarmnodeError | None], None] = lambda error: None) -> None:
        self._ended = ended

    def serves(self) -> tuple[str, ...]:
        return tuple(SERVED)

    def stream_opened(self, connection: Any, stream: Any) -> Receiver:
        receiver = SERVED[stream.protocol]()
        receiver.stream = stream
        return receiver

    def alive(self, connection: Any, rtt: float) -> None:
        """Not measured here: it comes too seldom."""

    def quiet(self, connection: Any, seconds: float) -> None:
        print(f"the peer has been silent for {seconds:.1f} s", file=sys.stderr)

    def closed(self, connection: Any, error: SwarmnodeError | None) -> None:
        self._ended(error)


class Upgrading(Factory):
    """Makes connections of pipes; each is attended to by a new `Owner`, and then `ready` is called."""

    noisy = False

    def __init__(self, dials: bool, signer: Signer, ready: Callable[[PipedConnection], None]) -> None:
        self._dials, self._signer, self._ready = dials, signer, ready

    def buildProtocol(self, address: Any) -> Protocol:
        protocol, secured = connect_protocol(
            self._dials, self._signer, reactor, os.urandom, None, LOOPBACK, LOOPBACK, "tcp"
        )
        secured.addCallback(self._secured)
        secured.addErrback(lambda failure: print(failure.getErrorMessage(), file=sys.stderr))
        return protocol

    def _secured(self, connection: PipedConnection) -> None:
        connection.transport.setTcpNoDelay(True)
        connection.attend(Owner())
        self._ready(connection)


def new_signer() -> Signer:
    """An identity of its own."""
    key = SigningKey.generate()
    return Signer(bytes(key.verify_key), lambda message: bytes(key.sign(message).signature))


class _UntilInputEnds(Protocol):
    def connectionLost(self, reason: Any = None) -> None:
        if reactor.running:
            reactor.stop()


def main() -> None:
    """Listen until standard input ends."""
    signer = new_signer()
    port = reactor.listenTCP(
        0, Upgrading(False, signer, lambda connection: None), backlog=1024, interface="127.0.0.1"
    )
    print(json.dumps({"port": port.getHost().port, "peer": peer_id(signer.public_key)}), flush=True)
    StandardIO(_UntilInputEnds())
    reactor.run()


if __name__ == "__main__":
    main()
