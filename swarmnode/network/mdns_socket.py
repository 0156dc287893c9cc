"""The sockets of multicast DNS: UDP 5353, on every interface, shared with whoever else listens there.

One IPv4 socket, and one IPv6 socket where the system has IPv6. What cannot be had is told in words, and the
node goes on with the rest, or without.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ifaddr
from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

PORT = 5353
GROUP_V4, GROUP_V6 = "224.0.0.251", "ff02::fb"
#: Multicast DNS stays on the link; this is how receivers may tell (RFC 6762 section 11).
TTL = 255
MAX_INTERFACES = 64
MAX_DATAGRAM_BYTES = 9000

IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class LinkInterface:
    """A network interface. addresses: its own, each with its network."""

    name: str
    index: int
    addresses: tuple[IPInterface, ...]

    @property
    def ipv4(self) -> str | None:
        """Its first IPv4 address: the one to join a group with."""
        return next((str(a.ip) for a in self.addresses if isinstance(a, ipaddress.IPv4Interface)), None)

    @property
    def has_ipv6(self) -> bool:
        """Whether it has an IPv6 address."""
        return any(isinstance(a, ipaddress.IPv6Interface) for a in self.addresses)

    @property
    def is_loopback(self) -> bool:
        """Whether it only leads back."""
        return all(address.ip.is_loopback for address in self.addresses)


def link_interfaces() -> tuple[LinkInterface, ...]:
    """The machine's interfaces that have addresses; loopback only where there is nothing else."""
    found = _all_interfaces()
    return tuple(interface for interface in found if not interface.is_loopback) or found


def interfaces_with(
    listen: str, look: Callable[[], Sequence[LinkInterface]] | None = None
) -> tuple[LinkInterface, ...]:
    """Where a node that listens at this address (`network.listen_address`) has something to announce: the
    interface that has the address and the family that it is of, or all for `0.0.0.0` and `::`."""
    ip = ipaddress.ip_address(listen)
    if ip.is_unspecified:
        return link_interfaces() if look is None else tuple(look())
    narrowed = [
        replace(
            one,
            addresses=tuple(a for a in one.addresses if a.ip == ip or (ip.is_loopback and ip in a.network)),
        )
        for one in (_all_interfaces() if look is None else look())
    ]
    return tuple(one for one in narrowed if one.addresses)


def versions_at(listen: str) -> tuple[int, ...]:
    """The IP versions that such a node speaks."""
    ip = ipaddress.ip_address(listen)
    return (4, 6) if ip.is_unspecified else (ip.version,)


def is_on_link(source: str, interfaces: Sequence[LinkInterface]) -> bool:
    """Whether an address is in a network of this machine: others have no business with multicast DNS
    (RFC 6762 section 11)."""
    try:
        ip = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return False
    near = ip.is_link_local or ip.is_loopback
    return near or any(ip in address.network for one in interfaces for address in one.addresses)


