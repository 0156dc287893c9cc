"""One log entry as one line: for people, or as JSON for programs."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_COLOURS = {"error": "31", "warn": "33", "info": "32", "debug": "36", "trace": "35"}
_RESERVED = ("time", "level", "logger", "event", "exception")
_PLAIN_VALUE = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Characters that would start a new line or steer a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A log entry, already cleaned. stamp: Unix time in seconds; exception: a traceback or empty."""

    stamp: float
    level: str
    logger: str
    event: str
    fields: dict[str, Any] = field(default_factory=dict)
    exception: str = ""


def render_json(entry: Entry) -> str:
    """One line that any JSON parser takes. Fields that would hide one of ours get a `_` behind."""
    data: dict[str, Any] = {
        "time": datetime.fromtimestamp(entry.stamp, UTC).isoformat(timespec="microseconds"),
        "level": entry.level,
        "logger": entry.logger,
        "event": entry.event,
    }
    for name, value in entry.fields.items():
        data[f"{name}_" if name in _RESERVED else name] = _finite(value)
    if entry.exception:
        data["exception"] = entry.exception
    return json.dumps(data, default=str)


def render_pretty(entry: Entry, colours: bool, stamped: bool = True) -> str:
    """`2026-11-20 12:00:00.123 info  event name=value`, then the traceback, indented. stamped: False
    leaves the time to who keeps the log."""
    time = datetime.fromtimestamp(entry.stamp).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    level = f"{entry.level:5}"
    if colours:
        time, level = f"\x1b[2m{time}\x1b[0m", f"\x1b[{_COLOURS[entry.level]}m{level}\x1b[0m"
    # The name of a library's logger says what the words are about; ours say it themselves.
    foreign = "." in entry.logger and not entry.logger.startswith("swarmnode")
    source = [f"[{escape(entry.logger)}]"] if foreign else []
    head = [time, level] if stamped else [level]
    line = " ".join([*head, *source, escape(entry.event), *render_fields(entry.fields)])
    if entry.exception:
        line += "".join(f"\n    {escape(part)}" for part in entry.exception.splitlines())
    return line


def render_fields(fields: dict[str, Any]) -> list[str]:
    """Fields as `name=value`; values with blanks or signs in them are quoted as JSON texts."""
    return [f"{escape(name)}={_value(value)}" for name, value in fields.items()]


def escape(text: str) -> str:
    """The text with control characters spelled out, so that it stays on its line."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return json.dumps(_finite(value), default=str)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if _PLAIN_VALUE.fullmatch(text) and not _CONTROL.search(text) else json.dumps(text)


def _finite(value: Any) -> Any:
    """NaN and the infinities, which JSON does not have, as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value
