"""The signals that ask a node to stop: once is enough.

Twisted turns each of them into a stop; a second one, while the first is being obeyed, would be an error
in the log. A terminal that is closed (SIGHUP) is obeyed like Ctrl-C, unless `nohup` says otherwise.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")

Handler = Callable[[int, Any], Any]


def heed_once(stopping: Callable[[], bool]) -> None:
    """Let the handlers that are installed now see one stop signal, and none while `stopping()`.

    To be called when the reactor has installed its handlers. Outside the main thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    seen: list[int] = []

    def once(handler: Handler) -> Handler:
        def handle(number: int, frame: Any) -> None:
            if not seen and not stopping():
                seen.append(number)
                handler(number, frame)

        return handle

    found = {name: signal.getsignal(number) for name, number in _numbers(_NAMES)}
    for name, number in _numbers(_NAMES):
        if callable(handler := found[name]):
            signal.signal(number, once(handler))
    end = found.get("SIGTERM")
    for _, number in _numbers(("SIGHUP",)):
        if signal.getsignal(number) is signal.SIG_DFL and callable(end):
            signal.signal(number, once(end))


def heed_no_more() -> None:
    """Let no signal to stop interrupt the end of a process whose reactor has stopped, and has put back
    the handlers of before: those would end it with an error."""
    if threading.current_thread() is threading.main_thread():
        for _, number in _numbers((*_NAMES, "SIGHUP")):
            signal.signal(number, signal.SIG_IGN)


def _numbers(names: tuple[str, ...]) -> list[tuple[str, signal.Signals]]:
    """Those of the signals that this system has."""
    return [(name, getattr(signal, name)) for name in names if hasattr(signal, name)]
