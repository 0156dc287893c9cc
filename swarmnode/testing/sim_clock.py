"""A clock for simulations: a heap of calls, so that a thousand nodes cost what they do and no more.

`twisted.internet.task.Clock` sorts all calls each time that one is added, and a step of it skips over what
happens in between. Here time goes from one call to the next.

    clock = SimClock()
    node = clock.process()
    node.callLater(1.0, print, "hello")
    node.pause()
    clock.advance(2.0)
    node.resume()
    clock.advance(0.0)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

#: Calls that happen at one moment; more are two that call each other for ever.
MAX_CALLS_AT_ONCE = 1_000_000
#: Cancelled calls that may lie in the heap before they are cleared out.
MAX_CANCELLED = 4096


class SimFault(AssertionError):
    """The simulation cannot go on, or what was waited for did not happen."""


@implementer(IDelayedCall)
class SimCall:
    """A call to come. process: whose it is, if anybody's."""

    __slots__ = (
        "_called",
        "_cancelled",
        "_clock",
        "arguments",
        "entry",
        "function",
        "keywords",
        "process",
        "time",
    )

    def __init__(
        self,
        clock: SimClock,
        time: float,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        process: ProcessClock | None,
    ) -> None:
        self._clock, self.time = clock, time
        self.function, self.arguments, self.keywords, self.process = function, arguments, keywords, process
        self._called = self._cancelled = False
        self.entry = 0

    def getTime(self) -> float:
        """When it is to happen."""
        return self.time

    def active(self) -> bool:
        return not (self._called or self._cancelled)

    def cancel(self) -> None:
        self._check()
        self._cancelled = True
        self._clock.forget()

    def reset(self, delay: float) -> None:
        """Happen `delay` seconds from now instead."""
        self._check()
        self.time = self._clock.seconds() + delay
        self._clock.put(self)

    def delay(self, delay: float) -> None:
        """Happen so many seconds later."""
        self._check()
        self.time += delay
        self._clock.put(self)

    def run(self) -> None:
        """Now."""
        process = self.process
        if process is not None and process.holds(self):
            return
        self._called = True
        self.function(*self.arguments, **self.keywords)

    def _check(self) -> None:
        if self._called:
            raise AlreadyCalled
        if self._cancelled:
            raise AlreadyCancelled


@implementer(IReactorTime)
class SimClock:
    """Calls at the same time happen in the order in which they were asked for. handled: how many did."""

    def __init__(self) -> None:
        self._now = 0.0
        self._heap: list[tuple[float, int, SimCall]] = []
        self._number = self._cancelled = self.handled = 0

    def seconds(self) -> float:
        """Now; it begins with 0."""
        return self._now

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **kw: Any) -> SimCall:
        return self.call(delay, function, args, kw, None)

    def call(
        self,
        delay: float,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        process: ProcessClock | None,
    ) -> SimCall:
        """The same, for a process."""
        if not delay >= 0:
            raise ValueError(f"a call cannot be {-delay} seconds ago")
        made = SimCall(self, self._now + delay, function, arguments, keywords, process)
        self.put(made)
        return made

    def put(self, call: SimCall) -> None:
        """Have it happen at its time; an entry that was made for it before is void."""
        self._number += 1
        call.entry = self._number
        heapq.heappush(self._heap, (call.time, self._number, call))

    def forget(self) -> None:
        """A call was cancelled."""
        self._cancelled += 1
        if self._cancelled > MAX_CANCELLED and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if _is_valid(entry)]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def getDelayedCalls(self) -> list[SimCall]:
        return [entry[2] for entry in sorted(self._heap, key=lambda entry: entry[:2]) if _is_valid(entry)]

    def process(self) -> ProcessClock:
        """The clock of one process, which can be paused and killed."""
        return ProcessClock(self)

    def advance(self, seconds: float) -> None:
        """Let so much time pass; everything in it happens at its own moment."""
        self.advance_to(self._now + seconds)

    def advance_to(self, end: float) -> None:
        """Let time pass until then."""
        at_once, moment = 0, self._now
        while self._heap and self._heap[0][0] <= end:
            entry = heapq.heappop(self._heap)
            if not _is_valid(entry):
                continue
            if entry[0] > moment:
                moment, at_once = entry[0], 0
            at_once += 1
            if at_once > MAX_CALLS_AT_ONCE:
                raise SimFault(f"time stands still at {moment} s: {entry[2].function} is called for ever")
            self._now = max(self._now, entry[0])
            self.handled += 1
            entry[2].run()
        self._now = max(self._now, end)

    def run_until(self, predicate: Callable[[], bool], limit: float, *, step: float = 0.1) -> float:
        """Let time pass until the predicate holds, which is asked every `step` seconds; returns the seconds
        that it took. Raises `SimFault` when it does not within `limit` seconds."""
        began = self._now
        while not predicate():
            if self._now - began >= limit - 1e-9:
                raise SimFault(f"it did not come true within {limit} s")
            self.advance(min(step, limit - (self._now - began)))
        return self._now - began


def _is_valid(entry: tuple[float, int, SimCall]) -> bool:
    return entry[2].active() and entry[1] == entry[2].entry


class ProcessClock:
    """What one process sees of the clock. Paused (SIGSTOP), all that is due waits, and happens in its order
    when it goes on; killed, nothing of it ever happens."""

    __slots__ = ("_clock", "_held", "_is_dead", "_is_paused")

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self._held: list[SimCall] = []
        self._is_paused = self._is_dead = False

    @property
    def paused(self) -> bool:
        """Whether it is just now."""
        return self._is_paused

    @property
    def dead(self) -> bool:
        """Whether it was killed."""
        return self._is_dead

    def seconds(self) -> float:
        return self._clock.seconds()

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **kw: Any) -> SimCall:
        return self._clock.call(delay, function, args, kw, self)

    def pause(self) -> None:
        """SIGSTOP."""
        self._is_paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self._is_paused = False
        held, self._held = self._held, []
        for call in held:
            if call.active():
                call.reset(0.0)

    def kill(self) -> None:
        """SIGKILL."""
        self._is_dead = True
        self._held.clear()

    def holds(self, call: SimCall) -> bool:
        """Whether a call that is due does not happen now."""
        if self._is_paused and not self._is_dead:
            self._held.append(call)
        return self._is_paused or self._is_dead
