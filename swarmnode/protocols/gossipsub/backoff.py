"""Who must not be grafted again yet (gossipsub v1.1, PRUNE Backoff)."""

from __future__ import annotations

from swarmnode.protocols.gossipsub.parameters import MAX_BACKOFFS


class Backoffs:
    """Until when, by topic and peer. It outlasts connections, so that coming back is no way around."""

    def __init__(self, limit: int = MAX_BACKOFFS) -> None:
        self._limit = limit
        self._until: dict[tuple[str, str], float] = {}

    def add(self, topic: str, peer: str, until: float) -> None:
        """Wait at least so long."""
        key = (topic, peer)
        if until > self._until.get(key, float("-inf")):
            self._until.pop(key, None)
            self._until[key] = until
        while len(self._until) > self._limit:
            del self._until[next(iter(self._until))]

    def until(self, topic: str, peer: str) -> float:
        """When it is over; minus infinity when there is none."""
        return self._until.get((topic, peer), float("-inf"))

    def expire(self, now: float) -> None:
        """Drop those that are over."""
        for key in [k for k, until in self._until.items() if until <= now]:
            del self._until[key]

    def __len__(self) -> int:
        return len(self._until)
