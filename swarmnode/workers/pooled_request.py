"""A request on its way through the pool: it may wait, run, and run once more after a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from zope.interface import implementer

from swarmnode.interfaces.generation import IEventSink, IGeneration
from swarmnode.protocols.worker.events import ends
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.generation import Failed, GenerationEvent, GenerationRequest, Started


@implementer(IGeneration, IEventSink)
class PooledRequest:
    """Steers a request for its caller, and receives its events for the caller's sink.

    changed: called when it has ended, by itself or by `cancel`.
    """

    def __init__(
        self, request: GenerationRequest, sink: Any, changed: Callable[[PooledRequest], None]
    ) -> None:
        self.request = request
        self.over = False
        self._sink, self._changed = sink, changed
        self._running: Any = None
        self._paused = False
        self._started = False
        self._delivered = False
        self._retried = False

    # For the caller.

    def pause(self) -> None:
        """As `IGeneration` says."""
        self._paused = True
        if self._running:
            self._running.pause()

    def resume(self) -> None:
        """As `IGeneration` says."""
        self._paused = False
        if self._running:
            self._running.resume()

    def cancel(self) -> None:
        """As `IGeneration` says."""
        if self.over:
            return
        self.over = True
        if self._running:
            self._running.cancel()
        self._changed(self)

    # For the pool.

    def run_on(self, worker: Any, lost: Callable[[PooledRequest, SwarmnodeError], None]) -> None:
        """Begin, or begin again. lost: called when the worker goes away before the end."""
        self._running = worker.generate(self.request, self, lambda error: lost(self, error))
        if self.over:
            self._running.cancel()
        elif self._paused:
            self._running.pause()

    def may_run_again(self) -> bool:
        """Whether the worker's loss can be hidden: nothing of the answer was delivered, and it is the
        first time. Says yes once."""
        if self.over or self._delivered or self._retried:
            return False
        self._retried = True
        self._running = None
        return True

    def measured(self) -> None:
        """The worker has said something of itself, of which events tell more."""

    def fail(self, error: SwarmnodeError) -> None:
        """End it with an error."""
        self.event(Failed(error))

    # From the worker.

    def event(self, event: GenerationEvent) -> None:
        """As `IEventSink` says."""
        if self.over:
            return
        if isinstance(event, Started):
            if self._started:
                return  # the caller has seen it, before the worker was lost
            self._keep_seed(event)
        elif not isinstance(event, Failed):
            self._delivered = True
        if ends(event):
            self.over = True
            self._changed(self)
        self._sink.event(event)

    def _keep_seed(self, event: Started) -> None:
        """Should it run again, it must be with the seed that was reported."""
        self._started = True
        sampling = replace(self.request.sampling, seed=event.seed)
        self.request = replace(self.request, sampling=sampling)
