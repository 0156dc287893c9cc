"""Answers on their way to a client: streamed as server-sent events, or collected into one.

Both are sinks for the events of one generation. The client's connection steers the generation: a slow
reader pauses it, a client that is gone cancels it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from swarmnode.api.errors import envelope
from swarmnode.api.replies import dump, server_timing
from swarmnode.driving.steering import Steering
from swarmnode.interfaces.generation import IEventSink
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.generation import Failed, Finished, GenerationEvent, Started

#: What may be written after the connection asked for a pause (events that were on their way).
MAX_UNSENT_BYTES = 4 << 20
#: A comment is sent when nothing else was for this long, so that proxies keep the connection.
KEEPALIVE_SECONDS = 15.0

DONE = b"data: [DONE]\n\n"
_COMMENT = b": still working\n\n"


class Chunks(Protocol):
    """Turns events into the JSON objects of one dialect."""

    def chunks(self, event: GenerationEvent) -> list[dict[str, Any]]: ...


class Collector(Protocol):
    """Collects events into one JSON object of one dialect."""

    def take(self, event: GenerationEvent) -> None: ...

    def answer(self) -> dict[str, Any]: ...


@implementer(IEventSink)
class CollectedAnswer:
    """Answers when all events are there.

    done: fires with the JSON object, or fails with the `SwarmnodeError`; cancelling it (the router does
    when the client is gone) cancels the generation.
    """

    def __init__(self, request: Any, collector: Collector) -> None:
        self._request = request
        self._collector = collector
        self._steering = Steering()
        self._over = False
        self.done: Deferred[dict[str, Any]] = Deferred(self._client_gone)

    def attach(self, generation: Any) -> None:
        """The generation that sends the events."""
        self._steering.attach(generation)

    def event(self, event: GenerationEvent) -> None:
        if self._over:
            return
        if isinstance(event, Failed):
            self._over = True
            self.done.errback(event.error)
            return
        self._collector.take(event)
        if isinstance(event, Started):
            announce(self._request, event)
        elif isinstance(event, Finished):
            self._over = True
            _set_timings(self._request, event)
            self.done.callback(self._collector.answer())

    def _client_gone(self, _: Deferred[Any]) -> None:
        self._over = True
        self._steering.cancel()


@implementer(IEventSink, IPushProducer)
class StreamedAnswer:
    """Answers event by event.

    done: fires with None when everything is written, or fails with the error when nothing was written
    yet, so that it becomes a proper HTTP status. stall: seconds after which a client that reads nothing
    is given up.
    """

    def __init__(self, request: Any, chunks: Chunks, clock: Any, stall: float) -> None:
        self._request = request
        self._chunks = chunks
        self._clock = clock
        self._stall_seconds = stall
        self._steering = Steering()
        self._begun = False
        self._over = False
        self._paused = False
        self._unsent = 0
        self._last_write = 0.0
        self._ping: Any = None
        self._stall: Any = None
        self.done: Deferred[None] = Deferred(self._client_gone)

    def attach(self, generation: Any) -> None:
        """The generation that sends the events."""
        self._steering.attach(generation)

    def event(self, event: GenerationEvent) -> None:
        if self._over:
            return
        if isinstance(event, Failed):
            self._fail(event.error)
            return
        if not self._begun:
            self._begin(event)
        for chunk in self._chunks.chunks(event):
            self._write(b"data: " + dump(chunk) + b"\n\n")
        if isinstance(event, Finished) and not self._over:
            self._write(DONE)
            self._end(lambda: self.done.callback(None))

    # What the connection tells (IPushProducer).

    def pauseProducing(self) -> None:
        if self._paused or self._over:
            return  # A transport asks again with every write above its mark.
        self._paused = True
        self._unsent = 0
        self._steering.pause()
        self._stall = self._clock.callLater(self._stall_seconds, self._stalled)

    def resumeProducing(self) -> None:
        self._paused = False
        _stop(self._stall)
        self._stall = None
        self._steering.resume()

    def stopProducing(self) -> None:
        self._abandon()

    # Inside.

    def _begin(self, event: GenerationEvent) -> None:
        self._begun = True
        request = self._request
        request.setHeader(b"Content-Type", b"text/event-stream; charset=utf-8")
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Accel-Buffering", b"no")
        if isinstance(event, Started):
            announce(request, event)
        request.registerProducer(self, True)
        if request.channel.blocked:  # by an answer before this one; then no pause will be asked for again
            self.pauseProducing()
        self._ping = self._clock.callLater(KEEPALIVE_SECONDS, self._keep_alive)

    def _write(self, data: bytes) -> None:
        if self._over:
            return
        self._last_write = self._clock.seconds()
        self._request.write(data)
        if self._paused:
            self._unsent += len(data)
            if self._unsent > MAX_UNSENT_BYTES:
                self._give_up("more was sent than a slow reader may leave unread")

    def _keep_alive(self) -> None:
        quiet = self._clock.seconds() - self._last_write
        if quiet >= KEEPALIVE_SECONDS and not self._paused:
            self._write(_COMMENT)
            quiet = 0.0
        self._ping = self._clock.callLater(max(1.0, KEEPALIVE_SECONDS - quiet), self._keep_alive)

    def _fail(self, error: SwarmnodeError) -> None:
        if self._begun:
            # The status line is gone: the OpenAI SDKs raise on an `error` object among the data.
            self._write(b"data: " + dump(envelope(error)) + b"\n\n")
            self._end(lambda: self.done.callback(None))
        else:
            self._end(lambda: self.done.errback(error))

    def _end(self, fire: Callable[[], None]) -> None:
        if self._over:
            return
        self._over = True
        self._stop_timers()
        if self._begun:
            self._request.unregisterProducer()
        fire()

    def _stalled(self) -> None:
        self._stall = None
        self._give_up("the client has read nothing for too long")

    def _give_up(self, reason: str) -> None:
        structlog.get_logger("api").warning(
            "stream given up", request=self._request.request_id, reason=reason
        )
        self._abandon()
        self._request.transport.abortConnection()

    def _client_gone(self, _: Deferred[Any]) -> None:
        self._abandon()

    def _abandon(self) -> None:
        if not self._over:
            self._over = True
            self._stop_timers()
            self._steering.cancel()

    def _stop_timers(self) -> None:
        _stop(self._ping)
        _stop(self._stall)


def announce(request: Any, event: Started) -> None:
    """What is known before the body: where it ran, and the seed that repeats it."""
    request.setHeader(b"x-swarm-route", b"local")
    request.setHeader(b"x-swarm-seed", b"%d" % event.seed)


def _set_timings(request: Any, event: Finished) -> None:
    timings = event.timings
    parts = (("queue", timings.queue_ms), ("prefill", timings.prefill_ms), ("decode", timings.decode_ms))
    value = server_timing(parts)
    if value:
        request.setHeader(b"Server-Timing", value)


def _stop(call: Any) -> None:
    if call is not None and call.active():
        call.cancel()
