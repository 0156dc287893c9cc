"""How many peers, and how soon again."""

from __future__ import annotations

import pytest

from swarmnode.policy.finding import (
    CHOSEN_PEERS,
    MDNS_PEERS,
    WANTED_PEERS,
    is_hearsay,
    is_wanted,
    may_use,
    urgency,
    wait_after,
)


@pytest.mark.parametrize(
    ("how", "connected", "dialling", "wanted"),
    [
        ("bootstrap", 1000, 50, True),
        ("invite", 1000, 50, True),
        ("mdns", MDNS_PEERS - 1, 0, True),
        ("mdns", MDNS_PEERS - 1, 1, False),
        ("exchange", WANTED_PEERS - 2, 1, True),
        ("exchange", WANTED_PEERS - 1, 1, False),
        ("dht", WANTED_PEERS, 0, False),
    ],
)
def test_who_is_wanted(how: str, connected: int, dialling: int, wanted: bool) -> None:
    assert is_wanted(how, connected, dialling, CHOSEN_PEERS, 150) is wanted


@pytest.mark.parametrize("how", ["dht", "mdns"])
def test_a_few_are_chosen_whoever_else_has_come(how: str) -> None:
    assert is_wanted(how, 150, 0, CHOSEN_PEERS - 1, 150)
    assert not is_wanted(how, 150, 1, CHOSEN_PEERS - 1, 150)


@pytest.mark.parametrize("how", ["dht", "mdns"])
def test_nobody_is_dialled_for_whom_another_must_go(how: str) -> None:
    assert is_wanted(how, 2, 0, 2, 3)
    assert not is_wanted(how, 3, 0, 3, 3)


def test_the_word_of_strangers() -> None:
    ways = ("bootstrap", "invite", "mdns", "exchange", "dht", "cache", "inbound")
    assert [how for how in ways if is_hearsay(how)] == ["exchange", "dht", "cache", "inbound"]


def test_offline_means_the_local_network() -> None:
    ways = ("mdns", "bootstrap", "invite", "cache", "exchange", "dht", "somebody-s-plug-in")
    assert [way for way in ways if may_use(way, offline=True)] == ["mdns"]
    assert all(may_use(way, offline=False) for way in ways)


def test_what_the_user_named_comes_first() -> None:
    ways = ["dht", "cache", "mdns", "bootstrap"]
    assert sorted(ways, key=urgency) == ["bootstrap", "mdns", "cache", "dht"]


def test_waits_double_up_to_a_bound_and_are_spread() -> None:
    assert [wait_after("bootstrap", n, 1.0) for n in range(1, 9)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert wait_after("bootstrap", 1, 0.0) == 4
    assert wait_after("dht", 10**6, 1.0) == 600
