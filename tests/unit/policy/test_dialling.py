"""In which order addresses are dialled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.policy.dialling import dial_order, shared_subnet
from swarmnode.values.multiaddr import Multiaddr, tcp_address

PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def order(*hosts: str, ours: tuple[str, ...] = ()) -> list[str]:
    addresses = [tcp_address(host, 1) for host in hosts]
    return [str(a.host) for a in dial_order(addresses, [tcp_address(host, 2) for host in ours])]


def test_our_own_network_comes_first_and_loopback_last() -> None:
    found = order("127.0.0.1", "10.1.1.1", "8.8.8.8", "192.168.1.7", ours=("192.168.1.5", "127.0.0.1"))
    assert found == ["192.168.1.7", "8.8.8.8", "10.1.1.1", "127.0.0.1"]


def test_families_take_turns() -> None:
    assert order("8.8.8.8", "9.9.9.9", "2600::1", "2600::2") == ["8.8.8.8", "2600::1", "9.9.9.9", "2600::2"]
    assert order("2600::1", "2600::2", "2600::3", "8.8.8.8") == ["2600::1", "8.8.8.8", "2600::2", "2600::3"]


def test_what_cannot_be_dialled_is_left_out_and_names_of_peers_stay() -> None:
    named = tcp_address("8.8.8.8", 1).with_peer(PEER)
    nowhere = [tcp_address("0.0.0.0", 1), tcp_address("8.8.8.8", 0)]
    found = dial_order([*nowhere, named.without_peer(), named], [])
    assert found == (named,)


def test_only_public_subnets_are_counted() -> None:
    assert shared_subnet(tcp_address("8.8.8.8", 1)) == "8.8.8.0/24"
    for host in ("192.168.1.1", "127.0.0.1", "100.64.1.1", "fd00::1"):
        assert shared_subnet(tcp_address(host, 1)) == ""
    assert shared_subnet(Multiaddr.parse("/dns4/host/tcp/1")) == ""


@given(st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), max_size=30))
def test_nothing_is_lost_or_twice(hosts: list[str]) -> None:
    found = order(*hosts, *hosts, ours=("192.168.1.5",))
    assert len(found) == len(set(found))
    assert set(found) <= set(hosts)
