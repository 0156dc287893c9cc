"""Stop strings in a text that comes in parts."""

from __future__ import annotations


class StopMatcher:
    """Finds the first stop string, and holds back only what could still become one.

    The first is the one that is complete first, as if the text came letter by letter; of several that
    are complete at the same letter, the longest. So the outcome does not depend on how the text is cut.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._beginnings = frozenset(stop[:end] for stop in self._stops for end in range(1, len(stop)))
        self._longest = max((len(stop) for stop in self._stops), default=1) - 1
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> tuple[str, str | None]:
        """(text that may be delivered now, the stop string that matched or None). After a match nothing
        more is delivered."""
        if self.matched is not None:
            return "", self.matched
        window = self._held + text
        found = self._first(window)
        if found is not None:
            self._held, self.matched = "", found[1]
            return window[: found[0]], found[1]
        kept = self._possible_beginning(window)
        self._held = window[len(window) - kept :]
        return window[: len(window) - kept], None

    def flush(self) -> str:
        """The end of the text: what was held back and became no stop string."""
        held, self._held = self._held, ""
        return held

    def _first(self, window: str) -> tuple[int, str] | None:
        places = ((window.find(stop), stop) for stop in self._stops)
        found = [(place + len(stop), place, stop) for place, stop in places if place >= 0]
        return min(found)[1:] if found else None

    def _possible_beginning(self, window: str) -> int:
        """The length of the longest end of the window that begins a stop string."""
        for length in range(min(self._longest, len(window)), 0, -1):
            if window[len(window) - length :] in self._beginnings:
                return length
        return 0
