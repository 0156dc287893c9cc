"""How often somebody may say something."""

from __future__ import annotations

from collections import OrderedDict, deque

MAX_SPEAKERS = 4096
WINDOW_SECONDS = 60.0


class Budget:
    """So many times a minute for each speaker, of a bounded number of speakers: whoever was silent longest is
    forgotten first, and has a full budget again."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._said: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, speaker: str, now: float) -> bool:
        """Whether it may; if so, it has."""
        times = self._said.setdefault(speaker, deque(maxlen=self._times))
        self._said.move_to_end(speaker)
        if len(self._said) > MAX_SPEAKERS:
            self._said.popitem(last=False)
        if len(times) == self._times and now - times[0] < WINDOW_SECONDS:
            return False
        times.append(now)
        return True
