"""What Twisted and Python's own `logging` say, into the one log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import LogLevel, formatEvent, globalLogBeginner, globalLogPublisher
from twisted.python.failure import Failure

_TWISTED_LEVELS = {
    LogLevel.debug: "debug",
    LogLevel.info: "info",
    LogLevel.warn: "warn",
    LogLevel.error: "error",
    LogLevel.critical: "error",
}


class Log(Protocol):
    """The log that the bridges lead to."""

    def emit(
        self, level: str, logger: str, event: str, fields: dict[str, Any], exception: str = ""
    ) -> None: ...


class LoggingBridge(logging.Handler):
    """A `logging` handler that passes records on."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # a wrong format string in a library
            text = f"{record.msg!r} with {record.args!r} ({error})"
        exception = _traceback_of(record)
        self._log.emit(_level_of(record.levelno), record.name, text, {}, exception)


def connect_logging(log: Log) -> Callable[[], None]:
    """Lead `logging` and `warnings` into the log; returns what undoes it."""
    root, bridge = logging.getLogger(), LoggingBridge(log)
    level = root.level
    root.addHandler(bridge)
    # The log decides what to leave out; `logging` has no level below debug.
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(True)

    def undo() -> None:
        logging.captureWarnings(False)
        root.removeHandler(bridge)
        root.setLevel(level)

    return undo


def twisted_observer(log: Log) -> Any:
    """An `ILogObserver` that passes Twisted's events on."""

    def observe(event: dict[str, Any]) -> None:
        # `log.err` of the older API leaves the failure under its own name.
        failure = event.get("log_failure") or event.get("failure")
        level = _TWISTED_LEVELS.get(event.get("log_level", LogLevel.info), "info")
        name = str(event.get("log_namespace") or "twisted")
        if isinstance(failure, Failure):
            text = event.get("why") if "failure" in event else formatEvent(event)
            text = text or "Unhandled error"
            log.emit(level, name, f"{text}: {failure.getErrorMessage()}", {}, failure.getTraceback())
        else:
            log.emit(level, name, formatEvent(event), {})

    return observe


_begun = False


def connect_twisted(observer: Any) -> Callable[[], None]:
    """Make the observer Twisted's log, events so far included; returns what undoes it."""
    global _begun
    if _begun:
        globalLogPublisher.addObserver(observer)
    else:
        _begun = True
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)

    def undo() -> None:
        globalLogPublisher.removeObserver(observer)

    return undo


def connect_uncaught(log: Log) -> Callable[[], None]:
    """Lead exceptions that end a thread into the log; returns what undoes it."""
    import threading

    before = threading.excepthook

    def hook(args: Any) -> None:
        if args.exc_type is not SystemExit:
            text = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
            name = args.thread.name if args.thread else "?"
            log.emit("error", "threading", f"Thread {name} ended by an error", {}, text)

    threading.excepthook = hook

    def undo() -> None:
        threading.excepthook = before

    return undo


def _traceback_of(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info))


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"
