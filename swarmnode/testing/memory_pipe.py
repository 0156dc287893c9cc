"""One direction of a connection in memory: in order, delayed, and late where something was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from swarmnode.driving.driver import Clock, DelayedCall

#: RFC 6298: the retransmission timer doubles each time. TCP starts at 1 s; after a few round trips it is
#: at 200 ms on most systems.
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 3.2
#: A system gives a connection up on which nothing gets through; both ends have noticed long before.
GIVE_UP_SECONDS = 20.0

#: What the way does to so many bytes: the seconds that they take, or None when they are lost.
Condition = Callable[[int], float | None]


class Pipe:
    """Carries segments to `deliver` as TCP would: what is lost is sent again and holds up the rest."""

    __slots__ = (
        "_blocked",
        "_clock",
        "_condition",
        "_deliver",
        "_flying",
        "_last",
        "_open",
        "_retry",
        "_retry_after",
        "_timer",
        "_waited",
    )

    def __init__(self, clock: Clock, condition: Condition, deliver: Callable[[Any], None]) -> None:
        self._clock, self._condition, self._deliver = clock, condition, deliver
        self._flying: deque[tuple[float, Any]] = deque()
        self._blocked: deque[tuple[Any, int]] = deque()
        self._last = 0.0
        self._retry_after, self._waited = FIRST_RETRY_SECONDS, 0.0
        self._timer: DelayedCall | None = None
        self._retry: DelayedCall | None = None
        self._open = True

    def send(self, segment: Any, size: int) -> None:
        """Send a segment of so many bytes."""
        if not self._open:
            return
        if self._blocked or not self._launch(segment, size):
            self._blocked.append((segment, size))
            self._arm_retry()

    def stop(self) -> None:
        """Deliver nothing more."""
        self._open = False
        self._flying.clear()
        self._blocked.clear()
        for call in (self._timer, self._retry):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._retry = None

    def _launch(self, segment: Any, size: int) -> bool:
        delay = self._condition(size)
        if delay is None:
            return False
        now = self._clock.seconds()
        self._last = max(self._last, now + delay)
        self._flying.append((self._last, segment))
        if self._timer is None:
            self._timer = self._clock.callLater(self._last - now, self._arrive)
        return True

    def _arrive(self) -> None:
        # Not set to None yet: who sends meanwhile arms no second timer.
        now = self._clock.seconds()
        while self._flying and self._flying[0][0] <= now:
            self._deliver(self._flying.popleft()[1])
        self._timer = None
        if self._flying:
            self._timer = self._clock.callLater(self._flying[0][0] - now, self._arrive)

    def _arm_retry(self) -> None:
        if self._retry is None and self._blocked:
            self._retry = self._clock.callLater(self._retry_after, self._again)

    def _again(self) -> None:
        self._retry = None
        if not self._launch(*self._blocked[0]):
            self._waited += self._retry_after
            if self._waited >= GIVE_UP_SECONDS:
                self.stop()
                return
            self._retry_after = min(self._retry_after * 2, LONGEST_RETRY_SECONDS)
        else:
            self._retry_after, self._waited = FIRST_RETRY_SECONDS, 0.0
            self._blocked.popleft()
            while self._blocked and self._launch(*self._blocked[0]):
                self._blocked.popleft()
        self._arm_retry()
