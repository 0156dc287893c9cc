"""The plan that splits nothing."""

from __future__ import annotations

import pytest

from swarmnode.policy.solo_plan import missing_layers, solo_plan
from swarmnode.values.errors import Unavailable
from swarmnode.values.layers import LayerRange
from swarmnode.values.planning import Offer, PipelineStage, SwarmSnapshot


def offer(node: str, start: int, end: int, ms: float = 2.0, load: int = 0, ends: bool = True) -> Offer:
    return Offer(node, LayerRange(start, end), ms, load, can_embed=ends, can_sample=ends)


def snapshot(*offers: Offer) -> SwarmSnapshot:
    return SwarmSnapshot("m", 10, "home", offers)


def test_everything_is_at_home_and_the_speed_is_said():
    plan = solo_plan(snapshot(offer("far", 0, 10, 0.1), offer("home", 0, 10)))
    assert plan.stages == (PipelineStage("home", LayerRange(0, 10)),)
    assert plan.tokens_per_second == pytest.approx(50)
    assert plan.model == "m"


def test_the_idle_and_quick_offer_of_several_is_meant():
    plan = solo_plan(
        snapshot(offer("home", 0, 10, 1.0, load=1), offer("home", 0, 10, 5.0), offer("home", 0, 99, 4.0))
    )
    assert plan.tokens_per_second == pytest.approx(25)


@pytest.mark.parametrize(
    ("offers", "words"),
    [
        ((), "layers 0-9"),
        ((offer("far", 0, 10),), "layers 0-9"),
        ((offer("home", 2, 4), offer("home", 6, 10)), "layers 0-1, 4-5"),
        ((offer("home", 0, 9),), "layers 9-9"),
        ((offer("home", 0, 5), offer("home", 5, 10)), "in one piece"),
        ((offer("home", 0, 10, ends=False),), "in one piece"),
    ],
)
def test_what_is_missing_is_named(offers: tuple[Offer, ...], words: str):
    with pytest.raises(Unavailable, match=words):
        solo_plan(snapshot(*offers))


def test_gaps_of_overlapping_ranges():
    ranges = [LayerRange(3, 6), LayerRange(0, 4), LayerRange(8, 20)]
    assert missing_layers(10, ranges) == (LayerRange(6, 8),)
    assert missing_layers(10, [LayerRange(12, 20)]) == (LayerRange(0, 10),)
    assert missing_layers(10, [LayerRange(0, 10)]) == ()
