"""The threads that run programs: they sleep between steps."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.runtime import BARRIER, DONE, ITEMS, LINE, run

Ints = npt.NDArray[np.int64]


def physical_cores() -> int:
    """Cores this process may use; processors that share a core count once."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set()
    for cpu in usable:
        path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            with open(path, encoding="ascii") as file:
                cores.add(file.read().strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))


def _give_way() -> int:
    """The address of the C library's sched_yield."""
    library = ctypes.CDLL(None) if os.name == "posix" else ctypes.windll.kernel32  # type: ignore[attr-defined]
    function = library.sched_yield if os.name == "posix" else library.SwitchToThread
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Team:
    """`threads` threads, the caller's among them. Not thread-safe: one run at a time.

    Keeps the compiler, in whose memory `run` lies.
    """

    def __init__(self, jit: Jit, threads: int) -> None:
        self.target = jit.target.name
        self.threads = max(1, min(threads, physical_cores()))
        self._jit = jit
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)
        self._run = signature(jit.address(*run(jit.target)))
        self._give_way = _give_way()
        self._shared = np.zeros(ITEMS // 8, np.int64)
        self._job: tuple[int, int, int] = (0, 0, 0)
        self._active = 1
        self._ended = False
        self._starts = [threading.Semaphore(0) for _ in range(self.threads - 1)]
        self._finished = threading.Semaphore(0)
        for number in range(1, self.threads):
            threading.Thread(target=self._serve, args=(number,), name=f"kernel-{number}", daemon=True).start()

    def run(self, program: Ints, threads: int | None = None) -> None:
        """Run a program, i64 [entries, 8], with at most `threads` of the threads. Not after `close`."""
        assert not self._ended, "the threads would be waited for without end"
        entries = len(program)
        self._make_ready(entries)
        active = min(self.threads, threads or self.threads)
        self._active = active
        self._job = (program.ctypes.data, entries, self._shared.ctypes.data)
        for start in self._starts[: active - 1]:
            start.release()
        self._run(*self._job, 0, active, self._give_way)
        for _ in range(active - 1):
            self._finished.acquire()

    def _make_ready(self, entries: int) -> None:
        """Zero what a run shares, all but the count of entries done."""
        size = (ITEMS + entries * LINE) // 8
        if len(self._shared) < size:
            grown = np.zeros(size, np.int64)
            grown[DONE // 8] = self.done
            self._shared = grown
        self._shared[BARRIER // 8] = 0
        self._shared[ITEMS // 8 : size] = 0

    @property
    def done(self) -> int:
        """Entries finished in all runs, the present one among them; never falls. Read by any thread."""
        return int(self._shared[DONE // 8])

    def each(self, work: Callable[[int], None], items: int) -> None:
        """work(i) for i in range(items), by all threads; for loading. Raises the first error."""
        lock, rest = threading.Lock(), iter(range(items))
        errors: list[BaseException] = []

        def take() -> None:
            while not errors:
                with lock:
                    item = next(rest, None)
                if item is None:
                    return
                try:
                    work(item)
                except BaseException as error:
                    errors.append(error)

        others = [threading.Thread(target=take, daemon=True) for _ in range(self.threads - 1)]
        for other in others:
            other.start()
        take()
        for other in others:
            other.join()
        if errors:
            raise errors[0]

    def close(self) -> None:
        """End the threads."""
        self._ended = True
        for start in self._starts:
            start.release()

    def _serve(self, number: int) -> None:
        start = self._starts[number - 1]
        while True:
            start.acquire()
            if self._ended:
                return
            program, entries, shared = self._job
            self._run(program, entries, shared, number, self._active, self._give_way)
            self._finished.release()
