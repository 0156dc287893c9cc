"""Who may stand at the door, and who gives way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from swarmnode.network.doorstep import (
    MAX_KINDS,
    MAX_UNSECURED,
    MAX_UNSECURED_PER_IP,
    TELL_SECONDS,
    UNDISTURBED_SECONDS,
    Doorstep,
    Tally,
)


class Door:
    """A doorstep, and who stands there: number to address."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.step = Doorstep(self.clock.seconds)
        self.inside: dict[int, str] = {}

    def come(self, ip: str) -> int | None:
        """The number of who was let in; it goes at once when it is sent away."""
        if not self.step.has_room(ip):
            return None
        number = self.step.enter(ip, lambda: self.go(number))
        self.inside[number] = ip
        return number

    def go(self, number: int) -> None:
        self.step.leave(number)
        del self.inside[number]


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["127.0.0.1", "::1", "1.1.1.1", "2.2.2.2"]), st.floats(0, 1))
    )
)
def test_there_are_never_too_many(steps: list[tuple[bool, str, float]]) -> None:
    door = Door()
    for enters, ip, seconds in steps * 20:
        door.clock.advance(seconds)
        if enters:
            door.come(ip)
        elif ip in door.inside.values():
            door.go(next(number for number, there in door.inside.items() if there == ip))
        assert len(door.step) == len(door.inside) <= MAX_UNSECURED
        for each in ("1.1.1.1", "2.2.2.2"):
            assert list(door.inside.values()).count(each) <= MAX_UNSECURED_PER_IP


def test_who_stands_there_for_long_gives_way_to_who_comes_from_the_same_place() -> None:
    door = Door()
    numbers = [door.come("1.1.1.1") for _ in range(MAX_UNSECURED_PER_IP)]
    assert door.come("1.1.1.1") is None, "nobody is disturbed in the first moments"
    door.clock.advance(UNDISTURBED_SECONDS)
    assert door.come("1.1.1.1") is not None
    assert numbers[0] not in door.inside and numbers[1] in door.inside


def test_the_largest_crowd_gives_way() -> None:
    door = Door()
    first = door.come("9.9.9.9")
    for place in range(MAX_UNSECURED // MAX_UNSECURED_PER_IP - 1):
        for _ in range(MAX_UNSECURED_PER_IP):
            door.come(f"1.1.1.{place}")
    for other in range(MAX_UNSECURED_PER_IP - 1):
        door.come(f"2.2.2.{other}")
    assert len(door.step) == MAX_UNSECURED and door.come("3.3.3.3") is None
    door.clock.advance(UNDISTURBED_SECONDS)
    assert door.come("3.3.3.3") is not None
    assert first in door.inside and list(door.inside.values()).count("1.1.1.0") == MAX_UNSECURED_PER_IP - 1


def test_the_addresses_of_one_network_of_ipv6_are_one_place() -> None:
    door = Door()
    assert all(door.come(f"2001:db8:1:2::{n:x}") for n in range(1, MAX_UNSECURED_PER_IP + 1))
    assert door.come("2001:db8:1:2:ffff::1") is None
    assert door.come("2001:db8:1:3::1") is not None


def test_failures_of_a_kind_are_told_now_and_then() -> None:
    clock = Clock()
    tally = Tally(clock.seconds)
    assert [tally.count("slow") for _ in range(3)] == [1, None, None]
    assert tally.count("forged") == 1
    clock.advance(TELL_SECONDS)
    assert tally.count("slow") == 3
    clock.advance(TELL_SECONDS)
    assert tally.count("slow") == 1


def test_kinds_beyond_number_are_one() -> None:
    tally = Tally(Clock().seconds)
    told = [tally.count(str(number)) for number in range(3 * MAX_KINDS)]
    assert told.count(1) == MAX_KINDS + 1 and told.count(None) == 2 * MAX_KINDS - 1
