"""Which messages were seen, who brought them, and what became of them: for two minutes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from swarmnode.protocols.gossipsub.parameters import MAX_SEEN, SEEN_SECONDS


class Fate(Enum):
    """What became of a message."""

    VALID = "valid"
    IGNORED = "ignored"
    INVALID = "invalid"


@dataclass(slots=True)
class Sighting:
    """at: when it was first seen. peers: who brought it already; nobody is credited or blamed twice."""

    at: float
    fate: Fate
    peers: dict[str, None] = field(default_factory=dict)


class Seen:
    """A bounded memory of message ids; when it is full the oldest go before their time."""

    def __init__(self, limit: int = MAX_SEEN, seconds: float = SEEN_SECONDS) -> None:
        self._limit, self._seconds = limit, seconds
        self._sightings: dict[bytes, Sighting] = {}

    def add(self, message_id: bytes, fate: Fate, now: float) -> Sighting:
        """Note a message that was not there."""
        self.expire(now)
        if len(self._sightings) >= self._limit:
            del self._sightings[next(iter(self._sightings))]
        sighting = self._sightings[message_id] = Sighting(now, fate)
        return sighting

    def get(self, message_id: bytes, now: float) -> Sighting | None:
        """What is known of a message; None when it was not seen lately."""
        sighting = self._sightings.get(message_id)
        return sighting if sighting is not None and now - sighting.at < self._seconds else None

    def expire(self, now: float) -> None:
        """Drop what is old; the oldest come first."""
        while self._sightings:
            first = next(iter(self._sightings))
            if now - self._sightings[first].at < self._seconds:
                break
            del self._sightings[first]

    def __len__(self) -> int:
        return len(self._sightings)
