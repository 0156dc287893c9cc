"""Keys and values kept between the turns of a conversation, by the caller's `session_id`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from swarmnode.inference.stage.seam import Stage

MAX_KEPT = 16
#: Seconds that a session is kept for its next turn.
KEPT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A stage session and the tokens whose keys and values it holds."""

    session: int
    tokens: tuple[int, ...]
    since: float


class KeptSessions:
    """At most `MAX_KEPT` sessions, the oldest given up first. Not thread-safe."""

    def __init__(self, stage: Stage, *, limit: int = MAX_KEPT, seconds: float = KEPT_SECONDS) -> None:
        self._stage, self._limit, self._seconds = stage, limit, seconds
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, name: str, prompt: Sequence[int]) -> tuple[int, int] | None:
        """The session of that name, cut back to what it shares with the prompt: (stage session, tokens
        that need not be computed again). The last token of a prompt always is. None if there is none."""
        kept = self._kept.pop(name, None)
        if kept is None:
            return None
        shared = common_length(kept.tokens, prompt[:-1])
        self._stage.truncate(kept.session, shared)
        return kept.session, shared

    def keep(self, name: str, session: int, tokens: Sequence[int], now: float) -> None:
        """Keep a session for the next turn, in no more room than it fills; an older one of the same name is
        given up."""
        if name in self._kept:
            self._stage.close(self._kept.pop(name).session)
        self._stage.fit(session)
        self._kept[name] = Kept(session, tuple(tokens), now)
        if len(self._kept) > self._limit:
            self.give_up_oldest()

    def give_up_oldest(self) -> bool:
        """Free the session that has waited longest; whether there was one."""
        if not self._kept:
            return False
        _name, kept = self._kept.popitem(last=False)
        self._stage.close(kept.session)
        return True

    def expire(self, now: float) -> None:
        """Free what has waited too long."""
        while self._kept and now - next(iter(self._kept.values())).since >= self._seconds:
            self.give_up_oldest()

    def close(self) -> None:
        """Free everything."""
        while self.give_up_oldest():
            pass


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    length = min(len(one), len(other))
    for index in range(length):
        if one[index] != other[index]:
            return index
    return length
