"""A log that keeps nobody waiting: lines go to their place on a thread of their own.

A disk that hangs, a terminal that was stopped with Ctrl-S, a pipe whose reader sleeps: each of them would
stop the whole node at its next line.
"""

from __future__ import annotations

import threading
from collections import deque

from swarmnode.observability.outlets import Outlet

MAX_WAITING_LINES = 10_000
#: How long the end of the process waits for what is still to be written.
CLOSE_SECONDS = 1.0


class QueuedOutlet:
    """Passes lines on to another outlet, in their order, from a thread that ends with the process.

    Lines beyond `most` that wait are lost, and counted; how many is said as soon as there is room.
    """

    def __init__(self, outlet: Outlet, most: int = MAX_WAITING_LINES) -> None:
        self._outlet, self._most = outlet, most
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._writing = False
        self._closed = False
        self._changed = threading.Condition()
        self.lost = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, line: str) -> None:
        with self._changed:
            if self._closed:
                return
            if len(self._lines) >= self._most:
                self._dropped += 1
                self.lost += 1
                return
            if self._dropped:
                self._lines.append(
                    f"{self._dropped} lines of the log were lost: they could not be written fast enough"
                )
                self._dropped = 0
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Wait until all is written, so long at the most; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self.flush():
            self._outlet.close()

    def _run(self) -> None:
        while (line := self._next()) is not None:
            self._outlet.write(line)

    def _next(self) -> str | None:
        """The line to write now; None after the last one."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or self._closed)
            if not self._lines:
                return None
            self._writing = True
            return self._lines.popleft()
