"""Which addresses are told and dialled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.policy.addresses import (
    MAX_ADDRESSES,
    for_peer,
    is_dialable,
    is_link_local,
    is_loopback,
    is_overlay,
    is_private,
    is_public,
    subnet,
    usable_addresses,
)
from swarmnode.values.multiaddr import Multiaddr, tcp_address

PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
KINDS = {
    "loopback": is_loopback,
    "link-local": is_link_local,
    "private": is_private,
    "overlay": is_overlay,
    "public": is_public,
}


def at(*hosts: str, port: int = 8810) -> tuple[Multiaddr, ...]:
    return tuple(tcp_address(host, port) for host in hosts)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("::ffff:192.168.1.1", "private"),
        ("fd00::1", "private"),
        ("100.64.0.1", "overlay"),
        ("100.127.255.254", "overlay"),
        ("fd7a:115c:a1e0::5", "overlay"),
        ("172.32.0.1", "public"),
        ("100.128.0.1", "public"),
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("0.0.0.0", None),
        ("::", None),
        ("224.0.0.251", None),
        ("ff02::fb", None),
        ("255.255.255.255", None),
        ("240.0.0.1", None),
    ],
)
def test_every_address_is_of_one_kind(host: str, kind: str | None) -> None:
    address = tcp_address(host, 1)
    assert [name for name, test in KINDS.items() if test(address)] == ([kind] if kind else [])
    assert is_dialable(address) == (kind is not None)


def test_a_name_is_of_no_kind_but_can_be_dialled() -> None:
    address = Multiaddr.parse("/dns4/example.org/tcp/1")
    assert not any(test(address) for test in KINDS.values())
    assert is_dialable(address)
    assert subnet(address) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/ip4/1.2.3.4/tcp/0", False),
        ("/ip4/1.2.3.4", False),
        ("/dns/example.org", False),
        ("/dnsaddr/example.org", True),
        ("/memory/one", True),
        (f"/p2p/{PEER}", False),
        (f"/p2p/{PEER}/p2p-circuit", False),
        ("/ip4/1.2.3.4/udp/1/quic-v1", True),
        (f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit", True),
        ("/tcp/1", False),
    ],
)
def test_what_can_be_dialled_has_a_host_and_a_port(text: str, wanted: bool) -> None:
    assert is_dialable(Multiaddr.parse(text)) == wanted


def test_subnets_are_what_one_owner_can_have() -> None:
    assert subnet(tcp_address("203.0.113.77", 1)) == "203.0.113.0/24"
    assert subnet(tcp_address("::ffff:203.0.113.77", 1)) == "203.0.113.0/24"
    assert subnet(tcp_address("2001:db8:1:2::3", 1)) == "2001:db8:1::/48"


def test_all_usable_addresses_are_told_the_likeliest_first() -> None:
    given_ = at("127.0.0.1", "fe80::1%eth0", "100.64.0.9", "192.168.1.5", "0.0.0.0", "8.8.8.8", "192.168.1.5")
    name = Multiaddr.parse("/dns/example.org/tcp/8810")
    wanted = (*at("8.8.8.8"), name, *at("192.168.1.5", "100.64.0.9", "fe80::1%eth0", "127.0.0.1"))
    assert usable_addresses([*given_, name]) == wanted


def test_peer_ids_at_the_end_make_no_difference() -> None:
    (plain,) = at("8.8.8.8")
    assert usable_addresses([plain.with_peer(PEER), plain]) == (plain,)


def test_the_count_is_bounded() -> None:
    many = [tcp_address(f"8.8.{high}.{low}", 1) for high in range(20) for low in range(20)]
    assert usable_addresses(many) == tuple(many[:MAX_ADDRESSES])


def test_a_neighbour_is_dialled_at_home_first() -> None:
    theirs = at("8.8.8.8", "10.0.0.5", "192.168.1.9", "100.64.0.2")
    assert for_peer(at("192.168.1.5", "127.0.0.1"), theirs) == at(
        "192.168.1.9", "8.8.8.8", "10.0.0.5", "100.64.0.2"
    )


def test_our_own_addresses_are_not_dialled() -> None:
    ours = at("192.168.1.5", "8.8.4.4")
    assert for_peer(ours, [*ours, tcp_address("8.8.4.4", 9)]) == (tcp_address("8.8.4.4", 9),)
    assert for_peer(ours, at("::ffff:192.168.1.5")) == ()


def test_loopback_is_for_nodes_of_one_machine() -> None:
    theirs = at("127.0.0.1", port=9999)
    assert for_peer(at("8.8.4.4"), theirs) == ()
    assert for_peer(at("127.0.0.1"), theirs) == theirs
    # Our own port, by another of the machine's names for itself.
    assert for_peer(at("192.168.1.5", "127.0.0.1"), at("127.0.0.1", "127.0.0.2", "::1")) == ()


def test_link_local_addresses_are_for_nodes_on_a_cable() -> None:
    theirs = at("169.254.7.7")
    assert for_peer(at("8.8.4.4"), theirs) == ()
    assert for_peer(at("169.254.1.1"), theirs) == theirs


def test_useless_claims_are_dropped() -> None:
    theirs = [*at("0.0.0.0", "224.0.0.1", "255.255.255.255", "::"), tcp_address("8.8.8.8", 0)]
    assert for_peer(at("8.8.4.4"), theirs) == ()


addresses = st.builds(
    lambda ip, port, end: Multiaddr.parse(f"/ip{ip.version}/{ip}/{end[0]}/{port}{end[1]}"),
    st.ip_addresses() | st.ip_addresses(network="192.168.0.0/16") | st.ip_addresses(network="127.0.0.0/8"),
    st.integers(0, 3),
    st.sampled_from(
        [("tcp", ""), ("udp", "/quic-v1"), ("tcp", f"/p2p/{PEER}"), ("tcp", f"/p2p/{PEER}/p2p-circuit")]
    ),
) | st.sampled_from(
    [Multiaddr.parse("/dns/a.example/tcp/1"), Multiaddr.parse("/tcp/1"), Multiaddr.parse("/memory/x")]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(addresses, max_size=6), st.lists(addresses, max_size=50))
def test_what_is_dialled_was_claimed_and_is_not_ours(ours: list[Multiaddr], theirs: list[Multiaddr]) -> None:
    chosen = for_peer(ours, theirs)
    assert len(set(chosen)) == len(chosen) <= MAX_ADDRESSES
    assert set(chosen) <= {address.without_peer() for address in theirs}
    assert all(is_dialable(address) for address in chosen)
    assert not {a for a in chosen if a.ip is not None} & {address.without_peer() for address in ours}
    assert for_peer(ours, chosen) == chosen
