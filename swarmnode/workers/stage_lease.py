"""A loaded model's worker, kept for one session of a pipeline or for its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from swarmnode.protocols.pipeline.vocabulary import Bytes
from swarmnode.protocols.worker.messages import Message
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.workers.worker_stage import WorkerStage

Changed = Callable[[Any], None]


class StageLease(WorkerStage):
    """While it is held the model is not unloaded for being idle. It belongs to one worker: when that is lost
    the lease is over, and whoever wants to go on takes another.

    name: of the session. describe: what the worker has said of itself. changed: called when it is over.
    """

    def __init__(self, name: str, describe: Callable[[], Mapping[str, Any]], changed: Changed) -> None:
        super().__init__(self.call, name, self.close)
        self.over = False
        self._describe, self._changed = describe, changed
        self._ready: Deferred[StageLease] = Deferred(lambda _: self.release())
        self._worker: Any = None
        self._lost: Callable[[Any, SwarmnodeError], None] = lambda lease, error: None
        self._error: SwarmnodeError = _released()
        self._opened = False

    # For whoever holds it.

    def ready(self) -> Deferred[StageLease]:
        """Fires with itself when the worker is there; fails with a `SwarmnodeError`. To be asked for once;
        cancelling releases."""
        return self._ready

    @property
    def description(self) -> Mapping[str, Any]:
        """What the worker says of itself: `profile`, `context_length`, `hidden`, `eos_ids` ..."""
        return self._describe()

    def call(self, kind: str, header: Mapping[str, Any], payload: Bytes = b"") -> Deferred[Message]:
        """Ask the worker (`protocols.worker.messages.ANSWERS`)."""
        if self._worker is None or self.over:
            return fail(self._error)
        self._opened = self._opened or kind == "open_session"
        asked: Deferred[Message] = self._worker.call(kind, header, payload)
        return asked.addErrback(self._failed)

    def close(self) -> None:
        """As `StageHandle`: end the session, give the worker back."""
        if self._opened and not self.over:
            super().close()
        self.release()

    def release(self) -> None:
        """Give the worker back, whatever became of the session."""
        if not self.over:
            self.over = True
            self._changed(self)

    def _failed(self, failure: Failure) -> Failure:
        if not self.over and not self._worker.alive and isinstance(failure.value, SwarmnodeError):
            self._lost(self, failure.value)
        return failure

    # For the pool, as `PooledRequest`.

    def run_on(self, worker: Any, lost: Callable[[Any, SwarmnodeError], None]) -> None:
        """The worker is there."""
        self._worker, self._lost = worker, lost
        self._ready.callback(self)

    def may_run_again(self) -> bool:
        """What a session holds is gone with its worker."""
        return False

    def fail(self, error: SwarmnodeError) -> None:
        """There is no worker, or none any more."""
        self._error = error
        self.release()
        if not self._ready.called:
            self._ready.errback(error)

    def measured(self) -> None:
        """The worker has shown that it is at work."""
        self.heard()


def _released() -> Unavailable:
    return Unavailable("The session on this worker is over", code="unknown_session")
