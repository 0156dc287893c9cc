"""The membership machine alone: bounds, rates, whatever peers say."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.swarm import member_table
from swarmnode.protocols.swarm.member_claims import Claim, Suspicion
from swarmnode.protocols.swarm.membership import CLAIMS_A_MINUTE, Membership
from swarmnode.protocols.swarm.membership_vocabulary import (
    About,
    Alive,
    AskProbe,
    AskView,
    Begin,
    Claimed,
    Connected,
    Disconnected,
    Gone,
    Leave,
    MemberJoined,
    MemberLeft,
    NotViewed,
    Penalise,
    Probed,
    PublishClaim,
    PublishSuspicion,
    Quiet,
    Reached,
    Said,
    Say,
    Suspected,
    Viewed,
)

peers = st.sampled_from(["me", "a", "b", "c", "d"])
numbers = st.integers(0, 8)
claims = st.builds(
    lambda peer, sequence, left: Claim(peer, sequence, left, statement=f"{peer}{sequence}{left}".encode()),
    peers,
    numbers,
    st.booleans(),
)
events = st.one_of(
    st.builds(Connected, peers),
    st.builds(Disconnected, peers, st.booleans()),
    st.builds(Quiet, peers),
    st.builds(Alive, peers),
    st.builds(Claimed, claims),
    st.builds(Suspected, st.builds(Suspicion, peers, peers, numbers)),
    st.builds(Viewed, peers, st.lists(claims, max_size=4).map(tuple), st.sampled_from(["", "a", "z"])),
    st.builds(NotViewed, peers),
    st.builds(Probed, peers, peers, st.booleans()),
    st.builds(Reached, peers, st.booleans()),
    st.builds(Say, st.builds(About, facts=st.binary(max_size=1))),
    st.builds(Said, st.binary(min_size=1, max_size=2)),
    st.none(),
)


def machine(sequence: int = 5) -> Membership:
    one = Membership("me", sequence, Random(1), 0.0)
    one.handle(Begin(About()), 0.0)
    return one


def claim(peer: str, sequence: int = 1, left: bool = False) -> Claimed:
    return Claimed(Claim(peer, sequence, left, statement=f"{peer}{sequence}".encode()))


def of(kind: type, effects: list[Any]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


@settings(max_examples=300)
@given(st.lists(st.tuples(events, st.floats(0, 20)), max_size=60))
def test_whatever_comes_in_whatever_order_the_view_is_sound(story: list[tuple[Any, float]]):
    one, now, highest, present = machine(), 0.0, {}, {}
    own = [5]
    for event, passed in story:
        now += passed
        for effect in one.handle(event, now):
            match effect:
                case MemberJoined(member):
                    # Never back by a word that was heard before its end.
                    assert member.sequence > highest.get(member.peer, -1)
                    assert member.peer not in present
                    present[member.peer] = member
                case MemberLeft(member):
                    highest[member.peer] = member.sequence
                    del present[member.peer]
                case PublishClaim(sequence):
                    assert sequence > own[-1]
                    own.append(sequence)
        assert {member.peer for member in one.members()} == set(present)
        assert "me" not in present
        assert one.deadline is not None
    # Time alone brings it to rest: nothing is due at once for ever.
    for _ in range(200):
        assert one.deadline is not None
        now = max(now, one.deadline)
        one.handle(None, now)
        assert one.deadline > now


def test_the_first_word_is_said_at_once_and_changes_together():
    one = Membership("me", 5, Random(1), 0.0)
    assert one.handle(Begin(About()), 0.0) == [PublishClaim(5, About())]
    first, second = About(facts=b"1"), About(facts=b"2")
    assert one.handle(Say(first), 0.1) == []
    assert one.handle(Say(second), 0.2) == []
    assert one.handle(None, 1.0) == [PublishClaim(6, second)]
    assert one.handle(Say(second), 5.0) == []


def test_doubts_about_us_are_answered_above_what_is_doubted():
    one = machine()
    one.handle(Suspected(Suspicion("a", "me", 3)), 2.0)
    assert of(PublishClaim, one.handle(None, 2.0)) == []
    said = one.handle(Suspected(Suspicion("a", "me", 100)), 2.0)
    assert of(PublishClaim, said) == [PublishClaim(101, About())]


def test_after_the_leave_nothing_is_said():
    one = machine()
    assert one.handle(Leave(), 1.0) == [PublishClaim(6, About(), left=True)]
    assert one.handle(Suspected(Suspicion("a", "me", 100)), 2.0) == []
    assert one.deadline is None


def test_a_leave_that_overtakes_the_birth_stays_the_last_word():
    one = machine()
    one.handle(claim("a", 2, left=True), 1.0)
    assert of(MemberJoined, one.handle(claim("a", 1), 1.1)) == []
    assert one.members() == ()


def test_who_is_heard_directly_is_not_doubted_for_others_sake():
    one = machine()
    one.handle(claim("a"), 0.0)
    one.handle(Connected("a"), 0.0)
    one.handle(Suspected(Suspicion("b", "a", 1)), 0.0)
    assert not one.members()[0].suspected
    said = one.handle(Quiet("a"), 5.0) + one.handle(None, 5.4)
    assert of(PublishSuspicion, said) == [PublishSuspicion("a", 1)]
    assert [e.why for e in of(MemberLeft, one.handle(None, 15.0))] == [Gone.DIED]


def test_what_another_has_said_need_not_be_said_again():
    one = machine()
    one.handle(claim("a"), 0.0)
    one.handle(Connected("a"), 0.0)
    one.handle(Disconnected("a", in_order=False), 1.0)
    one.handle(Suspected(Suspicion("b", "a", 1)), 1.0)
    assert of(PublishSuspicion, one.handle(None, 2.0)) == []


def test_a_connection_closed_in_order_is_no_death():
    one = machine()
    one.handle(claim("a"), 0.0)
    one.handle(Connected("a"), 0.0)
    one.handle(Disconnected("a", in_order=True), 1.0)
    assert [(m.peer, m.suspected) for m in one.members()] == [("a", False)]


def test_a_subject_that_never_stops_talking_is_blamed_once():
    one, blamed = machine(), []
    for number in range(1, CLAIMS_A_MINUTE + 20):
        blamed += of(Penalise, one.handle(claim("a", number), 1.0))
    assert [effect.peer for effect in blamed] == ["a"]
    assert one.members()[0].sequence == CLAIMS_A_MINUTE


def test_hearsay_makes_way_for_neighbours_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(member_table, "MAX_MEMBERS", 2)
    one = machine()
    for peer in "abc":
        one.handle(claim(peer), 1.0)
    assert [member.peer for member in one.members()] == ["a", "b"]
    one.handle(Connected("d"), 1.0)
    effects = one.handle(claim("d"), 1.0)
    assert [(e.member.peer, e.why) for e in of(MemberLeft, effects)] == [("a", Gone.CROWDED_OUT)]
    assert [member.peer for member in one.members()] == ["b", "d"]


def test_a_long_view_comes_in_pages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(member_table, "PAGE_CLAIMS", 3)
    one = machine()
    one.handle(Said(b"me"), 0.0)
    for number in range(7):
        one.handle(claim(f"p{number}"), 1.0)
    pages, after = [], ""
    while True:
        page, after = one.view("p3", after, 2.0)
        pages.append(page)
        if not after:
            break
    assert pages == [(b"me", b"p01", b"p11", b"p21"), (b"p41", b"p51", b"p61")]


def test_who_knows_the_same_is_told_nothing_and_the_dead_their_own_word():
    one, other = machine(), machine()
    for peer in ("a", "b"):
        one.handle(claim(peer), 1.0)
    for peer in ("b", "a"):
        other.handle(claim(peer), 1.0)
    assert one.digest() == other.digest() != machine().digest()
    assert one.view("x", "", 1.0, other.digest()) == ((), "")
    one.handle(Suspected(Suspicion("b", "a", 1)), 1.0)
    one.handle(None, 11.0)
    assert one.view("a", "", 12.0)[0] == (b"a1", b"b1")


def test_the_pages_of_a_view_are_asked_one_after_the_other():
    one = machine()
    assert of(AskView, one.handle(Connected("a"), 1.0))[0].after == ""
    one.handle(Viewed("a", (), "m"), 1.0)
    assert of(AskView, one.handle(None, 1.2))[0].after == "m"
    # A peer that goes back in the list would keep us asking.
    one.handle(Viewed("a", (), "c"), 1.3)
    assert of(AskView, one.handle(None, 1.5)) == []


def test_who_is_known_by_its_own_word_alone_is_not_heard_yet():
    one = machine()
    one.handle(claim("made-up"), 0.0)
    one.handle(claim("friend"), 0.0)
    one.handle(Connected("friend"), 0.0)
    assert {m.peer: m.heard for m in one.members()} == {"made-up": False, "friend": True}
    one.handle(Disconnected("friend", in_order=True), 1.0)
    assert {m.peer: m.heard for m in one.members()} == {"made-up": False, "friend": True}


@pytest.mark.parametrize("hears", [True, False])
def test_a_third_party_can_say_that_it_hears_it(hears: bool):
    one, asked, now = machine(), [], 0.0
    one.handle(claim("stranger"), now)
    one.handle(Connected("friend"), now)
    one.handle(claim("friend"), now)
    while not asked and now < 600:
        now += 1.0
        asked = [probe for probe in of(AskProbe, one.handle(None, now)) if probe.peer == "stranger"]
    one.handle(Probed("friend", "stranger", hears), now)
    assert next(m.heard for m in one.members() if m.peer == "stranger") is hears


def test_names_that_nobody_has_heard_go_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(member_table, "MAX_MEMBERS", 2)
    one = machine()
    one.handle(Connected("old"), 0.0)
    one.handle(claim("old"), 0.0)
    one.handle(Disconnected("old", in_order=True), 0.0)
    one.handle(claim("made-up"), 5.0)
    one.handle(Connected("new"), 5.0)
    one.handle(claim("new"), 5.0)
    assert sorted(member.peer for member in one.members()) == ["new", "old"]
