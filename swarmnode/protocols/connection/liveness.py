"""Whether the peer is still there, and how far away: pings when it says nothing, and now and then when it
does. Time is monotonic seconds."""

from __future__ import annotations

from enum import Enum

#: Silence after which the peer is asked for a sign of life.
SILENCE_BEFORE_PING = 3.0
#: The side that dialled asks a little sooner: its question is a sign of life too, and so the other side need
#: not ask as well, which would be half of what an idle connection costs.
DIALLER_SILENCE = 2.75
#: How long the answer may take before the peer counts as quiet, and how often that is said.
PATIENCE, REPEAT = 1.5, 1.0
#: Silence after which the connection is given up.
SILENCE_LIMIT = 10.0
#: How often the round trip is measured on a connection that is busy.
MEASURE_EVERY = 30.0


class Finding(Enum):
    """What a look at the clock shows."""

    FINE = 0
    PING = 1  # ask for a sign of life now
    QUIET = 2  # it was asked, and says nothing
    DEAD = 3


class Liveness:
    """`look` when `deadline` has passed. `heard` is called for all that comes, and so only takes the time:
    the deadline may then be too early, which costs one look in three seconds."""

    __slots__ = ("_asked", "_heard", "_measured", "_silence", "deadline")

    def __init__(self, now: float, *, dialled: bool = False) -> None:
        self._heard = now
        self._silence = DIALLER_SILENCE if dialled else SILENCE_BEFORE_PING
        self._measured = now - MEASURE_EVERY  # the first ping goes at once
        self._asked: float | None = None  # since when a ping is unanswered
        self.deadline = now

    def heard(self, now: float) -> None:
        """Something came from the peer."""
        self._heard = now

    def silence(self, now: float) -> float:
        """Seconds since the peer was heard."""
        return now - self._heard

    def answered(self, now: float) -> float | None:
        """The ping is answered: the round trip, seconds."""
        if self._asked is None:
            return None
        rtt, self._asked = max(0.0, now - self._asked), None
        return rtt

    def look(self, now: float) -> Finding:
        """What to do now. Sets the next deadline, which is later than now."""
        dead, measure = self._heard + SILENCE_LIMIT, self._measured + MEASURE_EVERY
        if now >= dead:
            return Finding.DEAD
        if self._asked is None:
            ask = min(self._heard + self._silence, measure)
            if now < ask:
                self.deadline = ask
                return Finding.FINE
            return self._ask(now, dead)
        quiet = max(self._asked, self._heard + self._silence) + PATIENCE
        if now >= quiet:
            self.deadline = min(now + REPEAT, dead)
            return Finding.QUIET
        if now >= measure:  # it talks, but does not answer pings: once more
            return self._ask(now, dead)
        self.deadline = min(quiet, measure)
        return Finding.FINE

    def _ask(self, now: float, dead: float) -> Finding:
        self._asked = self._measured = now
        self.deadline = min(now + PATIENCE, dead)
        return Finding.PING
