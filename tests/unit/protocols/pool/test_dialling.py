"""Races between addresses, the queue, and back-off."""

from __future__ import annotations

import random

import pytest

from swarmnode.protocols.pool import vocabulary as pool
from swarmnode.protocols.pool.backoff import BackOffs
from swarmnode.protocols.pool.limits import (
    FAULT_BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    MAX_ATTEMPTS,
    MAX_PARALLEL,
    MAX_WAITING,
    SHORT_SECONDS,
    STAGGER_SECONDS,
)
from swarmnode.testing.pool_bench import OWN, Bench, address
from swarmnode.values.errors import PeerFault, Refused, Unavailable

GONE = Unavailable("connection refused", code="connection_refused")
FAULT = PeerFault("it lies", code="lie")


def dialled(effects: list[object]) -> list[pool.Dial]:
    return [effect for effect in effects if isinstance(effect, pool.Dial)]


def test_the_next_address_is_tried_after_a_stagger_or_a_failure() -> None:
    bench = Bench()
    a, b, c = map(address, (1, 2, 3))
    (first,) = dialled(bench.want(1, "p", a, b, c))
    assert (first.address, first.peer) == (a, "p")
    bench.wait(STAGGER_SECONDS * 0.9)
    assert [dial.address for dial in bench.dials.values()] == [a]
    bench.wait(STAGGER_SECONDS * 0.2)
    assert [dial.address for dial in bench.dials.values()] == [a, b]
    (third,) = dialled(bench.fail(first.attempt, GONE))
    assert third.address == c


def test_the_first_that_answers_wins_and_the_others_are_given_up() -> None:
    bench = Bench()
    bench.want(1, "p", address(1), address(2))
    bench.want(2, "p", address(3))
    bench.wait(2 * STAGGER_SECONDS)
    assert len(bench.dials) == 3
    second = list(bench.dials)[1]
    number = bench.reach(second, "p")
    assert bench.in_use == {number: "p"}
    assert not bench.dials
    assert [bench.answers[each].peer for each in (1, 2)] == ["p", "p"]


def test_an_error_names_every_address_and_what_was_wrong() -> None:
    bench = Bench()
    bench.want(1, "p", address(1), address(2))
    for _ in range(2):
        bench.fail(next(iter(bench.dials)), GONE)
    error = bench.answers[1].error
    assert error is not None
    assert error.code == "unreachable"
    for number in (1, 2):
        assert str(address(number)) in error.message
    assert error.message.count("connection refused") == 2


def test_a_connected_peer_is_the_answer() -> None:
    bench = Bench()
    bench.arrive("p")
    bench.want(1, "p")
    assert bench.answers[1].peer == "p"


def test_a_peer_that_comes_by_itself_ends_the_race() -> None:
    bench = Bench()
    bench.want(1, "p", address(1))
    bench.arrive("p")
    assert bench.answers[1].peer == "p"
    assert not bench.dials


def test_a_late_success_is_refused() -> None:
    bench = Bench()
    (dial,) = dialled(bench.want(1, "p", address(1)))
    bench.unwant(1)
    assert not bench.dials
    number = bench.reach(dial.attempt, "p")
    assert bench.refused[number].error.code == "given_up"
    assert 1 not in bench.answers


def test_one_of_two_requests_may_go_without_the_other() -> None:
    bench = Bench()
    (dial,) = dialled(bench.want(1, "p", address(1)))
    bench.want(2, "p", address(1))
    bench.unwant(1)
    bench.reach(dial.attempt, "p")
    assert list(bench.answers) == [2]


def test_attempts_and_the_queue_are_bounded() -> None:
    bench = Bench()
    for request in range(MAX_ATTEMPTS + MAX_WAITING):
        bench.want(request, f"p{request}", address(request))
    assert len(bench.dials) == MAX_ATTEMPTS
    assert not bench.answers
    bench.want(9999, "late", address(9999))
    error = bench.answers[9999].error
    assert error is not None
    assert error.code == "dial_queue_full"
    # Those that wait get their turn, in order.
    for request in range(MAX_ATTEMPTS + MAX_WAITING):
        (attempt,) = [a for a, dial in bench.dials.items() if dial.peer == f"p{request}"]
        bench.fail(attempt, GONE)
    assert len(bench.answers) == MAX_ATTEMPTS + MAX_WAITING + 1


def test_one_peer_with_many_addresses_leaves_room_for_others() -> None:
    bench = Bench()
    bench.want(1, "p", *map(address, range(40)))
    bench.wait(60)
    assert len(bench.dials) == MAX_PARALLEL
    bench.want(2, "q", address(99))
    assert any(dial.peer == "q" for dial in bench.dials.values())


def test_back_off_grows_and_a_success_resets_it() -> None:
    bench = Bench()
    delays = []
    for request in range(4):
        bench.want(request, "p", address(1))
        bench.fail(next(iter(bench.dials)), GONE)
        bench.want(100 + request, "p", address(1))
        error = bench.answers[100 + request].error
        assert error is not None
        assert error.code == "dial_backoff"
        assert "connection refused" in error.message
        start = bench.now
        while True:  # find out when it may be tried again
            bench.wait(0.25)
            bench.want(request * 1000 + 10_000 + len(bench.log), "p", address(1))
            if bench.dials:
                break
        bench.unwant(next(iter(bench.waiting)))
        delays.append(bench.now - start)
    assert delays == sorted(delays)
    assert delays[0] <= 1.5
    assert delays[3] >= 6
    bench.want(5, "p", address(1))
    number = bench.reach(next(iter(bench.dials)), "p")
    bench.now += SHORT_SECONDS
    bench.go(number, GONE)
    bench.want(6, "p", address(1))
    assert bench.dials


