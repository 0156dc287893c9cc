"""Scores: the figures, decay, starts, crowds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.policy.trust import (
    CHANGES,
    STRANGER,
    SUBNET_PEERS,
    VOUCHED,
    Trust,
    TrustEvent,
    Vouch,
    after,
    begin,
    crowded,
    decayed,
    event_of,
    forgettable,
    on_this_machine,
    restarted,
    vouched_by,
)
from swarmnode.values.errors import LocalFault, PeerFault, Refused, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo, NetworkSettings

events = st.sampled_from(list(TrustEvent))
scores = st.floats(0, 1)
starts = st.sampled_from([STRANGER, VOUCHED])
spans = st.floats(0, 1e7)
PEER = "12D3KooWBhMFZ3XMpXzbjHHB7FMuAvGgbLBc2nCbsVJzrJnKBJSA"


def address(text: str) -> Multiaddr:
    return Multiaddr.parse(text)


def test_the_figures_of_the_events():
    assert {event.value: change for event, change in CHANGES.items()} == {
        "inference_success": 0.01,
        "valid_transaction": 0.02,
        "spot_check_fail": -0.10,
        "invalid_gossip": -0.05,
        "signature_violation": -0.20,
        "shard_verification_fail": -0.20,
        "subnet_clustering": -0.03,
    }
    for event, change in CHANGES.items():
        assert after(begin(5.0), event, 5.0).score == pytest.approx(STRANGER + change)


def test_a_stranger_is_below_the_bar_for_text_and_a_vouched_peer_above():
    assert begin(0.0).score == 0.4
    assert begin(0.0, vouched=True).score == 0.6


def test_one_cycle_brings_a_hundredth_of_the_way_back():
    assert decayed(Trust(0.9, 0.4, 0.0), 30.0).score == pytest.approx(0.4 + 0.5 * 0.99)
    assert decayed(Trust(0.0, 0.6, 10.0), 40.0).score == pytest.approx(0.6 - 0.6 * 0.99)


@given(scores, starts, spans, spans)
def test_decay_goes_towards_the_start_and_never_past_it(
    score: float, start: float, first: float, more: float
):
    before = Trust(score, start, 0.0)
    middle, end = decayed(before, first), decayed(before, first + more)
    low, high = min(score, start), max(score, start)
    assert low <= middle.score <= high
    assert abs(end.difference) <= abs(middle.difference) + 1e-12
    # In two steps as in one: nobody gains by asking often.
    assert decayed(middle, first + more).score == pytest.approx(end.score, abs=1e-9)


@given(starts, st.lists(st.tuples(events, st.floats(0, 1000)), max_size=60))
def test_no_history_leads_out_of_the_range(start: float, history: list[tuple[TrustEvent, float]]):
    trust, now = Trust(start, start, 0.0), 0.0
    for event, passed in history:
        now += passed
        trust = after(trust, event, now)
        assert 0.0 <= trust.score <= 1.0
        assert trust.at == now


def test_a_clock_that_steps_back_changes_nothing():
    trust = Trust(0.9, 0.4, 100.0)
    assert decayed(trust, 50.0) == trust


@given(scores, starts)
def test_a_vouch_moves_the_start_and_keeps_the_record(score: float, start: float):
    vouched = restarted(Trust(score, start, 0.0), VOUCHED, 0.0)
    assert vouched.start == VOUCHED
    assert vouched.score == pytest.approx(max(0.0, min(1.0, score - start + VOUCHED)))


def test_only_peers_are_blamed_and_forgeries_more():
    assert event_of(PeerFault("x", code="bad_signature")) is TrustEvent.SIGNATURE_VIOLATION
    assert event_of(PeerFault("x", code="signature_violation")) is TrustEvent.SIGNATURE_VIOLATION
    assert event_of(PeerFault("x", code="bad_message")) is TrustEvent.INVALID_GOSSIP
    for error in (Unavailable("x", code="timeout"), Refused("x", code="y"), LocalFault("x", code="z")):
        assert event_of(error) is None


def test_strangers_near_their_start_are_forgotten_first():
    trusts = {
        "bad": Trust(0.1, STRANGER, 0.0),
        "plain": Trust(0.41, STRANGER, 0.0),
        "friend": Trust(0.6, VOUCHED, 0.0),
        "good": Trust(0.9, STRANGER, 0.0),
    }
    assert forgettable(trusts, 0.0, 3) == ("plain", "bad", "good")
    # What somebody did long ago says no more than what somebody else does little of now.
    trusts["bad"] = Trust(0.1, STRANGER, -1e6)
    assert forgettable(trusts, 0.0, 1) == ("bad",)


def test_more_peers_of_one_public_subnet_than_there_are_people():
    def many(count: int, pattern: str) -> list[tuple[str, Multiaddr]]:
        return [(f"p{n}", address(pattern.format(n))) for n in range(count)]

    assert crowded(many(SUBNET_PEERS, "/ip4/8.8.8.{}/tcp/1")) == ()
    six = many(SUBNET_PEERS + 1, "/ip4/8.8.8.{}/tcp/1")
    assert crowded([*six, ("q", address("/ip4/8.8.9.1/tcp/1"))]) == tuple(f"p{n}" for n in range(6))
    assert crowded(many(20, "/ip4/192.168.1.{}/tcp/1")) == ()
    assert crowded(many(20, "/ip4/100.64.1.{}/tcp/1")) == ()
    # One peer with many connections is one peer.
    assert crowded([("p", address(f"/ip4/8.8.8.{n}/tcp/1")) for n in range(20)]) == ()


@pytest.mark.parametrize(
    ("remote", "local", "here"),
    [
        ("/ip4/127.0.0.1/tcp/5", "/ip4/127.0.0.1/tcp/6", True),
        ("/ip6/::1/tcp/5", "/ip6/::1/tcp/6", True),
        ("/ip4/127.0.0.1/tcp/5", "/ip4/192.168.1.2/tcp/6", False),
        ("/ip4/192.168.1.3/tcp/5", "/ip4/127.0.0.1/tcp/6", False),
        ("/ip4/127.0.0.1/tcp/5", None, False),
    ],
)
def test_both_ends_have_to_be_on_this_machine(remote: str, local: str | None, here: bool):
    link = LinkInfo(1, "p", address(remote), address(local) if local else None, True, "tcp", 0.0)
    assert on_this_machine(link) is here


def test_the_settings_name_whom_the_user_knows():
    named = NetworkSettings(
        bootstrap=(address(f"/ip4/8.8.8.8/tcp/1/p2p/{PEER}"), address("/ip4/8.8.4.4/tcp/1")),
        trusted_peers=("friend",),
    )
    assert vouched_by(named) == {PEER: Vouch.BOOTSTRAP, "friend": Vouch.SETTINGS}
