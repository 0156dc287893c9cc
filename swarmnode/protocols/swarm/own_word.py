"""What this node says of itself in its swarm, and when it says it anew."""

from __future__ import annotations

from swarmnode.protocols.swarm.member_claims import MAX_SEQUENCE
from swarmnode.protocols.swarm.membership_vocabulary import About, PublishClaim

#: Changes within this time are told at once, together.
DEBOUNCE_SECONDS = 1.0
#: Seconds after the first connection in which gossip finds its ways; what was said before reached nobody.
MEETING_SECONDS = 2.0
#: When somebody comes back whom we believed dead, we may be believed dead too; so often it is answered to.
REBIRTH_SECONDS = 15.0


class OwnWord:
    """sequence: of the first word: milliseconds of Unix time, so that a restart is newer than what was."""

    def __init__(self, sequence: int) -> None:
        self._next = sequence
        self._about: About | None = None
        self._last = float("-inf")
        self._met = float("-inf")
        self._left = False
        self.due: float | None = None

    def change(self, about: About, now: float) -> None:
        """Say this from now on."""
        if about != self._about and not self._left:
            self._about = about
            self._say(now)

    def answer(self, sequence: int, now: float) -> None:
        """Somebody doubts, or believes over, what we said up to `sequence`: say something newer."""
        if self._about is not None and not self._left and sequence >= self._next - 1:
            self._next = min(max(self._next, sequence + 1), MAX_SEQUENCE)
            self._say(now)

    def met(self, now: float) -> None:
        """We were alone, and are not any more."""
        if self._about is not None and not self._left and now - self._met >= REBIRTH_SECONDS:
            self._met = now
            self._say(now + MEETING_SECONDS)

    def reborn(self, now: float) -> None:
        """Somebody lives whom we believed dead: it may be so the other way round."""
        if self._about is not None and not self._left and now - self._last >= REBIRTH_SECONDS:
            self._say(now)

    def tick(self, now: float) -> list[PublishClaim]:
        """What is due."""
        if self.due is None or now < self.due or self._about is None:
            return []
        return [self._claim(self._about, now)]

    def leave(self, now: float) -> list[PublishClaim]:
        """The last word."""
        if self._about is None or self._left:
            return []
        self._left = True
        return [self._claim(About(), now, left=True)]

    def _say(self, now: float) -> None:
        due = max(now, self._last + DEBOUNCE_SECONDS)
        self.due = due if self.due is None else min(self.due, due)

    def _claim(self, about: About, now: float, *, left: bool = False) -> PublishClaim:
        self.due, self._last = None, now
        sequence = self._next
        self._next = min(self._next + 1, MAX_SEQUENCE)
        return PublishClaim(sequence, about, left)