class MulticastSocket:
    """reactor: `IReactorMulticast` and `IReactorSocket`. interfaces(): where to be. port: other than 5353 in
    tests only. versions: of IP."""

    def __init__(
        self,
        reactor: Any,
        log: Any,
        interfaces: Callable[[], Sequence[LinkInterface]] = link_interfaces,
        port: int = PORT,
        versions: Sequence[int] = (4, 6),
    ) -> None:
        self._versions = versions
        self._reactor, self._log, self._look, self._port = reactor, log, interfaces, port
        self._interfaces: tuple[LinkInterface, ...] = ()
        self._v4: Any = None
        self._v6: Any = None
        self._joined: set[tuple[int, str]] = set()
        self._silent = False

    def start(self, received: Callable[[bytes], None]) -> bool:
        """Listen; `received(packet)` is called with every packet from the link. False: nothing can be
        listened on, and why is in the log."""
        if 4 in self._versions:
            self._v4 = self._listen(lambda: self._listen_v4(received))
        if 6 in self._versions and socket.has_ipv6:
            self._v6 = self._listen(lambda: self._listen_v6(received), quiet=True)
        self.refresh()
        return self._v4 is not None or self._v6 is not None

    def refresh(self) -> None:
        """Be on the interfaces there are now."""
        try:
            self._interfaces = tuple(self._look())
        except OSError as error:
            self._log.debug("the network interfaces cannot be listed", reason=str(error))
            return
        for interface in self._interfaces:
            if self._v4 is not None and interface.ipv4 is not None:
                self._join(4, interface.ipv4, socket.inet_aton(GROUP_V4) + socket.inet_aton(interface.ipv4))
            if self._v6 is not None and interface.has_ipv6:
                group = socket.inet_pton(socket.AF_INET6, GROUP_V6)
                self._join(6, str(interface.index), group + struct.pack("@I", interface.index))

    def send(self, packet: bytes) -> None:
        """To everybody, on each interface. A packet that cannot be sent is lost."""
        sent = False
        for interface in self._interfaces:
            if self._v4 is not None and interface.ipv4 is not None:
                source = socket.inet_aton(interface.ipv4)
                options = (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, source)
                sent |= self._send_on(self._v4, options, packet, GROUP_V4)
            if self._v6 is not None and interface.has_ipv6:
                index = struct.pack("@I", interface.index)
                options = (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                sent |= self._send_on(self._v6, options, packet, GROUP_V6)
        if not sent and not self._silent:
            self._log.warning("no network interface takes multicast: peers are not found by mDNS just now")
        self._silent = not sent

    def stop(self) -> Any:
        """Close the sockets; a Deferred."""
        ports, self._v4, self._v6 = [p for p in (self._v4, self._v6) if p is not None], None, None
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def _listen(self, listen: Callable[[], Any], *, quiet: bool = False) -> Any:
        try:
            return listen()
        except (CannotListenError, OSError) as error:
            tell = self._log.debug if quiet else self._log.warning
            tell(
                "mDNS cannot listen: peers on the local network are not found by it",
                port=self._port,
                reason=str(error),
            )
            return None

    def _listen_v4(self, received: Callable[[bytes], None]) -> Any:
        protocol = _Packets(received, lambda: self._interfaces)
        port = self._reactor.listenMulticast(
            self._port, protocol, maxPacketSize=MAX_DATAGRAM_BYTES, listenMultiple=True
        )
        port.setTTL(TTL)
        port.setLoopbackMode(True)
        return port

    def _listen_v6(self, received: Callable[[bytes], None]) -> Any:
        # Twisted cannot join IPv6 groups, nor have a socket that leaves IPv4 to the other one.
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, TTL)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
            made.bind(("::", self._port))
            made.setblocking(False)
            protocol = _Packets(received, lambda: self._interfaces)
            return self._reactor.adoptDatagramPort(
                made.fileno(), socket.AF_INET6, protocol, maxPacketSize=MAX_DATAGRAM_BYTES
            )

    def _join(self, version: int, where: str, request: bytes) -> None:
        if (version, where) in self._joined:
            return
        port, level, option = (
            (self._v4, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP)
            if version == 4
            else (self._v6, socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP)
        )
        try:
            port.getHandle().setsockopt(level, option, request)
        except OSError as error:
            self._log.debug("an interface takes no part in mDNS", interface=where, reason=str(error))
        else:
            self._joined.add((version, where))

    def _send_on(self, port: Any, options: tuple[int, int, bytes], packet: bytes, group: str) -> bool:
        try:
            port.getHandle().setsockopt(*options)
            port.write(packet, (group, self._port))
        except OSError:
            return False
        return True


class _Packets(DatagramProtocol):
    """Passes on what comes from the link."""

    noisy = False

    def __init__(
        self, received: Callable[[bytes], None], interfaces: Callable[[], Sequence[LinkInterface]]
    ) -> None:
        self._received, self._interfaces = received, interfaces

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if is_on_link(addr[0], self._interfaces()):
            self._received(datagram)


def _all_interfaces() -> tuple[LinkInterface, ...]:
    found = [_described(adapter) for adapter in ifaddr.get_adapters()]
    return tuple([interface for interface in found if interface.addresses][:MAX_INTERFACES])


def _described(adapter: Any) -> LinkInterface:
    addresses: list[IPInterface] = []
    for ip in adapter.ips:
        text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
        addresses.append(ipaddress.ip_interface(f"{text.partition('%')[0]}/{ip.network_prefix}"))
    return LinkInterface(str(adapter.name), int(adapter.index or 0), tuple(addresses))
