"""Windows against replays, as in RFC 6479: a number is taken once, in whatever order numbers come, as long as
it is not far behind the highest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum

#: How far behind the highest number one may come.
WINDOW = 128
#: Windows kept at once, by default; the one unused longest goes first.
MAX_WINDOWS = 16384


class Seen(Enum):
    """What is known of a number."""

    NEW = "new"
    AGAIN = "again"
    #: Too far behind to be known.
    BEHIND = "behind"


class ReplayWindow:
    """Which numbers were taken, of the last `WINDOW` before the highest."""

    __slots__ = ("_bits", "_highest")

    def __init__(self) -> None:
        self._highest = -1
        self._bits = 0

    def look(self, number: int) -> Seen:
        """What is known of the number. Changes nothing."""
        behind = self._highest - number
        if behind < 0:
            return Seen.NEW
        if behind >= WINDOW:
            return Seen.BEHIND
        return Seen.AGAIN if self._bits >> behind & 1 else Seen.NEW

    def take(self, number: int) -> Seen:
        """The same, and from now on the number is taken. Only for what has proven genuine."""
        seen = self.look(number)
        if seen is Seen.NEW:
            ahead = number - self._highest
            if ahead > 0:
                self._bits = (self._bits << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
                self._highest = number
            else:
                self._bits |= 1 << -ahead
        return seen


class ReplayTable:
    """A window for each key, of a bounded number of keys. Whoever is forgotten could be replayed, so what is
    windowed needs a stamp or a session key that grows old as well."""

    def __init__(self, limit: int = MAX_WINDOWS) -> None:
        self._limit = limit
        self._windows: OrderedDict[Hashable, ReplayWindow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def look(self, key: Hashable, number: int) -> Seen:
        """As `ReplayWindow.look`."""
        window = self._windows.get(key)
        return Seen.NEW if window is None else window.look(number)

    def take(self, key: Hashable, number: int) -> Seen:
        """As `ReplayWindow.take`."""
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = ReplayWindow()
            if len(self._windows) > self._limit:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        return window.take(number)
