"""The worker's link thread: one socket, one machine, one clock, with the driver between them.

Everything here runs on the link thread, except `post`, which any thread may call.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from swarmnode.driving.driver import Driver
from swarmnode.interfaces.machine import Machine
from swarmnode.protocols.worker.frames import Outbox
from swarmnode.protocols.worker.vocabulary import HungUp, Opened, Received, Send
from swarmnode.values.errors import SwarmnodeError

_READ_BYTES = 256 << 10
#: Seconds for the last frames to leave when the process ends.
FAREWELL_SECONDS = 0.5


class _Timer:
    """A delayed call of the loop's clock."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function

    def cancel(self) -> None:
        self._function = None

    def active(self) -> bool:
        return self._function is not None

    def run(self) -> None:
        function, self._function = self._function, None
        if function:
            function()


class LinkLoop:
    """Runs a worker's end of the link until `finish`."""

    def __init__(
        self,
        link: socket.socket,
        machine: Machine,
        execute: Mapping[type, Callable[[Any], None]],
        failed: Callable[[SwarmnodeError], None],
    ) -> None:
        self._link = link
        link.setblocking(False)
        self._outbox = Outbox()
        self._frame = memoryview(b"")
        self._posted: deque[Any] = deque()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = count()
        self._finished = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._awake = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(link, selectors.EVENT_READ)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        executors = {**execute, Send: self._send}
        self._driver = Driver("worker link", machine, self, executors, failed)

    def _send(self, effect: Send) -> None:
        self._outbox.push(effect.message)

    def post(self, event: Any) -> None:
        """Hand the machine an event, from any thread."""
        self._posted.append(event)
        if not self._awake:
            self._awake = True
            self._wake()

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"\0")
        except BlockingIOError:
            self._awake = True  # so many wake-ups wait already that one more changes nothing

    def seconds(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def callLater(self, delay: float, function: Callable[..., Any], /, *args: Any) -> _Timer:
        """Call a function on the link thread later; only the link thread may ask for it."""
        timer = _Timer(lambda: function(*args))
        heapq.heappush(self._timers, (self.seconds() + delay, next(self._order), timer))
        return timer

    def run(self) -> None:
        """Serve the link until `finish`."""
        self._driver.post(Opened())
        while not self._finished:
            self._write()
            for key, events in self._selector.select(self._patience()):
                self._serve(key.fileobj, events)
            while self._posted:
                self._driver.post(self._posted.popleft())
            self._run_timers()

    def finish(self) -> None:
        """Stop serving, after the last frames have left or could not leave for `FAREWELL_SECONDS`."""
        self._finished = True
        end = self.seconds() + FAREWELL_SECONDS
        self._link.setblocking(True)
        try:
            while (self._frame or self._outbox) and self.seconds() < end:
                self._link.settimeout(max(0.01, end - self.seconds()))
                self._link.sendall(self._frame)
                self._frame = memoryview(self._outbox.pop() or b"")
        except OSError:
            return  # the node has gone: nobody is left to be told

    def _patience(self) -> float | None:
        if self._posted:
            return 0
        while self._timers and not self._timers[0][2].active():
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - self.seconds()) if self._timers else None

    def _run_timers(self) -> None:
        now = self.seconds()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].run()

    def _serve(self, source: Any, events: int) -> None:
        if source is self._wake_in:
            # Empty it first: a wake-up that is read here while `_awake` says True again would leave
            # nobody to send the next one. What was posted before the flag falls is taken right after.
            self._wake_in.recv(4096)
            self._awake = False
        elif events & selectors.EVENT_READ:
            self._read()

    def _read(self) -> None:
        try:
            data = self._link.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._driver.post(Received(data))
        else:
            self._selector.unregister(self._link)
            self._driver.post(HungUp())

    def _write(self) -> None:
        """Send what the socket takes; ask to be told when it takes more."""
        try:
            while self._frame or self._outbox:
                if not self._frame:
                    self._frame = memoryview(self._outbox.pop() or b"")
                self._frame = self._frame[self._link.send(self._frame) :]
        except BlockingIOError:
            pass
        except OSError:
            self._frame = memoryview(b"")  # the reading side sees the end and says so
        self._watch_writing(bool(self._frame))

    def _watch_writing(self, wanted: bool) -> None:
        key = self._selector.get_map().get(self._link)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        if key is not None and key.events != events:
            self._selector.modify(self._link, events)
