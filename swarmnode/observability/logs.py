"""The node's log: levels, form, place; one line an entry, no secrets.

Code of ours logs by `structlog.get_logger("name")`; what Twisted, `logging` and `warnings` have to say
comes to the same place. At `-v` the log tells what happens, at `-vv` also how (`DIAG:` lines), at `-vvv`
everything.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import structlog

from swarmnode.observability.bridges import (
    connect_logging,
    connect_twisted,
    connect_uncaught,
    twisted_observer,
)
from swarmnode.observability.outlets import DescriptorOutlet, FileOutlet, Outlet, StreamOutlet
from swarmnode.observability.queued_outlet import CLOSE_SECONDS, QueuedOutlet
from swarmnode.observability.redaction import MAX_TRACEBACK_CHARS, Secrets
from swarmnode.observability.rendering import Entry, render_json, render_pretty
from swarmnode.observability.repetition import OF_PEERS, Repetition
from swarmnode.observability.request_log import RequestLog, summary_line
from swarmnode.values.errors import Refused
from swarmnode.values.settings import LogSettings

#: From the quietest to the loudest.
LEVELS = ("error", "warn", "info", "debug", "trace")
FORMATS = ("pretty", "json")
STANDARD_ERROR = 2

_OF_METHOD = {
    "critical": "error",
    "exception": "error",
    "fatal": "error",
    "warning": "warn",
    "msg": "info",
    "log": "info",
}
#: structlog's numbers for its own filter; 0 lets everything pass.
_STRUCTLOG = {"error": 40, "warn": 30, "info": 20, "debug": 10, "trace": 0}


class Logs:
    """The log that is set up. `observer` is for those who start Twisted's logging themselves."""

    def __init__(
        self,
        level: str,
        outlet: Outlet,
        render: Callable[[Entry], str],
        stamp: Callable[[], float] = time.time,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.level = level
        self.observer = twisted_observer(self)
        self._rank = LEVELS.index(level)
        self._outlet = outlet
        self._render = render
        self._stamp, self._seconds = stamp, seconds
        self._secrets, self._repetition = Secrets(), Repetition()
        self._undo: list[Callable[[], None]] = []

    def hide(self, secret: str) -> None:
        """Let this value never be written from now on."""
        self._secrets.add(secret)

    def emit(
        self, level: str, logger: str, event: str, fields: Mapping[str, Any], exception: str = ""
    ) -> None:
        """Write an entry if the level asks for it. Others' loggers must be one level more important."""
        rank = LEVELS.index(level) if _is_ours(logger) else LEVELS.index(level) + 1
        if rank > self._rank and level != "error":
            return
        self.write(level, logger, event, fields, exception)

    def write(
        self, level: str, logger: str, event: object, fields: Mapping[str, Any], exception: str = ""
    ) -> None:
        """Write an entry."""
        secrets = self._secrets
        self._outlet.write(
            self._render(
                Entry(
                    stamp=self._stamp(),
                    level=level,
                    logger=logger,
                    event=secrets.text(event),
                    fields=secrets.clean(fields),
                    exception=secrets.text(exception, MAX_TRACEBACK_CHARS) if exception else "",
                )
            )
        )

    def write_unless_repeated(
        self, level: str, logger: str, event: str, fields: Mapping[str, Any], exception: str = ""
    ) -> None:
        """Write an entry, unless it is one of many that peers cause. Above `info` all are written."""
        if logger in OF_PEERS and self._rank <= LEVELS.index("info"):
            untold = self._repetition.untold(logger, event, str(fields.get("code", "")), self._seconds())
            if untold is None:
                return
            fields = {**fields, "untold": untold} if untold else fields
        self.write(level, logger, event, fields, exception)

    def connect(self, *, twisted: bool) -> None:
        """Become the log of this process."""
        _configure_structlog(self)
        self._undo = [structlog.reset_defaults, connect_logging(self), connect_uncaught(self)]
        if twisted:
            self._undo.append(connect_twisted(self.observer))

    def flush(self, seconds: float) -> None:
        """Wait until what was logged is written, so long at the most."""
        if isinstance(self._outlet, QueuedOutlet):
            self._outlet.flush(seconds)

    def close(self) -> None:
        """Stop being the log; close the file."""
        while self._undo:
            self._undo.pop()()
        self._outlet.close()


_current: Logs | None = None


def set_up_logs(
    settings: LogSettings,
    *,
    secrets: Iterable[str] = (),
    stream: Any = None,
    twisted: bool = True,
    queued: bool = False,
) -> Logs:
    """Set up the log of this process, in the place of an earlier one.

    stream: where to write instead of standard error, when no file is named. twisted: also begin
    Twisted's logging; False where `twistd` does that, which also adds the time to what goes to `stream`.
    queued: write on a thread of its own; not in a process that will fork. Raises `Refused` for an unknown
    level or format and for a file that cannot be written.
    """
    global _current
    level = _chosen_level(settings)
    if settings.format not in FORMATS:
        raise _unknown("format", settings.format, FORMATS)
    outlet = _outlet(settings, stream, queued)
    if _current is not None:
        _current.close()
    _current = Logs(level, outlet, _renderer(settings, stream, stamped=twisted or bool(settings.file)))
    for secret in secrets:
        _current.hide(secret)
    _current.connect(twisted=twisted)
    return _current


def flush_logs(seconds: float = CLOSE_SECONDS) -> None:
    """Wait until what was logged is written, so long at the most."""
    if _current is not None:
        _current.flush(seconds)


def hide(secret: str) -> None:
    """Keep a value that becomes known later (a key just made) out of the log."""
    if _current is not None:
        _current.hide(secret)


def diag(kind: str, **fields: Any) -> None:
    """A diagnostic line, `DIAG: <kind> name=value ...`, shown from `-vv` on."""
    structlog.get_logger("diag").debug(f"DIAG: {kind}", **fields)


def _outlet(settings: LogSettings, stream: Any, queued: bool) -> Outlet:
    if settings.file:
        outlet: Outlet = FileOutlet(settings.file)
    elif queued and stream is None and sys.platform != "win32":  # its consoles want Python's own stream
        outlet = DescriptorOutlet(STANDARD_ERROR)
    else:
        outlet = StreamOutlet(stream)
    return QueuedOutlet(outlet) if queued else outlet


def _chosen_level(settings: LogSettings) -> str:
    """The louder one of `logging.level` and what the number of -v asks for."""
    if settings.level not in LEVELS:
        raise _unknown("level", settings.level, LEVELS)
    asked = LEVELS.index("warn") + max(0, settings.verbosity)
    return LEVELS[min(len(LEVELS) - 1, max(LEVELS.index(settings.level), asked if settings.verbosity else 0))]


def _renderer(settings: LogSettings, stream: Any, stamped: bool) -> Callable[[Entry], str]:
    if settings.format == "json":
        return render_json
    target = sys.stderr if stream is None else stream
    colours = (
        settings.file is None
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
        and bool(getattr(target, "isatty", lambda: False)())
    )
    return lambda entry: render_pretty(entry, colours, stamped)


def _configure_structlog(logs: Logs) -> None:
    least = _STRUCTLOG[logs.level]

    class BoundLogger(structlog.make_filtering_bound_logger(least)):  # type: ignore[misc]
        """structlog's logger, and the level below debug."""

        def trace(self, event: str, **fields: Any) -> Any:
            return self._proxy_to_logger("trace", event, **fields) if least == 0 else None

    def deliver(logger: Any, method: str, fields: MutableMapping[str, Any]) -> Any:
        _write_structlog(logs, logger, method, dict(fields))
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, deliver],
        wrapper_class=BoundLogger,
        logger_factory=_Name,
        cache_logger_on_first_use=False,
    )


