"""One end of a stream on a `PipedConnection` (`interfaces.host.Stream`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from swarmnode.interfaces.host import StreamReceiver
from swarmnode.protocols.connection.vocabulary import Consumed, EndWrite, ResetStream, Send
from swarmnode.values.errors import Refused, SwarmnodeError
from swarmnode.values.network import LinkInfo

if TYPE_CHECKING:
    from swarmnode.network.connection import PipedConnection

#: Writes smaller than this are joined before they go on; a large one goes as it is, not copied.
JOINED = 16 << 10


def _nothing() -> None:
    """Nobody waits for an inbound stream to be opened."""


class PipedStream:
    """What is written and consumed in a turn gathers here, and is handed over at its end."""

    __slots__ = (
        "_connection",
        "_credit",
        "_is_dirty",
        "_is_ended",
        "_is_paused",
        "_is_reset",
        "_unsaid_end",
        "_unsent",
        "_unsent_size",
        "handle",
        "is_over",
        "opened",
        "protocol",
        "receiver",
    )

    def __init__(
        self,
        connection: PipedConnection,
        handle: int,
        protocol: str,
        receiver: StreamReceiver | None = None,
        opened: Callable[[], None] = _nothing,
    ) -> None:
        self._connection, self.handle, self.protocol = connection, handle, protocol
        self.receiver: StreamReceiver = receiver or _Nobody()
        self.opened = opened
        self._unsent: list[bytes] = []
        self._unsent_size = self._credit = 0
        self._is_dirty = self._is_ended = self._unsaid_end = self._is_paused = self._is_reset = False
        self.is_over = False

    @property
    def peer(self) -> str:
        """The peer id at the other end."""
        return self._connection.info.peer

    @property
    def link(self) -> LinkInfo:
        """The connection it runs over."""
        return self._connection.info

    @property
    def waiting(self) -> int:
        """Bytes written that have not gone yet."""
        return 0 if self.is_over else self._unsent_size + self._connection.waiting(self.handle)

    def write(self, data: bytes) -> None:
        """Send."""
        if self.is_over or self._is_ended or not data:
            return
        self._unsent.append(data)
        self._unsent_size += len(data)
        self._touch()

    def end(self) -> None:
        """Send no more."""
        if not self.is_over and not self._is_ended:
            self._is_ended = self._unsaid_end = True
            self._touch()

    def reset(self) -> None:
        """Give up both directions. Said again it means nothing: who takes what comes may have a reason for
        each of a thousand messages that came together."""
        if not self.is_over and not self._is_reset:
            self._is_reset = True
            self._unsent.clear()
            self._is_ended = True
            self._connection.post(ResetStream(self.handle))
            self._touch()

    def pause(self) -> None:
        """Count nothing as consumed."""
        self._is_paused = True

    def resume(self) -> None:
        """Count what was received meanwhile, and go on."""
        self._is_paused = False
        if self._credit:
            self._touch()

    # For the connection.

    def received(self, data: bytes) -> None:
        """Bytes from the peer; those that were on their way when the stream was given up are nobody's."""
        if self._is_reset:
            return
        self._credit += len(data)
        self.receiver.received(data)
        self._touch()

    def lose(self, error: SwarmnodeError | None) -> None:
        """It is over."""
        if self.is_over:
            return
        self.is_over = True
        self._unsent.clear()
        self.receiver.lost(error)

    def hand_over(self) -> None:
        """Tell the machine what this turn brought."""
        self._is_dirty = False
        if self.is_over:
            return
        post = self._connection.post
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            self._unsent_size = 0
            for data in _joined(unsent):
                post(Send(self.handle, data))
        if self._unsaid_end:
            self._unsaid_end = False
            post(EndWrite(self.handle))
        if self._credit and not self._is_paused:
            size, self._credit = self._credit, 0
            post(Consumed(self.handle, size))

    def _touch(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self._connection.touch(self)


def _joined(chunks: list[bytes]) -> list[bytes]:
    """The same bytes, small ones together."""
    if len(chunks) == 1:
        return chunks
    out: list[bytes] = []
    small: list[bytes] = []
    for chunk in chunks:
        if len(chunk) < JOINED:
            small.append(chunk)
            continue
        if small:
            out.append(b"".join(small))
            small = []
        out.append(chunk)
    if small:
        out.append(b"".join(small))
    return out


class _Nobody:
    """Takes what comes before anybody does."""

    def received(self, data: bytes) -> None:
        raise Refused("Nobody takes this stream", code="not_attended")

    def ended(self) -> None: ...

    def lost(self, error: SwarmnodeError | None) -> None: ...

    def drained(self) -> None: ...
