"""Who takes inbound streams, by protocol id."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from swarmnode.interfaces.host import Accept, Stream, StreamReceiver
from swarmnode.network.link import as_error
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable

#: Streams that one peer may have opened to us at once, over all its connections.
MAX_INBOUND_STREAMS = 512


class Takers:
    """The protocols that are served, in the order in which they were taken."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._takers: dict[str, Accept] = {}

    def add(self, protocol: str, accept: Accept) -> None:
        """Take inbound streams. Raises `Refused` for a protocol that is taken."""
        if protocol in self._takers:
            raise Refused(f"The protocol {protocol} is taken already", code="protocol_taken")
        self._takers[protocol] = accept

    def remove(self, protocol: str) -> None:
        """Refuse them again."""
        self._takers.pop(protocol, None)

    def protocols(self) -> Collection[str]:
        """All of them."""
        return self._takers.keys()

    def accept(self, stream: Stream, there_are: int) -> StreamReceiver:
        """Whoever takes the stream; raises a `SwarmnodeError` to refuse it. there_are: inbound streams of the
        same peer."""
        taker = self._takers.get(stream.protocol)
        if taker is None:
            raise Refused(f"The protocol {stream.protocol} is not served", code="protocol_unsupported")
        if there_are >= MAX_INBOUND_STREAMS:
            raise Unavailable(f"{MAX_INBOUND_STREAMS} streams are open already", code="too_many_streams")
        try:
            return taker(stream)
        except SwarmnodeError:
            raise
        except Exception as error:
            self._log.error("accepting a stream failed", protocol=stream.protocol, reason=repr(error))
            raise as_error(error, "Accepting a stream failed") from error

    def failed(self, stream: Stream, error: Exception) -> None:
        """A receiver raised."""
        about = {"protocol": stream.protocol, "peer": stream.peer}
        self._log.error("a stream's taker failed", **about, reason=repr(error))