def test_connections_that_the_peer_ends_at_once_count_as_failures() -> None:
    bench = Bench()
    waits = []
    for request in range(5):
        bench.want(request, "p", address(1))
        (attempt,) = bench.dials
        bench.go(bench.reach(attempt, "p"), None)
        start = bench.now
        while True:
            bench.want(len(bench.log) + 1000, "p", address(1))
            if bench.dials:
                break
            bench.wait(0.25)
        bench.unwant(next(iter(bench.waiting)))
        waits.append(bench.now - start)
    assert waits == sorted(waits)
    assert waits[-1] > 10


def test_the_end_of_a_duplicate_is_no_failure() -> None:
    bench = Bench()
    bench.want(1, "p", address(1))
    number = bench.reach(next(iter(bench.dials)), "p")
    other = bench.arrive("p")
    bench.go(number, None)
    bench.go(other, None)
    bench.want(2, "p", address(1))
    assert bench.dials


def test_a_new_address_is_tried_though_the_others_failed() -> None:
    bench = Bench()
    bench.want(1, "p", address(1))
    bench.fail(next(iter(bench.dials)), GONE)
    bench.want(2, "p", address(1), address(2))
    assert [dial.address for dial in bench.dials.values()] == [address(2)]


def test_a_lie_about_an_address_harms_only_the_address_for_that_peer() -> None:
    bench = Bench()
    bench.want(1, "victim", address(1))
    bench.fail(next(iter(bench.dials)), PeerFault("somebody else answered", code="wrong_peer"))
    bench.want(2, "victim", address(2))
    assert [dial.address for dial in bench.dials.values()] == [address(2)]
    bench.want(3, "owner", address(1))
    assert len(bench.dials) == 2
    bench.wait(FAULT_BACKOFF_SECONDS / 2)
    bench.unwant(2)
    bench.want(4, "victim", address(1))
    assert 4 in bench.answers


def test_another_peer_than_the_wanted_one_is_refused() -> None:
    bench = Bench()
    (dial,) = dialled(bench.want(1, "p", address(1)))
    number = bench.reach(dial.attempt, "q")
    assert bench.refused[number].error.code == "wrong_peer"
    assert bench.answers[1].error is not None
    (dial,) = dialled(bench.want(2, None, address(2)))
    bench.reach(dial.attempt, "q")
    assert bench.answers[2].peer == "q"


def test_addresses_of_other_peers_are_left_out() -> None:
    bench = Bench()
    other = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    bench.want(1, "p", address(1).with_peer(other))
    error = bench.answers[1].error
    assert error is not None
    assert error.code == "no_address"


def test_this_node_does_not_dial_itself() -> None:
    bench = Bench()
    bench.want(1, OWN, address(1))
    bench.feed(pool.OwnAddresses((address(2),)))
    bench.want(2, None, address(2))
    (dial,) = dialled(bench.want(3, "p", address(3)))
    bench.fail(dial.attempt, Refused("that is this node", code="self_dial"))
    bench.want(4, "p", address(3))
    bench.want(5, None, address(3))
    codes = {request: answer.error.code for request, answer in bench.answers.items() if answer.error}
    assert codes == dict.fromkeys((1, 2, 3, 4, 5), "self_dial")
    (dial,) = dialled(bench.want(6, None, address(6)))
    number = bench.reach(dial.attempt, OWN)
    assert bench.refused[number].error.code == "self_dial"
    number = bench.arrive(OWN)
    assert bench.refused[number].error.code == "self_dial"
    bench.want(7, None, address(6))
    assert not bench.dials


def test_no_address_is_said_so() -> None:
    bench = Bench()
    bench.want(1, "p")
    assert bench.answers[1].error is not None
    assert bench.answers[1].error.code == "no_address"


@pytest.mark.parametrize("first", [1.0, 30.0])
def test_back_offs_are_bounded_jittered_and_forgotten(first: float) -> None:
    backs: BackOffs[int] = BackOffs(random.Random(5), limit=10)
    for failures in range(1, 40):
        backs.fail(0, GONE, 0.0, first)
        entry = backs.get(0, 0.0)
        assert entry is not None
        plain = first * 2 ** (failures - 1)
        assert min(plain * 0.75, LONGEST_BACKOFF_SECONDS * 0.75) <= entry.until
        assert entry.until <= min(plain * 1.25, LONGEST_BACKOFF_SECONDS)
    for key in range(1, 11):
        backs.fail(key, GONE, 0.0)
    assert len(backs) == 10
    assert backs.get(0, 0.0) is None
    assert backs.waits(10, 0.1)
    assert not backs.waits(10, 2.0)
    assert backs.get(10, 2.0) is not None
    assert backs.get(10, 2.0 + LONGEST_BACKOFF_SECONDS) is None
