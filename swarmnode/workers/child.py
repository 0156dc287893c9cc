"""A child process: what it prints, how it ends, and the words for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from swarmnode.values.errors import LocalFault
from swarmnode.workers.worker_log import LineCutter


class ChildProtocol(ProcessProtocol):
    """Cuts what the process prints into lines for `say`; calls `exited` with the exit in words when it is
    reaped, and `ended` when its pipes are closed too."""

    transport: Any = None

    def __init__(
        self, say: Callable[[str], None], exited: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        self._lines = LineCutter(say)
        self._exited, self._ended = exited, ended
        self.gone = False

    def signal(self, name: str) -> None:
        """Send a signal, unless the process is gone."""
        try:
            if self.transport is not None:
                self.transport.signalProcess(name)
        except ProcessExitedAlready:
            self.gone = True

    def outReceived(self, data: bytes) -> None:
        self._lines.feed(data)

    def errReceived(self, data: bytes) -> None:
        self._lines.feed(data)

    def processExited(self, reason: Failure) -> None:
        self.gone = True
        self._exited(exit_in_words(reason))
        if self.transport is not None:
            self.transport.loseConnection()  # a grandchild may hold our ends of the pipes open

    def processEnded(self, reason: Failure) -> None:
        self._lines.close()
        self._ended()


def exit_in_words(reason: Failure) -> str:
    """How a process ended, for people."""
    error = reason.value
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"it was killed by signal {error.signal}"
    return f"it exited with status {getattr(error, 'exitCode', 0) or 0}"


def worker_lost(how: str) -> LocalFault:
    """Why requests of that worker failed."""
    return LocalFault(
        f"The model's worker process ended in the middle of its work: {how}",
        code="worker_lost",
        hint="A new one starts by itself; send the request again. If it returns, see the log for the reason.",
    )


def not_started(error: OSError) -> LocalFault:
    """Why there is no worker."""
    return LocalFault(
        f"No worker process could be started: {error.strerror or error}",
        code="worker_not_started",
        hint="The machine may be out of memory or of processes.",
    )
