"""Starting, watching and stopping the parts of a node, in order.

Two classes (promise SVC-04): the end of a *critical* part stops the node in order and names it; a
part that is not critical may fail as often as it likes, and is only reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.python.failure import Failure

#: All parts together get so long to stop, and each at least a moment.
STOP_SECONDS = 4.5
LEAST_STOP_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the node.

    start, stop: return None or a Deferred. `ended`, when given, is called after the start and returns
    a Deferred that fires when the part ends by itself, well or by failure.
    """

    name: str
    start: Callable[[], Any]
    stop: Callable[[], Any] = lambda: None
    critical: bool = True
    ended: Callable[[], Deferred[Any]] | None = None


class Supervisor(Service):
    """Runs parts as one Twisted service.

    parts: started in order, stopped in reverse. on_fatal(name, reason): a critical part failed or
    ended; whoever runs the reactor stops it. log: a structlog-like logger. clock: for the bound on
    stopping.
    """

    def __init__(
        self, parts: Sequence[Part], on_fatal: Callable[[str, str], None], log: Any, clock: Any
    ) -> None:
        self._parts = tuple(parts)
        self._on_fatal = on_fatal
        self._log = log
        self._clock = clock
        self._up: dict[str, bool] = {part.name: False for part in self._parts}
        self._stopping = False

    def readiness(self) -> dict[str, bool]:
        """Each critical part and whether it runs, in start order; parts that are not critical are left
        out, because the node serves without them."""
        return {part.name: self._up[part.name] for part in self._parts if part.critical}

    def startService(self) -> None:
        super().startService()
        self._start_all()

    @inlineCallbacks
    def _start_all(self) -> Any:
        for part in self._parts:
            if self._stopping:
                return
            try:
                yield maybeDeferred(part.start)
            except Exception:
                self._failed(part, Failure())
                if part.critical:
                    return
            else:
                self._up[part.name] = True
                self._watch(part)

    def _watch(self, part: Part) -> None:
        if part.ended is not None:
            part.ended().addCallbacks(
                lambda _: self._finished(part), lambda reason: self._failed(part, reason)
            )

    def _finished(self, part: Part) -> None:
        self._down(part, "ended")

    def _failed(self, part: Part, reason: Failure) -> None:
        self._log.debug("traceback", part=part.name, traceback=reason.getTraceback())
        why = reason.getErrorMessage() or type(reason.value).__name__
        hint = getattr(reason.value, "hint", "")
        self._down(part, f"{why}. {hint}" if hint else why)

    def _down(self, part: Part, why: str) -> None:
        self._up[part.name] = False
        if self._stopping:
            return
        if part.critical:
            self._log.error("critical part ended, the node stops", part=part.name, reason=why)
            self._on_fatal(part.name, why)
        else:
            self._log.warning("part ended, the node goes on without it", part=part.name, reason=why)

    def stopService(self) -> Any:
        super().stopService()
        self._stopping = True
        self._log.info("stopping")
        return self._stop_all()

    @inlineCallbacks
    def _stop_all(self) -> Any:
        end = self._clock.seconds() + STOP_SECONDS
        for part in reversed(self._parts):
            left = max(LEAST_STOP_SECONDS, end - self._clock.seconds())
            try:
                yield maybeDeferred(part.stop).addTimeout(left, self._clock)
            except Exception as error:
                self._log.error(
                    "part did not stop well", part=part.name, reason=str(error) or type(error).__name__
                )
            self._up[part.name] = False
        self._log.info("stopped")
