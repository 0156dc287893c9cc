"""Starting the parts of something one after another, and stopping them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, maybeDeferred
from twisted.python.failure import Failure

from swarmnode.values.errors import Refused, Unavailable


class RunTogether:
    """parts: have `start` and perhaps `stop`, each of which may return a Deferred. They are started in this
    order, the next when the one before has done so, and stopped in reverse, nobody waiting for another: what
    a part says when it stops still finds those running that were started before it. optional: come last;
    where one of them fails to start, the others go on without it. Runs once.
    """

    def __init__(self, parts: Sequence[Any], log: Any, *, optional: Sequence[Any] = ()) -> None:
        self._parts, self._optional, self._log = tuple(parts), tuple(optional), log
        self._begun: list[Any] = []
        self._started = self._stopping = self._stopped = False
        self._waiting: list[Deferred[None]] = []

    def start(self) -> Deferred[None]:
        """Start all. Where one that is needed fails, those before it are stopped again, and its error is the
        result; where `stop` comes in between, it is `Unavailable`."""
        if self._started or self._stopping:
            return maybeDeferred(_refuse)
        self._started = True
        started: Deferred[None] = self._start_all()
        return started

    def stop(self) -> Deferred[None]:
        """Stop all that was started; also when it is called again, it fires when all have stopped. A part
        that cannot stop is told in the log."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if not self._stopping:
            self._stopping = True
            DeferredList([self._stop_one(part) for part in reversed(self._begun)]).addCallback(self._end)
        elif self._stopped:
            self._end(None)
        return done

    @inlineCallbacks
    def _start_all(self) -> Any:
        for part in (*self._parts, *self._optional):
            # One that fails halfway has something to stop, too.
            self._begun.append(part)
            try:
                yield maybeDeferred(part.start)
            except Exception as error:
                if part not in self._optional:
                    yield self.stop()
                    raise
                self._log.error("a part did not start", part=type(part).__name__, reason=str(error))
            if self._stopping:
                raise Unavailable("It was stopped before it had started", code="stopping")

    def _stop_one(self, part: Any) -> Deferred[Any]:
        stop = getattr(part, "stop", None)
        stopping: Deferred[Any] = maybeDeferred(stop if stop is not None else _nothing)
        return stopping.addErrback(self._not_stopped, type(part).__name__)

    def _not_stopped(self, why: Failure, name: str) -> None:
        self._log.error("a part did not stop well", part=name, reason=why.getErrorMessage())

    def _end(self, _: Any) -> None:
        self._stopped = True
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if not done.called:
                done.callback(None)


def _nothing() -> None:
    """For a part that has nothing to stop."""


def _refuse() -> None:
    raise Refused("It was started before", code="started_once", hint="Build it anew to start it again.")
