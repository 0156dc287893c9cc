"""Keeping strangers from filling the log: what peers can cause again and again is told a number of times, and
then only as often as somebody can read it."""

from __future__ import annotations

#: Loggers whose lines peers cause.
OF_PEERS = frozenset(
    ("broadcast", "discovery", "hello", "invite", "mdns", "network", "peer_talk", "swarm", "tcp")
)
#: Lines of one kind at once, and one more in so many seconds.
BURST = 30
SECONDS_A_LINE = 2.0
#: Kinds that are counted apart; peers can make up codes.
MAX_KINDS = 512


class Repetition:
    """Counts lines by kind, in the manner of a token bucket."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], list[float]] = {}

    def untold(self, logger: str, event: str, code: str, now: float) -> int | None:
        """How many lines of this kind were left out since the last one, or None to leave this one out too.
        code: of the error that is told, so that many of one hide none of another. now: monotonic seconds."""
        key = (logger, event, code)
        if key not in self._kinds and len(self._kinds) >= MAX_KINDS:
            key = ("", "", "")
        kind = self._kinds.setdefault(key, [float(BURST), now, 0.0])
        kind[0] = min(float(BURST), kind[0] + (now - kind[1]) / SECONDS_A_LINE)
        kind[1] = now
        if kind[0] < 1:
            kind[2] += 1
            return None
        kind[0] -= 1
        left_out, kind[2] = int(kind[2]), 0.0
        return left_out
