"""The sockets of multicast DNS, with a reactor that has none."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.error import CannotListenError

from swarmnode.network.mdns_socket import (
    GROUP_V4,
    GROUP_V6,
    TTL,
    LinkInterface,
    MulticastSocket,
    interfaces_with,
    is_on_link,
    link_interfaces,
    versions_at,
)
from swarmnode.testing.host_bench import TestLog


def interface(name: str, index: int, *addresses: str) -> LinkInterface:
    return LinkInterface(name, index, tuple(map(ipaddress.ip_interface, addresses)))


LAN = interface("eth0", 2, "10.0.0.5/24", "10.0.1.5/24", "fe80::5/64", "fd00::5/64")
VPN = interface("tun0", 3, "100.64.0.5/32")
LOOP = interface("lo", 1, "127.0.0.1/8", "::1/128")


class Handle:
    def __init__(self, broken: Sequence[bytes] = ()) -> None:
        self.options: list[tuple[int, int, bytes]] = []
        self.broken = broken

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        if value in self.broken or value[4:] in self.broken:
            raise OSError(19, "No such device")
        self.options.append((level, option, value))


class Port:
    def __init__(self, protocol: Any, handle: Handle) -> None:
        self.protocol, self.handle = protocol, handle
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.ttl, self.loops, self.stopped, self.unreachable = 0, False, False, False

    def getHandle(self) -> Handle:
        return self.handle

    def setTTL(self, ttl: int) -> None:
        self.ttl = ttl

    def setLoopbackMode(self, mode: bool) -> None:
        self.loops = mode

    def write(self, packet: bytes, where: tuple[str, int]) -> None:
        if self.unreachable:
            raise OSError(101, "Network is unreachable")
        self.sent.append((packet, where))

    def stopListening(self) -> None:
        self.stopped = True


class Reactor:
    """Listens on nothing. broken: interface addresses that cannot be used."""

    def __init__(self, *, taken: bool = False, broken: Sequence[bytes] = ()) -> None:
        self.taken, self.broken = taken, broken
        self.v4: Any = None

    def listenMulticast(self, port: int, protocol: Any, maxPacketSize: int, listenMultiple: bool) -> Port:  # noqa: N803
        assert (port, maxPacketSize, listenMultiple) == (5353, 9000, True)
        if self.taken:
            raise CannotListenError("", port, OSError(98, "Address already in use"))
        self.v4 = Port(protocol, Handle(self.broken))
        return self.v4


class Bench:
    def __init__(self, reactor: Reactor, *interfaces: LinkInterface) -> None:
        self.reactor, self.log, self.interfaces = reactor, TestLog(), list(interfaces)
        self.socket = MulticastSocket(reactor, self.log, lambda: self.interfaces)
        # IPv6 needs a real socket; see `tests/integration`.
        self.socket._listen_v6 = lambda received: None  # type: ignore[method-assign]
        self.got: list[bytes] = []
        self.works = self.socket.start(self.got.append)


def test_it_is_on_every_interface_and_sends_on_each() -> None:
    bench = Bench(Reactor(), LAN, VPN)
    port = bench.reactor.v4
    assert bench.works and (port.ttl, port.loops) == (TTL, True)
    group = socket.inet_aton(GROUP_V4)
    joins = [socket.inet_aton("10.0.0.5"), socket.inet_aton("100.64.0.5")]
    assert port.handle.options == [(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + ip) for ip in joins]
    port.handle.options.clear()
    bench.socket.send(b"packet")
    assert port.sent == [(b"packet", (GROUP_V4, 5353))] * 2
    assert port.handle.options == [(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ip) for ip in joins]
    assert bench.log.of("warning") == []


def test_a_new_interface_is_joined_and_an_old_one_not_again() -> None:
    bench = Bench(Reactor(), LAN)
    bench.interfaces.append(VPN)
    bench.socket.refresh()
    bench.socket.refresh()
    assert len(bench.reactor.v4.handle.options) == 2


def test_a_port_that_is_taken_is_told_and_no_more() -> None:
    bench = Bench(Reactor(taken=True), LAN)
    assert not bench.works
    assert bench.log.of("warning") == ["mDNS cannot listen: peers on the local network are not found by it"]
    bench.socket.send(b"packet")
    bench.socket.stop()


def test_an_interface_that_takes_no_multicast_is_left_out() -> None:
    bench = Bench(Reactor(broken=[socket.inet_aton("100.64.0.5")]), VPN, LAN)
    bench.socket.send(b"packet")
    assert len(bench.reactor.v4.sent) == 1
    assert bench.log.of("warning") == []


def test_that_nothing_can_be_sent_is_told_once_and_again_after_it_worked() -> None:
    bench = Bench(Reactor(), LAN)
    for unreachable in (True, True, False, True):
        bench.reactor.v4.unreachable = unreachable
        bench.socket.send(b"packet")
    assert len(bench.log.of("warning")) == 2


def test_a_list_of_interfaces_that_fails_leaves_the_old_one() -> None:
    bench = Bench(Reactor(), LAN)

    def fails() -> list[LinkInterface]:
        raise OSError("no netlink")

    bench.socket._look = fails
    bench.socket.refresh()
    bench.socket.send(b"packet")
    assert len(bench.reactor.v4.sent) == 1


def test_packets_of_strangers_are_not_heard() -> None:
    bench = Bench(Reactor(), LAN)
    for source in ("10.0.0.9", "8.8.8.8", "10.0.1.1", "10.0.2.1"):
        bench.reactor.v4.protocol.datagramReceived(source.encode(), (source, 5353))
    assert bench.got == [b"10.0.0.9", b"10.0.1.1"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("10.0.0.77", True),
        ("10.0.2.1", False),
        ("127.0.0.1", True),
        ("169.254.9.9", True),
        ("fe80::1%eth0", True),
        ("fd00::9", True),
        ("fd01::9", False),
        ("8.8.8.8", False),
        ("no address", False),
    ],
)
def test_who_is_on_the_link(source: str, expected: bool) -> None:
    assert is_on_link(source, (LAN,)) is expected


def test_stopping_closes_the_socket() -> None:
    bench = Bench(Reactor(), LAN)
    bench.socket.stop()
    assert bench.reactor.v4.stopped


def test_interfaces_of_this_machine_can_be_listed() -> None:
    found = link_interfaces()
    assert all(one.addresses and one.name for one in found)
    assert not any(one.is_loopback for one in found) or all(one.is_loopback for one in found)


def test_an_interface_knows_what_it_is() -> None:
    assert (LAN.ipv4, LAN.has_ipv6, LAN.is_loopback) == ("10.0.0.5", True, False)
    assert (VPN.ipv4, VPN.has_ipv6, VPN.is_loopback) == ("100.64.0.5", False, False)
    assert (LOOP.ipv4, LOOP.has_ipv6, LOOP.is_loopback) == ("127.0.0.1", True, True)
    assert ipaddress.ip_address(GROUP_V6).is_multicast and ipaddress.ip_address(GROUP_V4).is_multicast


@pytest.mark.parametrize(
    ("listen", "where", "versions"),
    [
        ("0.0.0.0", [("eth0", 4), ("tun0", 1)], (4, 6)),
        ("::", [("eth0", 4), ("tun0", 1)], (4, 6)),
        ("10.0.1.5", [("eth0", 1)], (4,)),
        ("fd00::5", [("eth0", 1)], (6,)),
        ("100.64.0.5", [("tun0", 1)], (4,)),
        ("127.0.0.2", [("lo", 1)], (4,)),
        ("10.0.0.6", [], (4,)),
    ],
)
def test_who_listens_at_one_address_is_announced_there_only(
    listen: str, where: list[tuple[str, int]], versions: tuple[int, ...]
) -> None:
    machine = (LAN, VPN) if listen in ("0.0.0.0", "::") else (LAN, VPN, LOOP)
    found = interfaces_with(listen, lambda: machine)
    assert [(one.name, len(one.addresses)) for one in found] == where
    assert versions_at(listen) == versions
