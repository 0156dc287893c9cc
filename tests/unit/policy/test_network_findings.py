"""From what a node sees of its network to findings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmnode.policy.network_findings import INBOUND_SECONDS, NetworkView, findings
from swarmnode.values.multiaddr import Multiaddr

HOUSE = Multiaddr.parse("/ip4/192.168.1.2/tcp/8810")
LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/8810")
PUBLIC = Multiaddr.parse("/ip4/8.8.8.8/tcp/8810")
VPN = Multiaddr.parse("/ip4/100.64.0.9/tcp/8810")
GOOD = NetworkView(
    port=8810, addresses=(HOUSE,), peers=3, max_peers=150, inbound=True, running=1000.0, skew=0.1
)


def levels(view: NetworkView) -> dict[str, str]:
    return {finding.code: finding.level for finding in findings(view)}


def test_a_node_that_is_well() -> None:
    assert levels(GOOD) == {"listening": "ok", "connected": "ok", "clock": "ok"}


@pytest.mark.parametrize(
    ("change", "code", "level"),
    [
        ({"addresses": ()}, "no_address", "problem"),
        ({"addresses": (LOOPBACK,)}, "loopback_only", "problem"),
        ({"addresses": (LOOPBACK,), "by_choice": False}, "no_network", "problem"),
        ({"addresses": (HOUSE, VPN)}, "overlay", "ok"),
        ({"seen_at": ("8.8.8.8",)}, "behind_router", "note"),
        ({"inbound": False}, "no_inbound", "note"),
        ({"peers": 0}, "alone", "problem"),
        ({"peers": 150}, "full", "note"),
        ({"quiet": 1}, "quiet", "note"),
        ({"missing": (PUBLIC,), "bootstrap": 1}, "bootstrap_missing", "problem"),
        ({"missing": (PUBLIC,), "bootstrap": 2}, "bootstrap_missing", "note"),
        ({"skew": 10.0}, "clock", "note"),
        ({"skew": -31.0}, "clock", "problem"),
        ({"offline": True}, "offline_mode", "note"),
        ({"mdns": False}, "mdns_off", "note"),
        ({"private": True}, "private_network", "ok"),
    ],
)
def test_what_is_found(change: dict[str, object], code: str, level: str) -> None:
    view = replace(GOOD, **change)  # type: ignore[arg-type]
    assert levels(view)[code] == level
    for finding in findings(view):
        assert (
            finding.level == "ok" or finding.advice or finding.code in ("quiet", "mdns_off", "offline_mode")
        )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"seen_at": ("192.168.1.2",)}, "behind_router"),
        ({"seen_at": ("8.8.4.4",), "addresses": (PUBLIC,)}, "behind_router"),
        ({"inbound": False, "running": INBOUND_SECONDS - 1}, "no_inbound"),
        ({"inbound": False, "peers": 0}, "no_inbound"),
        ({"skew": None}, "clock"),
    ],
)
def test_what_is_not_found(change: dict[str, object], code: str) -> None:
    assert code not in levels(replace(GOOD, **change))  # type: ignore[arg-type]


def test_the_worst_comes_first() -> None:
    found = findings(replace(GOOD, peers=0, mdns=False, skew=99.0))
    order = ["problem", "note", "ok"]
    assert [order.index(finding.level) for finding in found] == sorted(
        order.index(finding.level) for finding in found
    )


def test_ahead_and_behind_are_not_mixed_up() -> None:
    (ahead,) = [f.text for f in findings(replace(GOOD, skew=-40.0)) if f.code == "clock"]
    (behind,) = [f.text for f in findings(replace(GOOD, skew=40.0)) if f.code == "clock"]
    assert "40.0 s ahead of" in ahead and "40.0 s behind" in behind
