"""The addresses of this machine, the ones others most likely reach first."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import ifaddr

from swarmnode.policy.addresses import is_loopback, is_overlay, is_private
from swarmnode.values.multiaddr import tcp_address

#: More than any machine needs; what is over is left out.
MAX_ADDRESSES = 32


def machine_addresses() -> tuple[str, ...]:
    """IP addresses of the interfaces that are up: the local network's, VPNs', public ones; loopback at the
    end."""
    found = [
        str(ip.ip[0] if isinstance(ip.ip, tuple) else ip.ip)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]
    return in_order(found)


def in_order(found: Iterable[str]) -> tuple[str, ...]:
    """Each once, the local network's first, then VPNs' (100.64/10, fd..), then public ones, loopback last.
    Link-local IPv6 addresses mean nothing to others without the name of an interface: they are left out."""
    unique = dict.fromkeys(text.partition("%")[0] for text in found)
    usable = [text for text in unique if _means_something(text)]
    return tuple(sorted(usable, key=_rank)[:MAX_ADDRESSES])


def _means_something(text: str) -> bool:
    ip = ipaddress.ip_address(text)
    return not (ip.is_unspecified or ip.is_multicast or (ip.version == 6 and ip.is_link_local))


def _rank(text: str) -> tuple[int, int]:
    address, ip = tcp_address(text, 1), ipaddress.ip_address(text)
    if is_loopback(address):
        place = 4
    elif ip.is_link_local:
        place = 3
    elif is_private(address) and ip.version == 4:
        place = 0
    elif is_overlay(address) or is_private(address):
        place = 1
    else:
        place = 2
    return place, ip.version
