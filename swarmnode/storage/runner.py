"""Where database work is done: away from the reactor thread, one piece after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool


class Runner(Protocol):
    """Runs functions one after the other, away from the reactor thread."""

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Run it; the Deferred has its result or failure."""

    def stop(self) -> None:
        """Nothing more will be run; end the thread and wait for it."""


class OneThread:
    """The runner of a real node: a thread pool of one. reactor: None for the installed one."""

    def __init__(self, reactor: Any = None) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name="database")
        self._pool.start()

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, work)

    def stop(self) -> None:
        if not self._pool.joined:
            self._pool.stop()
