"""Which of a machine's addresses are told, and where a host listens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.network.interfaces import in_order
from swarmnode.network.listeners import INTERFACES_SECONDS, Listeners
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.multiaddr import Multiaddr, tcp_address


def test_the_local_network_comes_first_and_loopback_last() -> None:
    found = ["127.0.0.1", "::1", "fe80::1%eth0", "8.8.8.8", "2001:db8::1", "100.64.3.4", "fd00::2",
             "169.254.1.1", "192.168.1.5", "10.0.0.1", "192.168.1.5", "0.0.0.0", "224.0.0.1"]  # fmt: skip
    assert in_order(found) == (
        "192.168.1.5", "10.0.0.1", "100.64.3.4", "fd00::2", "8.8.8.8", "2001:db8::1", "169.254.1.1",
        "127.0.0.1", "::1",
    )  # fmt: skip


@given(st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), max_size=60))
def test_any_addresses_can_be_sorted(found: list[str]) -> None:
    ordered = in_order(found)
    assert set(ordered) <= set(found)
    assert len(ordered) == len(set(ordered)) <= 32


class Listening:
    def __init__(self, address: Multiaddr) -> None:
        self.address, self.ended = address, Deferred[None]()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


class Carrier:
    """Listens on everything but ports that are taken."""

    def __init__(self, taken: int = -1) -> None:
        self.taken, self.listening = taken, []

    def dials(self, address: Multiaddr) -> bool:
        return address.transport[-1] == "tcp"

    def listen(self, address: Multiaddr, accept: Any) -> Any:
        if address.port == self.taken:
            return fail(Refused("taken", code="port_in_use"))
        self.listening.append(Listening(Multiaddr((address.parts[0], ("tcp", str(address.port or 7))))))
        return succeed(self.listening[-1])


def listeners(*wanted: Multiaddr, carrier: Any = None, machine: Any = None, clock: Any = None) -> Any:
    lost: list[Any] = []
    made = Listeners([carrier or Carrier()], wanted, machine or (lambda: ()), clock or Clock(), lost.append)
    return made, lost


def test_an_address_to_listen_on_is_obeyed() -> None:
    exact = tcp_address("192.168.1.5", 8810)
    made, _ = listeners(exact, machine=lambda: ("192.168.1.5", "10.0.0.1", "127.0.0.1"))
    made.start(lambda connection: None)
    assert made.addresses() == made.everywhere() == (exact,)


def test_listening_on_all_means_all_of_the_machine() -> None:
    machine: list[str] = ["192.168.1.5", "fd00::2", "127.0.0.1"]
    clock = Clock()
    four, _ = listeners(tcp_address("0.0.0.0", 0), machine=lambda: tuple(machine), clock=clock)
    six, _ = listeners(tcp_address("::", 8810), machine=lambda: tuple(machine))
    for made in (four, six):
        made.start(lambda connection: None)
    assert four.addresses() == (tcp_address("192.168.1.5", 7),)
    assert four.everywhere() == (tcp_address("192.168.1.5", 7), tcp_address("127.0.0.1", 7))
    assert set(six.addresses()) == {tcp_address("192.168.1.5", 8810), tcp_address("fd00::2", 8810)}
    machine.append("100.64.0.9")
    assert len(four.addresses()) == 1
    clock.advance(INTERFACES_SECONDS)
    assert four.addresses() == (tcp_address("192.168.1.5", 7), tcp_address("100.64.0.9", 7))


def test_loopback_is_told_where_there_is_nothing_else() -> None:
    made, _ = listeners(tcp_address("0.0.0.0", 5), machine=lambda: ("127.0.0.1",))
    made.start(lambda connection: None)
    assert made.addresses() == (tcp_address("127.0.0.1", 5),)


def test_where_one_fails_there_is_no_listening() -> None:
    carrier = Carrier(taken=2)
    made, _ = listeners(tcp_address("10.0.0.1", 1), tcp_address("10.0.0.1", 2), carrier=carrier)
    failures: list[Any] = []
    made.start(lambda connection: None).addErrback(failures.append)
    assert failures[0].value.code == "port_in_use"
    assert [each.stopped for each in carrier.listening] == [True]
    assert made.addresses() == ()


def test_a_transport_that_is_missing_is_named() -> None:
    made, _ = listeners(Multiaddr.parse("/ip4/0.0.0.0/udp/1/quic-v1"))
    with pytest.raises(Refused) as found:
        made.start(lambda connection: None)
    assert found.value.code == "no_transport"


def test_a_port_that_ends_by_itself_is_told() -> None:
    carrier = Carrier()
    made, lost = listeners(tcp_address("10.0.0.1", 1), carrier=carrier)
    made.start(lambda connection: None)
    carrier.listening[0].ended.errback(LocalFault("gone", code="port_lost"))
    assert [error.code for error in lost] == ["port_lost"]
