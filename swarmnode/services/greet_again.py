"""Greeting a peer again when its claim in the swarm says that what it told of itself has changed."""

from __future__ import annotations

from collections.abc import Callable

from swarmnode.protocols.swarm.membership_vocabulary import Gone
from swarmnode.services.swarm_view import SwarmMember


class GreetAgain:
    """A `services.swarm_view.SwarmListener`. ask: greets a peer, if it is connected and has said hello
    (`SayHello.ask_again`). One digest is kept of each member."""

    def __init__(self, ask: Callable[[str], None]) -> None:
        self._ask = ask
        self._facts: dict[str, bytes] = {}

    def member_joined(self, member: SwarmMember) -> None:
        self._facts[member.peer] = member.facts

    def member_changed(self, member: SwarmMember) -> None:
        if self._facts.get(member.peer) != member.facts:
            self._facts[member.peer] = member.facts
            self._ask(member.peer)

    def member_left(self, member: SwarmMember, why: Gone) -> None:
        self._facts.pop(member.peer, None)
