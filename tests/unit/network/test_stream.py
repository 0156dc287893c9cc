"""A stream that is given up."""

from __future__ import annotations

from typing import Any

from swarmnode.network.stream import PipedStream
from swarmnode.protocols.connection.vocabulary import Consumed, ResetStream


class Connection:
    """Takes what a stream has to say."""

    def __init__(self) -> None:
        self.posted: list[Any] = []

    def post(self, event: Any) -> None:
        self.posted.append(event)

    def touch(self, stream: PipedStream) -> None:
        """Nothing to flush here."""


class Receiver:
    """Gives its stream up for every piece that comes."""

    def __init__(self, stream: PipedStream) -> None:
        self._stream = stream
        self.pieces = 0
        self.losses: list[Any] = []

    def received(self, data: bytes) -> None:
        self.pieces += 1
        for _ in range(3):
            self._stream.reset()

    def ended(self) -> None: ...

    def drained(self) -> None: ...

    def lost(self, error: Any) -> None:
        self.losses.append(error)


def test_a_stream_is_given_up_once_and_takes_no_more() -> None:
    connection: Any = Connection()
    stream = PipedStream(connection, 3, "/test/1")
    receiver = stream.receiver = Receiver(stream)
    for _ in range(1000):
        stream.received(b"x")
    assert connection.posted == [ResetStream(3)]
    assert receiver.pieces == 1
    stream.write(b"too late")
    stream.hand_over()
    assert connection.posted == [ResetStream(3), Consumed(3, 1)], "nothing is sent"
    stream.lose(None)
    assert receiver.losses == [None]
