"""What keeps a worker from outliving its node, and from taking the machine's memory.

The hang-up is watched by a thread of its own, which needs neither the engine nor the link thread to be
free: kernels run without the interpreter's lock, so it gets its turn inside them too.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
#: Address space beyond what the model needs: interpreter, libraries, thread stacks, prompts.
ADDRESS_HEADROOM = 4 << 30
#: Seconds between looks where the system cannot tell of a hang-up by itself.
_LOOK_SECONDS = 0.25


def ignore_stop_signals() -> None:
    """Ctrl-C and service managers signal the whole group; the node alone decides when a worker ends.

    The node blocks the signals while it starts us, so that none arrives before this.
    """
    stops = {signal.SIGINT, signal.SIGTERM}
    for number in stops:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)


def die_with_parent() -> None:
    """Linux: be killed when the node's process ends, whatever we are doing then."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def watch_link(link: socket.socket, gone: Callable[[], None]) -> threading.Thread:
    """Call `gone` from a thread of its own soon after the other end of the link has closed."""
    thread = threading.Thread(target=_wait_for_hang_up, args=(link, gone), name="watchdog", daemon=True)
    thread.start()
    return thread


def _wait_for_hang_up(link: socket.socket, gone: Callable[[], None]) -> None:
    if hasattr(select, "poll"):
        events = getattr(select, "POLLRDHUP", select.POLLHUP)
        poll = select.poll()
        poll.register(link.fileno(), events)
        timeout = None if hasattr(select, "POLLRDHUP") else _LOOK_SECONDS * 1000
        while not poll.poll(timeout):
            pass
        gone()


def leave_now(code: int = 0) -> None:
    """End the process at once, without unwinding any thread."""
    os._exit(code)


def limit_address_space(model_bytes: int) -> None:
    """Refuse allocations beyond what the model needs and a margin: a runaway prompt or template ends
    in `MemoryError` here instead of in the system's out-of-memory killer.

    model_bytes: file mapping, caches and buffers together. Does nothing where there is no such limit.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    if not hasattr(resource, "RLIMIT_AS") or sys.platform == "darwin":
        return
    limit = _address_space() + model_bytes + ADDRESS_HEADROOM
    _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _address_space() -> int:
    return _status_bytes("VmSize")


def resident_bytes() -> int:
    """Memory that this process alone holds: anonymous and shared pages, not the mapped file."""
    return _status_bytes("RssAnon") + _status_bytes("RssShmem")


def peak_bytes() -> int:
    """The most memory that this process has had resident at a time, mapped files included."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    """A figure of /proc/self/status in bytes; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0
