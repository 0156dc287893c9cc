"""Rows kept at a cut: what goes in comes out, in any pieces, until there is too much."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.pipeline.kept_inputs import KeptInputs

ROW = 3


def row(position: int) -> bytes:
    return bytes([position % 251, position // 251, 7])


def rows(first: int, count: int) -> bytes:
    return b"".join(row(p) for p in range(first, first + count))


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.data())
def test_any_piece_can_be_had_again(sizes: list[int], data: st.DataObject) -> None:
    kept = KeptInputs(1 << 20)
    for size in sizes:
        again = data.draw(st.integers(0, min(kept.end, 4)))  # some rows come twice
        kept.add(kept.end - again, size + again, rows(kept.end - again, size + again))
    assert kept.end == sum(sizes)
    first = data.draw(st.integers(0, kept.end - 1))
    count = data.draw(st.integers(1, kept.end - first))
    assert bytes(kept.rows(first, count)) == rows(first, count)
    kept.used(kept.end)
    assert kept.base == 0 and not kept.full


def test_what_was_used_goes_when_there_is_too_much() -> None:
    kept = KeptInputs(4 * ROW)
    for first in range(0, 12, 2):
        kept.add(first, 2, rows(first, 2))
    assert kept.full
    kept.used(5)
    assert kept.base == 4 and kept.full
    assert bytes(kept.rows(5, 7)) == rows(5, 7)
    kept.used(12)  # a part of what was used is of no use to a new stage: all of it goes
    assert kept.base == 12 and not kept.full
    kept.restart()
    kept.add(0, 1, row(0))
    assert (kept.base, kept.end) == (0, 1)


def test_rows_with_a_gap_are_an_error() -> None:
    kept = KeptInputs(100)
    with pytest.raises(ValueError, match="missing"):
        kept.add(1, 1, row(1))
