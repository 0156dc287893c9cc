"""A claim with other facts leads to another greeting; any other change does not."""

from __future__ import annotations

from dataclasses import replace

from swarmnode.protocols.swarm.membership_vocabulary import Gone
from swarmnode.services.greet_again import GreetAgain
from swarmnode.services.swarm_view import SwarmMember

MEMBER = SwarmMember("p", (), "alive", None, False, "gossip", 0.0, b"one", 1)


def test_greeted_again_when_the_facts_change() -> None:
    asked: list[str] = []
    again = GreetAgain(asked.append)
    again.member_joined(MEMBER)
    again.member_changed(replace(MEMBER, state="suspect", sequence=2))
    assert asked == []
    again.member_changed(replace(MEMBER, facts=b"two"))
    again.member_changed(replace(MEMBER, facts=b"two", rtt=0.1))
    assert asked == ["p"]


def test_who_left_is_forgotten() -> None:
    asked: list[str] = []
    again = GreetAgain(asked.append)
    again.member_joined(MEMBER)
    again.member_left(MEMBER, Gone.LEFT)
    again.member_joined(replace(MEMBER, facts=b"two"))
    assert asked == []
