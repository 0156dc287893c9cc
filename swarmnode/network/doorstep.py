"""How many strangers may stand at the door: inbound connections that have proven nothing yet."""

from __future__ import annotations

import ipaddress

#: In all, and from one IP address. Each has 10 s for its handshake.
MAX_UNSECURED = 64
MAX_UNSECURED_PER_IP = 8


class Doorstep:
    """Counts them. This machine's own programs are counted together with all others only."""

    def __init__(self) -> None:
        self._by_ip: dict[str, int] = {}
        self._all = 0

    def __len__(self) -> int:
        return self._all

    def enter(self, ip: str) -> bool:
        """One more, if there is room."""
        there = self._by_ip.get(ip, 0)
        if self._all >= MAX_UNSECURED or (there >= MAX_UNSECURED_PER_IP and not _is_loopback(ip)):
            return False
        self._by_ip[ip] = there + 1
        self._all += 1
        return True

    def leave(self, ip: str) -> None:
        """It is secured, or gone."""
        self._all -= 1
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback
