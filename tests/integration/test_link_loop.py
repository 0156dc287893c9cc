"""The wake-ups of a worker's link thread, with the orders of events that two threads can produce."""

from __future__ import annotations

import socket
from typing import Any

from swarmnode.inference.link_loop import LinkLoop


class Quiet:
    """A machine that remembers what it was told."""

    deadline = None

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def handle(self, event: Any, now: float) -> list[Any]:
        self.seen.append(event)
        return []


class Interrupted:
    """The reading end of the wake-up pair; another thread posts just before it is read."""

    def __init__(self, real: socket.socket, meanwhile: Any) -> None:
        self._real, self._meanwhile = real, meanwhile

    def recv(self, size: int) -> bytes:
        self._meanwhile()
        return self._real.recv(size)


def test_a_post_while_the_wake_up_is_read_does_not_silence_later_ones() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        machine = Quiet()
        loop = LinkLoop(ours, machine, {}, lambda error: None)
        reading = loop._wake_in
        loop.post("first")
        loop._wake_in = Interrupted(reading, lambda: loop.post("second"))  # type: ignore[assignment]
        loop._serve(loop._wake_in, 0)
        assert list(loop._posted) == ["first", "second"]
        loop._posted.clear()
        loop.post("third")
        assert reading.recv(16), "nobody wakes the link thread for the third event"
        reading.close()
        loop._wake_out.close()
        loop._selector.close()
