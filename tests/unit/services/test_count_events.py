"""Faults are counted once, wherever they are noticed."""

from __future__ import annotations

from swarmnode.services.count_events import MAX_CODES, MAX_LAST, CountFaults
from swarmnode.testing.simulation import Simulation
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable

FAULT = PeerFault("bad", code="bad_message")


def faults() -> tuple[CountFaults, list[tuple[str, SwarmnodeError]]]:
    told: list[tuple[str, SwarmnodeError]] = []
    return CountFaults(lambda peer, error: told.append((peer, error))), told


def test_a_fault_that_ends_a_connection_is_held_against_the_peer() -> None:
    counting, told = faults()
    counting.peer_disconnected("a", FAULT)
    assert told == [("a", FAULT)] and counting.counts() == {"bad_message": 1}


def test_a_fault_that_was_reported_before_is_not_held_against_it_twice() -> None:
    counting, told = faults()
    counting("a", FAULT)
    counting.peer_disconnected("a", FAULT)
    counting.peer_disconnected("b", FAULT)
    assert told == [("a", FAULT), ("b", FAULT)]
    counting.peer_disconnected("a", PeerFault("bad", code="bad_message"))
    assert len(told) == 3


def test_what_is_nobodys_fault_is_no_fault() -> None:
    counting, told = faults()
    counting.peer_disconnected("a", Unavailable("gone", code="connection_lost"))
    counting.peer_disconnected("a", None)
    assert told == [] and counting.counts() == {}


def test_tables_are_bounded() -> None:
    counting, _ = faults()
    for number in range(3 * max(MAX_LAST, MAX_CODES)):
        counting(f"peer {number}", PeerFault("bad", code=f"code {number}"))
    assert len(counting._last) == MAX_LAST
    assert len(counting.counts()) == MAX_CODES + 1
    assert sum(counting.counts().values()) == 3 * max(MAX_LAST, MAX_CODES)


def test_breaking_the_rules_of_a_connection_costs_trust() -> None:
    sim = Simulation(seed=1, full=True)
    victim = sim.node()
    liar = sim.node([victim])
    sim.run(2)
    before = victim.stack.trust.score(liar.peer)
    (link,) = liar.stack.host._links.values()
    link.connection.transport.write(bytes(1000))
    sim.run(1)
    assert liar.peer not in victim.peers()
    assert victim.stack.trust.score(liar.peer) < before
    assert sum(victim.stack.faults.counts().values()) == 1
    sim.close()
