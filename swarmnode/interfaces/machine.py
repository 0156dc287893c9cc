"""The shape of a core (DESIGN 4): events in, effects out, no clock of its own."""

from __future__ import annotations

from typing import Any, Protocol


class Machine(Protocol):
    """A deterministic protocol machine. `now` is monotonic seconds, given by whoever runs it."""

    @property
    def deadline(self) -> float | None:
        """When `handle(None, now)` wants to be called at the latest; None for never."""

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """Take one event (None: the deadline has passed) and return effects in their order."""
