"""Turns: between requests that wait, and between runs when slots are short."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from swarmnode.inference import waiting_runs
from swarmnode.inference.runs import Request, Run
from swarmnode.inference.waiting_runs import WaitingRuns, stepped_now
from swarmnode.values.errors import Unavailable
from swarmnode.values.generation import GenerationRequest, TokenIds

NOTHING: Any = None


def request(slot: int) -> Request:
    asked = GenerationRequest(str(slot), "m", TokenIds((1,)))
    return Request(slot, asked, (1,), 0, lambda event: None, 0.0, 8, 1)


def runs(owner: Request, count: int, turn: int = -1) -> list[Run]:
    return [Run(owner, choice, NOTHING, NOTHING, turn=turn) for choice in range(count)]


def names(taken: list[Run]) -> list[str]:
    return [f"{run.owner.slot}.{run.choice}" for run in taken]


def take_all(waiting: WaitingRuns) -> list[str]:
    taken = []
    while run := next(waiting.heads(), None):
        waiting.took(run)
        taken.append(run)
    return names(taken)


def test_requests_take_turns_in_the_order_they_came() -> None:
    waiting = WaitingRuns()
    for slot, choices in ((1, 3), (2, 1), (3, 2)):
        owner = request(slot)
        waiting.add(owner, runs(owner, choices))
    assert take_all(waiting) == ["1.0", "2.0", "3.0", "1.1", "3.1", "1.2"]
    assert not waiting


def test_who_is_paused_is_passed_over_and_keeps_the_place() -> None:
    waiting, paused, other = WaitingRuns(), request(1), request(2)
    waiting.add(paused, runs(paused, 1))
    waiting.add(other, runs(other, 1))
    paused.paused = True
    assert names(list(waiting.heads())) == ["2.0"]
    paused.paused = False
    assert names(list(waiting.heads())) == ["1.0", "2.0"]


def test_a_dropped_request_is_gone() -> None:
    waiting, owner = WaitingRuns(), request(1)
    waiting.add(owner, runs(owner, 2))
    assert names(waiting.drop(owner)) == ["1.0", "1.1"] and waiting.drop(owner) == []
    assert not waiting


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_runs, "MAX_WAITING", 2)
    waiting = WaitingRuns()
    for slot in range(2):
        waiting.add(request(slot), runs(request(slot), 1))
    with pytest.raises(Unavailable, match="2 requests wait") as caught:
        waiting.add(request(2), runs(request(2), 1))
    assert caught.value.code == "queue_full"


def test_all_are_stepped_where_there_are_slots() -> None:
    active = runs(request(1), 3)
    assert stepped_now(active, 3) == active


def test_each_request_has_one_run_before_any_has_two() -> None:
    many, one, two = request(1), request(2), request(3)
    active = runs(many, 4) + runs(one, 1) + runs(two, 2)
    assert names(stepped_now(active, 4)) == ["1.0", "2.0", "3.0", "1.1"]


def test_nobody_is_passed_over_for_long() -> None:
    active = runs(request(1), 5) + runs(request(2), 1) + runs(request(3), 1)
    steps: dict[str, int] = {}
    turns = count()
    for _ in range(60):
        for run in stepped_now(active, 2):
            run.turn = next(turns)
            name = names([run])[0]
            steps[name] = steps.get(name, 0) + 1
    assert steps["2.0"] == steps["3.0"] == 40
    assert [steps[f"1.{choice}"] for choice in range(5)] == [8] * 5
