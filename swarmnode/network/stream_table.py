"""The streams of a `PipedConnection`, and what their receivers are told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from swarmnode.interfaces.host import ConnectionOwner, StreamReceiver
from swarmnode.network.stream import PipedStream
from swarmnode.protocols.connection.vocabulary import (
    DataIn,
    Drained,
    ResetStream,
    StreamEnded,
    StreamLost,
    StreamOpened,
)
from swarmnode.values.errors import SwarmnodeError

if TYPE_CHECKING:
    from swarmnode.network.connection import PipedConnection

_log = logging.getLogger(__name__)


class StreamTable:
    """By handle. Whoever receives a stream may fail: that is logged, its stream reset, and the rest goes on.
    owner: who takes the peer's streams, from when it attends."""

    __slots__ = ("_connection", "_next", "_streams", "owner")

    def __init__(self, connection: PipedConnection) -> None:
        self._connection = connection
        self._streams: dict[int, PipedStream] = {}
        self._next = 2
        self.owner: ConnectionOwner | None = None

    def effects(self) -> dict[type, Callable[[Any], None]]:
        """The effects of the machine that concern streams, and what executes them."""
        return {
            DataIn: self._data_in,
            Drained: self._drained,
            StreamOpened: self._opened,
            StreamEnded: self._ended,
            StreamLost: self._lost,
        }

    def create(
        self, protocols: Sequence[str], receiver: StreamReceiver, opened: Callable[[], None]
    ) -> PipedStream:
        """A stream that this end opens."""
        first = protocols[0] if protocols else ""
        stream = PipedStream(self._connection, self._next, first, receiver, opened)
        self._next += 2
        self._streams[stream.handle] = stream
        return stream

    def lose_all(self, error: SwarmnodeError) -> None:
        """The machine tells nothing any more."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._guard(stream, stream.lose, error)

    def _data_in(self, effect: DataIn) -> None:
        stream = self._streams.get(effect.stream)
        if stream is not None:
            self._guard(stream, stream.received, effect.data)

    def _drained(self, effect: Drained) -> None:
        stream = self._streams.get(effect.stream)
        if stream is not None:
            self._guard(stream, stream.receiver.drained)

    def _opened(self, effect: StreamOpened) -> None:
        if effect.inbound:
            self._arrived(effect)
            return
        stream = self._streams.get(effect.stream)
        if stream is not None:
            stream.protocol = effect.protocol
            self._guard(stream, stream.opened)

    def _arrived(self, effect: StreamOpened) -> None:
        assert self.owner is not None  # the machine tells of streams when somebody attends
        stream = PipedStream(self._connection, effect.stream, effect.protocol)
        try:
            stream.receiver = self.owner.stream_opened(self._connection, stream)
        except Exception as error:
            if not isinstance(error, SwarmnodeError):
                _log.exception("taking a %s stream failed", stream.protocol)
            stream.is_over = True
            self._connection.post(ResetStream(effect.stream))
            return
        self._streams[effect.stream] = stream

    def _ended(self, effect: StreamEnded) -> None:
        stream = self._streams.get(effect.stream)
        if stream is not None:
            self._guard(stream, stream.receiver.ended)

    def _lost(self, effect: StreamLost) -> None:
        stream = self._streams.pop(effect.stream, None)
        if stream is not None:
            self._guard(stream, stream.lose, effect.error)

    def _guard(self, stream: PipedStream, call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception:
            _log.exception("the receiver of a %s stream failed", stream.protocol)
            stream.reset()
