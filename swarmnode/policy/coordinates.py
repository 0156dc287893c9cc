"""Round-trip times that nobody measured, from those that somebody did (Vivaldi; Dabek, Cox, Kaashoek, Morris,
SIGCOMM 2004).

A plane with heights: the paper finds it as good as spaces of more dimensions without heights, because the
time of a path is the distance in the core of the Internet plus the links of both ends; and it is four numbers
in a claim. Strangers report their places, so what one of them can do in one step is bounded, and nothing that
is not a finite number is looked at.
"""

from __future__ import annotations

import math
from typing import Protocol

from swarmnode.values.coordinate import Coordinate

#: The paper's c_e and c_c: how fast the error and the place follow what is measured.
ERROR_GAIN, PLACE_GAIN = 0.25, 0.25
#: Round-trip times outside are measured wrongly, or lied about.
MIN_RTT, MAX_RTT = 10e-6, 10.0
#: Places and heights are at most this far out, seconds.
MAX_PLACE = 10.0
#: Nobody's link takes less; it keeps two nodes on one place apart.
MIN_HEIGHT = 10e-6
#: Nobody moves us further in one step, seconds.
MAX_STEP = 0.25
#: No node is surer than this: with error 0 nothing would be learnt any more.
MIN_ERROR = 0.01
#: Told is a move of more than 10 ms, or of a fifth of the way to where we are and more than 1 ms.
TELL_SECONDS, TELL_SHARE, TELL_LEAST = 0.010, 0.2, 0.001


class Chance(Protocol):
    """The part of `random.Random` that is needed."""

    def random(self) -> float: ...


START = Coordinate(0.0, 0.0, MIN_HEIGHT, 1.0)


def sound(coordinate: Coordinate) -> Coordinate | None:
    """What a peer says of its place, within bounds; None when it is no place."""
    values = (coordinate.x, coordinate.y, coordinate.height, coordinate.error)
    if not all(math.isfinite(value) for value in values):
        return None
    return Coordinate(
        _clamp(coordinate.x, -MAX_PLACE, MAX_PLACE),
        _clamp(coordinate.y, -MAX_PLACE, MAX_PLACE),
        _clamp(coordinate.height, MIN_HEIGHT, MAX_PLACE),
        _clamp(coordinate.error, MIN_ERROR, 1.0),
    )


def predict(one: Coordinate, other: Coordinate) -> float:
    """The round-trip time between two places, seconds."""
    return math.hypot(one.x - other.x, one.y - other.y) + one.height + other.height


def update(own: Coordinate, peer: Coordinate, rtt: float, rng: Chance) -> Coordinate:
    """Where we are after a round trip of `rtt` seconds to somebody who says to be at `peer`. Unchanged when
    either makes no sense."""
    theirs = sound(peer)
    if theirs is None or not MIN_RTT <= rtt <= MAX_RTT:
        return own
    predicted = predict(own, theirs)
    weight = own.error / (own.error + theirs.error)
    off = min(1.0, abs(predicted - rtt) / rtt)
    error = _clamp(off * ERROR_GAIN * weight + own.error * (1 - ERROR_GAIN * weight), MIN_ERROR, 1.0)
    step = _clamp(PLACE_GAIN * weight * (rtt - predicted), -MAX_STEP, MAX_STEP)
    x, y, height = _direction(own, theirs, rng)
    moved = Coordinate(own.x + step * x, own.y + step * y, own.height + step * height, error)
    return sound(moved) or own


def worth_telling(told: Coordinate | None, now: Coordinate) -> bool:
    """Whether others should hear that we are at `now` and no longer where they were told."""
    if told is None:
        return True
    way = math.hypot(now.x - told.x, now.y - told.y) + abs(now.height - told.height)
    size = math.hypot(now.x, now.y) + now.height
    return way > TELL_SECONDS or (way > TELL_SHARE * size and way > TELL_LEAST)


def _direction(own: Coordinate, other: Coordinate, rng: Chance) -> tuple[float, float, float]:
    """The unit vector from the other to us. Heights add up (the paper's [x, h] algebra)."""
    x, y, height = own.x - other.x, own.y - other.y, own.height + other.height
    if math.hypot(x, y) < MIN_RTT / 2:
        # Both at one place: any direction does, but one has to be taken.
        angle = 2 * math.pi * rng.random()
        x, y = math.cos(angle) * height, math.sin(angle) * height
    norm = math.hypot(x, y) + height
    return x / norm, y / norm, height / norm


def _clamp(value: float, least: float, most: float) -> float:
    return max(least, min(most, value))
