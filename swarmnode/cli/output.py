"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, TextIO


def print_json(data: Any) -> None:
    """Exactly one line of JSON on standard output."""
    print(json.dumps(data, ensure_ascii=False, default=str))


def say(text: str) -> None:
    """A line for the user, on standard error."""
    print(text, file=sys.stderr, flush=True)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns; the last column is not padded."""
    if not rows:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: Any) -> str:
    """Seconds as people say them, `2 h 5 min`; empty for what is no number."""
    if not isinstance(seconds, int | float):
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


#: SGR codes (ECMA-48, 8.3.117).
_COLOURS = {"green": "32", "yellow": "33", "red": "31", "bold": "1", "dim": "2"}


def shows_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose user wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, where the stream shows colours."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if shows_colours(stream) else text


class Progress:
    """Counts steps on standard error: redrawn in place on a terminal, a line a step elsewhere."""

    BAR_CELLS = 24

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self.label, self.total, self.done = label, total, 0
        self.stream = stream or sys.stderr
        self.in_place = self.stream.isatty()
        self._lock = threading.Lock()

    def step(self, count: int = 1) -> None:
        """So many more are done. Any thread may say so."""
        with self._lock:
            self.done += count
            self._draw()

    def _draw(self) -> None:
        filled = self.BAR_CELLS * self.done // self.total
        if self.in_place:
            bar = "#" * filled + "." * (self.BAR_CELLS - filled)
            end = "\n" if self.done == self.total else ""
            self.stream.write(f"\r{self.label} [{bar}] {self.done}/{self.total}{end}")
        else:
            self.stream.write(f"{self.label} {self.done}/{self.total}\n")
        self.stream.flush()