class _Name:
    """What structlog calls the wrapped logger; ours only knows its name."""

    def __init__(self, name: str = "swarmnode", *_: Any) -> None:
        self.name = name


def _write_structlog(logs: Logs, logger: _Name, method: str, fields: dict[str, Any]) -> None:
    event = fields.pop("event", "")
    exception = _traceback(fields.pop("exc_info", None))
    fields.pop("stack_info", None)
    logs.write_unless_repeated(_OF_METHOD.get(method, method), logger.name, str(event), fields, exception)


def _traceback(exc_info: Any) -> str:
    if isinstance(exc_info, BaseException):
        return "".join(traceback.format_exception(exc_info))
    if isinstance(exc_info, tuple):
        return "".join(traceback.format_exception(*exc_info)) if exc_info[0] else ""
    return traceback.format_exc() if exc_info and sys.exc_info()[0] else ""


def _is_ours(logger: str) -> bool:
    # Warnings and uncaught errors are about our process, whoever caused them.
    return logger.partition(".")[0] in ("swarmnode", "py", "threading")


def _unknown(what: str, value: str, allowed: tuple[str, ...]) -> Refused:
    return Refused(
        f"{value!r} is not a log {what}",
        code="bad_log_setting",
        hint=f"logging.{what} is one of: {', '.join(allowed)}.",
    )


__all__ = ["LEVELS", "Logs", "RequestLog", "diag", "flush_logs", "hide", "set_up_logs", "summary_line"]
