"""Which addresses are worth telling, and which are worth dialling.

Ranges: RFC 1918 and RFC 4193 (private), RFC 6598 (shared space, which VPN meshes use as well), RFC 3927 and
RFC 4291 (link-local, loopback), RFC 5771 (multicast), RFC 6890 (the other special ones).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from swarmnode.values.multiaddr import Multiaddr

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: How many of one peer's addresses are worth keeping or telling.
MAX_ADDRESSES = 32
#: A peer that holds a whole one of these can have any number of addresses in it.
SUBNET_BITS_V4, SUBNET_BITS_V6 = 24, 48


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
#: Tailscale and its like give their nodes addresses here; its IPv6 range is a private one.
_OVERLAY = _networks("100.64.0.0/10", "fd7a:115c:a1e0::/48")
_NOWHERE = _networks("0.0.0.0/8", "240.0.0.0/4", "100::/64")

#: The same addresses come again and again; what they mean never changes.
_REMEMBERED = 4096
#: Names that say all by themselves.
_PORTLESS = ("dnsaddr", "memory")


@lru_cache(_REMEMBERED)
def ip_of(address: Multiaddr) -> IP | None:
    """The IP address it begins with, an IPv4 address written as IPv6 as what it is; None for names."""
    ip = address.ip
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


@lru_cache(_REMEMBERED)
def is_loopback(address: Multiaddr) -> bool:
    """This machine itself."""
    return _ip_is(address, lambda ip: ip.is_loopback)


@lru_cache(_REMEMBERED)
def is_link_local(address: Multiaddr) -> bool:
    """Only on one cable: 169.254/16, fe80::/10."""
    return _ip_is(address, lambda ip: ip.is_link_local)


def is_private(address: Multiaddr) -> bool:
    """Only in one house: RFC 1918, and unique local IPv6 addresses."""
    return _ip_is(address, lambda ip: _within(ip, _PRIVATE) and not _within(ip, _OVERLAY))


def is_overlay(address: Multiaddr) -> bool:
    """Most likely a VPN mesh: 100.64/10."""
    return _ip_is(address, lambda ip: _within(ip, _OVERLAY))


def is_public(address: Multiaddr) -> bool:
    """Reachable from everywhere, as far as the address tells."""
    return _ip_is(address, _is_public)


@lru_cache(_REMEMBERED)
def is_dialable(address: Multiaddr) -> bool:
    """Whether a connection to it can come about at all: a host and a port, no group and no wildcard."""
    if address.parts[0][0] in _PORTLESS:
        return True
    if address.host is None or not address.port:
        return False
    ip = ip_of(address)
    return ip is None or not (ip.is_unspecified or ip.is_multicast or _within(ip, _NOWHERE))


@lru_cache(_REMEMBERED)
def subnet(address: Multiaddr) -> str | None:
    """The network that its owner is counted by: /24 for IPv4, /48 for IPv6; None for names."""
    ip = ip_of(address)
    if ip is None:
        return None
    bits = SUBNET_BITS_V4 if ip.version == 4 else SUBNET_BITS_V6
    return str(ipaddress.ip_network((ip, bits), strict=False))


def usable_addresses(addresses: Iterable[Multiaddr]) -> tuple[Multiaddr, ...]:
    """What others may dial, once each and without `/p2p`, the likeliest first: the public ones, names, the
    house's, VPNs', one cable's, and loopback last. At most `MAX_ADDRESSES`."""
    unique = dict.fromkeys(address.without_peer() for address in addresses if is_dialable(address))
    return tuple(sorted(unique, key=_rank)[:MAX_ADDRESSES])


def for_peer(ours: Sequence[Multiaddr], theirs: Iterable[Multiaddr]) -> tuple[Multiaddr, ...]:
    """Which of the addresses that a peer claims a node with the addresses `ours` should dial, in order: those
    in a network of ours first. Left out is what cannot be dialled, what is our own, and what means this
    machine, or a cable, to a node that is not on it."""
    place = _place(tuple(ours))
    usable = [address for address in usable_addresses(theirs) if _is_worth(address, place)]
    return tuple(sorted(usable, key=lambda address: subnet(address) not in place.subnets))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node is, by its own addresses."""

    places: frozenset[tuple[object, ...]]
    doors: frozenset[tuple[object, ...]]
    subnets: frozenset[str | None]
    beside: bool
    cabled: bool


@lru_cache(_REMEMBERED)
def _place(ours: tuple[Multiaddr, ...]) -> _Place:
    return _Place(
        places=frozenset((ip_of(address), *_door(address)) for address in ours),
        doors=frozenset(map(_door, ours)),
        subnets=frozenset(subnet(address) for address in ours if not is_loopback(address)) - {None},
        beside=any(map(is_loopback, ours)),
        cabled=any(map(is_link_local, ours)),
    )


def _is_worth(address: Multiaddr, place: _Place) -> bool:
    if address.ip is not None and (ip_of(address), *_door(address)) in place.places:
        return False
    if is_loopback(address):
        return place.beside and _door(address) not in place.doors
    return place.cabled or not is_link_local(address)


@lru_cache(_REMEMBERED)
def _door(address: Multiaddr) -> tuple[tuple[str, ...], int | None]:
    return address.transport[1:], address.port


@lru_cache(_REMEMBERED)
def _rank(address: Multiaddr) -> int:
    tests: list[Callable[[Multiaddr], bool]] = [is_public, lambda a: a.ip is None, is_private, is_overlay]
    tests += is_link_local, is_loopback
    return next((place for place, test in enumerate(tests) if test(address)), len(tests))


def _is_public(ip: IP) -> bool:
    special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified
    return not special and not _within(ip, (*_PRIVATE, *_OVERLAY, *_NOWHERE))


def _within(ip: IP, networks: tuple[Network, ...]) -> bool:
    return any(ip in network for network in networks if network.version == ip.version)


def _ip_is(address: Multiaddr, test: Callable[[IP], bool]) -> bool:
    ip = ip_of(address)
    return ip is not None and test(ip)
