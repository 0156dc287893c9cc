"""THE driver: one loop that runs any machine (DESIGN 4).

Events go through a bounded inbox, one at a time; the effects of an event are executed in their order
before the next event is handled; one delayed call is kept armed for the machine's deadline. Whoever
executes an effect may post again: it is handled afterwards, never inside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from swarmnode.interfaces.machine import Machine
from swarmnode.values.errors import LocalFault, SwarmnodeError

#: Events that may wait in one driver's inbox.
INBOX_LIMIT = 4096
#: Events handled in one turn before others on the same clock get theirs.
TURN_LIMIT = 256


class DelayedCall(Protocol):
    """What `Clock.callLater` returns."""

    def cancel(self) -> None:
        """Do not call after all."""

    def active(self) -> bool:
        """Whether the call is still to come."""


class Clock(Protocol):
    """The part of Twisted's `IReactorTime` that is needed; `seconds` must be monotonic."""

    def seconds(self) -> float:
        """Now."""

    def callLater(self, delay: float, function: Callable[..., Any], /, *args: Any) -> DelayedCall:
        """Call the function after `delay` seconds."""


class DriverFault(LocalFault):
    """A machine was ended because it, or what it asked for, failed."""


class Driver:
    """Runs one machine.

    execute: effect type -> what to do with such an effect.
    failed: called once with the error when the machine raises, an effect cannot be executed, or the
    inbox overflows; nothing is handled after that.
    """

    def __init__(
        self,
        name: str,
        machine: Machine,
        clock: Clock,
        execute: Mapping[type, Callable[[Any], None]],
        failed: Callable[[SwarmnodeError], None],
        *,
        inbox_limit: int = INBOX_LIMIT,
    ) -> None:
        self.name = name
        self._machine, self._clock, self._execute, self._failed = machine, clock, execute, failed
        self._inbox: deque[Any] = deque()
        self._limit = inbox_limit
        self._running = False
        self._stopped = False
        self._timer: DelayedCall | None = None
        self._armed: float | None = None
        self._turn: DelayedCall | None = None

    def post(self, event: Any) -> None:
        """Hand the machine an event. Never raises; events after the end are dropped."""
        if self._stopped:
            return
        if len(self._inbox) >= self._limit:
            self._fail(f"its inbox is full ({self._limit} events)", "inbox_full", None)
            return
        self._inbox.append(event)
        self._run()

    def stop(self) -> None:
        """Handle nothing more; release the timers."""
        self._stopped = True
        self._inbox.clear()
        self._disarm()
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._turn = None

    @property
    def stopped(self) -> bool:
        """Whether it was stopped or has failed."""
        return self._stopped

    def _run(self) -> None:
        if self._running or self._turn is not None:
            return
        self._running = True
        try:
            for _ in range(TURN_LIMIT):
                if self._stopped or not self._inbox:
                    break
                self._handle(self._inbox.popleft())
            else:
                self._turn = self._clock.callLater(0, self._next_turn)
        finally:
            self._running = False
        self._arm()

    def _next_turn(self) -> None:
        self._turn = None
        self._run()

    def _handle(self, event: Any | None) -> None:
        effect: Any = None
        try:
            for effect in self._machine.handle(event, self._clock.seconds()):
                if self._stopped:
                    return
                self._execute[type(effect)](effect)
        except Exception as error:
            what = type(event if effect is None else effect).__name__
            self._fail(f"{what} failed: {type(error).__name__}: {error}", "machine_failed", error)

    def _arm(self) -> None:
        deadline = None if self._stopped else self._machine.deadline
        if deadline == self._armed:
            return
        self._disarm()
        if deadline is not None:
            self._armed = deadline
            delay = max(0.0, deadline - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._deadline_passed)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer, self._armed = None, None

    def _deadline_passed(self) -> None:
        self._timer, self._armed = None, None
        self.post(None)

    def _fail(self, what: str, code: str, cause: Exception | None) -> None:
        self.stop()
        fault = DriverFault(f"{self.name}: {what}", code=code, hint="This is a bug; please report it.")
        fault.__cause__ = cause
        self._failed(fault)
