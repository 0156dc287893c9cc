"""Replay windows: compared with a plain set that forgets nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.swarm.replay import WINDOW, ReplayTable, ReplayWindow, Seen

near = st.integers(0, 3 * WINDOW)


@given(st.lists(near | st.integers(0, 2**64 - 1), max_size=200))
def test_a_window_agrees_with_a_set(numbers: list[int]) -> None:
    window, taken = ReplayWindow(), set()
    for number in numbers:
        highest = max(taken, default=-1)
        expected = Seen.AGAIN if number in taken else Seen.NEW
        if highest - number >= WINDOW:
            expected = Seen.BEHIND
        assert window.look(number) is expected
        assert window.take(number) is expected
        if expected is Seen.NEW:
            taken.add(number)


def test_reordering_within_the_window_is_fine() -> None:
    window = ReplayWindow()
    assert window.take(1000) is Seen.NEW
    assert window.take(1000 - WINDOW + 1) is Seen.NEW
    assert window.take(1000 - WINDOW) is Seen.BEHIND


def test_the_table_forgets_who_was_silent_longest() -> None:
    table = ReplayTable(limit=2)
    for key in ("a", "b", "a", "c"):
        table.take(key, 1)
    assert len(table) == 2
    assert table.look("a", 1) is Seen.AGAIN
    assert table.look("c", 1) is Seen.AGAIN
    assert table.look("b", 1) is Seen.NEW


def test_looking_changes_nothing() -> None:
    table = ReplayTable()
    assert table.look("a", 5) is Seen.NEW
    assert len(table) == 0
    assert table.take("a", 5) is Seen.NEW
