"""Steering a generation before, while and after it is known."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from swarmnode.driving.steering import Steering
from swarmnode.interfaces.generation import IGeneration


class Recorded:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def cancel(self) -> None:
        self.told.append("cancel")


def test_it_is_a_generation() -> None:
    assert verifyObject(IGeneration, Steering())


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ([], []),
        (["pause"], ["pause"]),
        (["pause", "resume"], []),
        (["cancel"], ["cancel"]),
        (["pause", "cancel"], ["cancel"]),
    ],
)
def test_what_was_asked_before_is_told_at_the_beginning(before: list[str], told: list[str]) -> None:
    steering, generation = Steering(), Recorded()
    for order in before:
        getattr(steering, order)()
    steering.attach(generation)
    assert generation.told == told


def test_orders_are_passed_on_until_the_generation_is_released() -> None:
    steering, first, second = Steering(), Recorded(), Recorded()
    steering.attach(first)
    steering.resume()
    steering.pause()
    steering.release()
    steering.attach(second)
    steering.cancel()
    assert (first.told, second.told) == (["resume", "pause"], ["pause", "cancel"])
