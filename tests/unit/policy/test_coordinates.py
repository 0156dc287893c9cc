"""Vivaldi: places that predict round-trip times, and what liars can do to them."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.policy.coordinates import (
    MAX_PLACE,
    MAX_STEP,
    MIN_HEIGHT,
    START,
    predict,
    sound,
    update,
    worth_telling,
)
from swarmnode.values.coordinate import Coordinate

anything = st.floats(allow_nan=True, allow_infinity=True)
places = st.builds(Coordinate, anything, anything, anything, anything)


def within(coordinate: Coordinate) -> bool:
    return (
        abs(coordinate.x) <= MAX_PLACE
        and abs(coordinate.y) <= MAX_PLACE
        and MIN_HEIGHT <= coordinate.height <= MAX_PLACE
        and 0 < coordinate.error <= 1
    )


def test_the_distance_is_that_of_the_plane_and_both_heights():
    assert predict(Coordinate(0.0, 0.03, 0.001), Coordinate(0.04, 0.0, 0.002)) == pytest.approx(0.053)


def test_one_step_is_the_one_of_the_paper():
    # w = 1 / (1 + 1); e = 1; the force is 0.1 - 0.05 along the way, a unit vector of |x| + h = 1.
    own, peer = Coordinate(0.03, 0.0, 0.01, 1.0), Coordinate(0.0, 0.0, 0.01, 1.0)
    moved = update(own, peer, 0.1, Random(1))
    step = 0.25 * 0.5 * (0.1 - 0.05)
    assert moved.x == pytest.approx(0.03 + step * 0.03 / 0.05)
    assert moved.y == 0.0
    assert moved.height == pytest.approx(0.01 + step * 0.02 / 0.05)
    assert moved.error == pytest.approx(0.5 * 0.25 * 0.5 + 1.0 * (1 - 0.25 * 0.5))


def test_places_come_to_predict_round_trips_that_were_never_measured():
    rng = Random(7)
    real = [
        Coordinate(rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), rng.uniform(0.001, 0.02))
        for _ in range(30)
    ]
    found = [START] * len(real)
    for _ in range(300):
        for here in range(len(real)):
            # Each one measures to half of the others, always the same ones.
            there = (here + rng.randint(1, 15)) % len(real)
            found[here] = update(found[here], found[there], predict(real[here], real[there]), rng)
    errors = sorted(
        abs(predict(found[a], found[b]) - predict(real[a], real[b])) / predict(real[a], real[b])
        for a in range(len(real))
        for b in range(a)
    )
    assert errors[len(errors) // 2] < 0.1
    assert errors[int(len(errors) * 0.9)] < 0.4


@given(places, places, anything, st.integers(0, 2**32))
def test_whatever_a_peer_says_we_stay_within_bounds(own: Coordinate, peer: Coordinate, rtt: float, seed: int):
    start = sound(own) or START
    moved = update(start, peer, rtt, Random(seed))
    assert within(moved)
    assert math.hypot(moved.x - start.x, moved.y - start.y) <= MAX_STEP * 1.001


@given(places)
def test_a_place_is_taken_within_bounds_or_not_at_all(place: Coordinate):
    taken = sound(place)
    finite = all(map(math.isfinite, (place.x, place.y, place.height, place.error)))
    assert within(taken) if taken is not None else not finite


@pytest.mark.parametrize("rtt", [0.0, -1.0, math.nan, math.inf, 11.0])
def test_a_round_trip_that_cannot_be_moves_nobody(rtt: float):
    assert update(START, Coordinate(0.1, 0.1, 0.01, 0.1), rtt, Random(1)) == START


def test_only_real_moves_are_told():
    here = Coordinate(0.1, 0.0, 0.0)
    assert worth_telling(None, here)
    assert not worth_telling(here, here)
    assert not worth_telling(here, Coordinate(0.105, 0.0, 0.0))
    assert worth_telling(here, Coordinate(0.111, 0.0, 0.0))
    # A node on a local network: a fifth of little is little, and not told below a millisecond.
    assert not worth_telling(Coordinate(0.0, 0.0, 0.0001), Coordinate(0.0, 0.0, 0.0009))
    assert worth_telling(Coordinate(0.003, 0.0, 0.0), Coordinate(0.005, 0.0, 0.0))
