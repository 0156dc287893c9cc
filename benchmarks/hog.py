"""Processes that keep processors busy, for measurements on a machine that has other things to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Counts for ever in the cache: takes processor time, no memory bandwidth.
BUSY = "n = 0\nwhile True:\n    n = (n * 1103515245 + 12345) & 0x7fffffff"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run `count` of them for as long as the block lasts."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
