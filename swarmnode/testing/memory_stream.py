"""A stream of a connection in memory, with a window as yamux has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from swarmnode.interfaces.host import HIGH_WATER, StreamReceiver
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.network import LinkInfo

#: Bytes that may be on the way or unconsumed; yamux starts with as much.
WINDOW = 256 * 1024
LOW_WATER = HIGH_WATER // 2
CHUNK = 64 * 1024
#: What a frame needs beside its data.
FRAME_BYTES = 12


class Carrying(Protocol):
    """The connection, as a stream needs it."""

    info: LinkInfo

    def send(self, kind: str, number: int, value: Any, size: int) -> None: ...

    def forget(self, number: int) -> None: ...

    def soon(self, function: Callable[..., None], *arguments: Any) -> None: ...


class MemoryStream:
    """One end (`interfaces.host.Stream`). receiver is set once there is one."""

    __slots__ = (
        "_buffer",
        "_connection",
        "_consumed",
        "_credit",
        "_full",
        "_in_ended",
        "_number",
        "_out_ended",
        "_over",
        "_paused",
        "_wants_end",
        "opened",
        "protocol",
        "receiver",
    )

    def __init__(
        self,
        connection: Carrying,
        number: int,
        protocol: str,
        receiver: StreamReceiver | None = None,
        opened: Callable[[], None] | None = None,
    ) -> None:
        self._connection, self._number = connection, number
        self.protocol, self.receiver, self.opened = protocol, receiver, opened
        self._buffer = bytearray()
        self._credit, self._consumed = WINDOW, 0
        self._full = self._paused = self._over = False
        self._wants_end = self._out_ended = self._in_ended = False

    @property
    def peer(self) -> str:
        return self._connection.info.peer

    @property
    def link(self) -> LinkInfo:
        return self._connection.info

    @property
    def waiting(self) -> int:
        return len(self._buffer)

    def write(self, data: bytes) -> None:
        if self._over or self._wants_end:
            return
        self._buffer += data
        self._pump()
        self._full = self._full or len(self._buffer) > HIGH_WATER

    def end(self) -> None:
        if not self._over:
            self._wants_end = True
            self._pump()

    def reset(self) -> None:
        if not self._over:
            self._connection.send("reset", self._number, None, FRAME_BYTES)
            self._finish(Unavailable("This side gave up the stream", code="stream_reset"))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._give_back()

    # What the connection tells.

    def data_in(self, data: bytes) -> None:
        """Bytes of the peer."""
        if self._over or self._in_ended or self.receiver is None:
            return
        self._consumed += len(data)
        self.receiver.received(data)
        self._give_back()

    def ended_in(self) -> None:
        """The peer will send no more."""
        if self._over or self._in_ended or self.receiver is None:
            return
        self._in_ended = True
        self.receiver.ended()
        self._check_over()

    def credit_in(self, size: int) -> None:
        """The peer has consumed so much."""
        self._credit += size
        self._pump()
        if self._full and len(self._buffer) <= LOW_WATER and self.receiver is not None and not self._over:
            self._full = False
            self.receiver.drained()

    def lost_in(self, error: SwarmnodeError | None) -> None:
        """The peer, or the end of the connection, ended it."""
        if not self._over:
            self._finish(error)

    def _pump(self) -> None:
        while self._buffer and self._credit and not self._over:
            chunk = bytes(self._buffer[: min(CHUNK, self._credit)])
            del self._buffer[: len(chunk)]
            self._credit -= len(chunk)
            self._connection.send("data", self._number, chunk, len(chunk) + FRAME_BYTES)
        if self._wants_end and not self._buffer and not self._out_ended and not self._over:
            self._out_ended = True
            self._connection.send("end", self._number, None, FRAME_BYTES)
            self._check_over()

    def _give_back(self) -> None:
        # By quarters, as small messages would otherwise each cost one of their own.
        if not self._paused and not self._over and self._consumed >= WINDOW // 4:
            size, self._consumed = self._consumed, 0
            self._connection.send("consumed", self._number, size, FRAME_BYTES)

    def _check_over(self) -> None:
        if self._in_ended and self._out_ended and not self._over:
            self._finish(None)

    def _finish(self, error: SwarmnodeError | None) -> None:
        self._over = True
        self._buffer.clear()
        self._connection.forget(self._number)
        if self.receiver is not None:
            # Never inside a call of its owner's.
            self._connection.soon(self.receiver.lost, error)
