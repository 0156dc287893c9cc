"""What workers print, as lines of the node's log."""

from __future__ import annotations

from collections.abc import Callable

#: Longer lines are cut; the rest of such a line is dropped.
MAX_LINE = 2000


class LineCutter:
    """Bytes in any portions become lines of at most `MAX_LINE` bytes."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._kept = b""
        self._dropping = False

    def feed(self, data: bytes) -> None:
        """Take what was printed; call `line` for each line that is complete, or as long as allowed."""
        *lines, rest = (self._kept + data).split(b"\n")
        for line in lines:
            self._say(line)
            self._dropping = False
        self._kept = rest
        if len(rest) > MAX_LINE:
            self._say(rest)
            self._kept, self._dropping = b"", True

    def close(self) -> None:
        """Say what is left."""
        self._say(self._kept)
        self._kept = b""

    def _say(self, line: bytes) -> None:
        if line.strip() and not self._dropping:
            self._line(line[:MAX_LINE].decode("utf-8", "replace").rstrip())
