"""One line a request: what it was and where its time went. What was not measured is left out."""

from __future__ import annotations

from typing import Any

import structlog

from swarmnode.observability.rendering import render_fields

#: The names on the line, in their order. Times in milliseconds.
SUMMARY_NAMES = (
    "route",
    "model",
    "queue_ms",
    "ttft_ms",
    "decode_ms",
    "total_ms",
    "prompt_tokens",
    "tokens",
    "tok_per_sec",
    "outcome",
    "error_type",
    "request_id",
)
_DIGITS = {"queue_ms": 1, "ttft_ms": 1, "decode_ms": 1, "total_ms": 1, "tok_per_sec": 2}


class RequestLog:
    """Writes the line when a request is over (an observer of the response core)."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("swarmnode.requests")

    def request_finished(self, summary: Any) -> None:
        """summary: an object with the attributes `SUMMARY_NAMES`; None or absent is "not measured"."""
        self._log.info("request", **summary_fields(summary))

    def requests_changed(self, running: int, waiting: int) -> None:
        """How many run and wait is for the metrics; the log shows it at -vv."""
        self._log.debug("DIAG: requests", running=running, waiting=waiting)


def summary_fields(summary: Any) -> dict[str, Any]:
    """The measured fields of a summary, rounded, in the order of the line."""
    found = ((name, getattr(summary, name, None)) for name in SUMMARY_NAMES)
    return {
        name: round(value, _DIGITS[name]) if name in _DIGITS else value
        for name, value in found
        if value is not None
    }


def summary_line(summary: Any) -> str:
    """The line's text without time and level: `request route=local model=... outcome=ok`."""
    return " ".join(["request", *render_fields(summary_fields(summary))])
