"""How many strangers may stand at the door: inbound connections that have proven nothing yet.

Who says nothing gives way to who comes later: a handshake is done in a few round trips, so whoever stands
there for longer is slow, or means to keep others out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

#: In all, and from one address (IPv6: one /64, of which anybody has as many addresses as they like). Each has
#: 10 s for its handshake.
MAX_UNSECURED = 64
MAX_UNSECURED_PER_IP = 8
#: Who has stood there for less gives way to nobody, seconds: three round trips around the world.
UNDISTURBED_SECONDS = 1.0
#: Failures of one kind are told once in so many seconds, and kinds that are told apart.
TELL_SECONDS = 60.0
MAX_KINDS = 32


@dataclass(slots=True)
class _Stranger:
    place: str
    since: float
    send_away: Callable[[], None]


class Doorstep:
    """Counts them. This machine's own programs are counted together with all others only. seconds: monotonic
    time."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._strangers: dict[int, _Stranger] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._strangers)

    def has_room(self, ip: str) -> bool:
        """Whether one more may come from there; whoever stood there for too long is sent away for it."""
        place = _place(ip)
        standing = list(self._strangers.values())
        of_place = [one for one in standing if one.place == place]
        if len(of_place) >= MAX_UNSECURED_PER_IP and not _is_loopback(ip):
            return self._make_room(of_place)
        if len(standing) >= MAX_UNSECURED:
            counts: dict[str, int] = {}
            for one in standing:
                counts[one.place] = counts.get(one.place, 0) + 1
            crowd = max(counts, key=lambda there: counts[there])
            return self._make_room([one for one in standing if one.place == crowd])
        return True

    def enter(self, ip: str, send_away: Callable[[], None]) -> int:
        """Somebody came, for whom there was room; the number to `leave` with. send_away: ends it."""
        self._last += 1
        self._strangers[self._last] = _Stranger(_place(ip), self._seconds(), send_away)
        return self._last

    def leave(self, number: int) -> None:
        """It is secured, or gone."""
        self._strangers.pop(number, None)

    def _make_room(self, crowd: list[_Stranger]) -> bool:
        oldest = crowd[0]
        if self._seconds() - oldest.since < UNDISTURBED_SECONDS:
            return False
        oldest.send_away()
        return True


class Tally:
    """Failures of strangers, worth a line each only now and then."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._kinds: dict[str, tuple[float, int]] = {}
        self._totals: dict[str, int] = {}

    def totals(self) -> dict[str, int]:
        """How many of each kind there were; those too many to tell apart under `other`."""
        return {kind or "other": count for kind, count in self._totals.items()}

    def count(self, kind: str) -> int | None:
        """One more of a kind. How many there were since it was last told, if it is to be told now."""
        now = self._seconds()
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = ""
        self._totals[kind] = self._totals.get(kind, 0) + 1
        told, untold = self._kinds.get(kind, (now - TELL_SECONDS, 0))
        if now - told < TELL_SECONDS:
            self._kinds[kind] = (told, untold + 1)
            return None
        self._kinds[kind] = (now, 0)
        return untold + 1


def _place(ip: str) -> str:
    address = ipaddress.ip_address(ip)
    return ip if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback
