"""Exponential back-off with jitter, for many keys in bounded room."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from swarmnode.protocols.pool.limits import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, MAX_BACKOFFS
from swarmnode.values.errors import SwarmnodeError

Key = TypeVar("Key", bound=Hashable)
#: 2 ** 20 seconds is longer than any back-off: no need to compute higher powers.
MAX_EXPONENT = 20


class Rng(Protocol):
    """Chance, as `random.Random`."""

    def random(self) -> float:
        """Uniform in [0, 1)."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """failures: in a row. until: when it may be tried again. error: of the last one."""

    failures: int
    until: float
    error: SwarmnodeError


class BackOffs(Generic[Key]):
    """Failures by key. A failure that is long past is forgotten; where there are too many, the oldest are."""

    def __init__(self, rng: Rng, limit: int = MAX_BACKOFFS) -> None:
        self._rng, self._limit = rng, limit
        self._entries: dict[Key, BackOff] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: float) -> BackOff | None:
        """What is remembered; its `until` may be past."""
        entry = self._entries.get(key)
        if entry is not None and now > entry.until + LONGEST_BACKOFF_SECONDS:
            del self._entries[key]
            return None
        return entry

    def waits(self, key: Key, now: float) -> bool:
        """Whether it is too early to try again."""
        entry = self.get(key, now)
        return entry is not None and now < entry.until

    def fail(self, key: Key, error: SwarmnodeError, now: float, first: float = FIRST_BACKOFF_SECONDS) -> None:
        """One more failure: twice as long as the last time, from `first` seconds on; a quarter more or less,
        so that those who failed together do not come back together."""
        past = self.get(key, now)
        failures = 1 if past is None else past.failures + 1
        delay = first * 2 ** min(failures - 1, MAX_EXPONENT) * (0.75 + self._rng.random() / 2)
        # Put last: the order of the table is that of the failures.
        self._entries.pop(key, None)
        self._entries[key] = BackOff(failures, now + min(delay, LONGEST_BACKOFF_SECONDS), error)
        if len(self._entries) > self._limit:
            del self._entries[next(iter(self._entries))]

    def forgive(self, key: Key) -> None:
        """It worked."""
        self._entries.pop(key, None)
