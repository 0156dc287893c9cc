"""How much of something cheap to send and not free to receive a peer may send: a token bucket."""

from __future__ import annotations

from swarmnode.values.errors import PeerFault


class Allowance:
    """`burst` at once, `rate` a second on average. name: what is counted, for the error; code: its code."""

    __slots__ = ("_burst", "_code", "_left", "_name", "_rate", "_since")

    def __init__(self, burst: float, rate: float, name: str, code: str) -> None:
        self._burst, self._rate, self._name, self._code = burst, rate, name, code
        self._left = burst
        self._since: float | None = None

    def spend(self, now: float) -> None:
        """Count one. Raises `PeerFault` when there are too many."""
        if self._since is not None:
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 1:
            raise PeerFault(
                f"The peer sends too many {self._name} (more than {self._burst:g} at once and "
                f"{self._rate:g} a second)",
                code=self._code,
                hint="It is broken or means harm; it is left alone for a while.",
            )
        self._left -= 1
