"""Pages: nobody's twice, given back as soon as nobody has them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.inference.cache import pages
from swarmnode.inference.cache.pages import Page, PagePool
from swarmnode.inference.kernels.program import ALIGNMENT

SIZE = 1000


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SLAB_BYTES", 3 * 1024)


def fill(page: Page, number: int) -> None:
    page.slab.memory.bytes[page.offset : page.offset + SIZE] = number


def holds(page: Page, number: int) -> bool:
    return bool((page.slab.memory.bytes[page.offset : page.offset + SIZE] == number).all())


def test_pages_are_aligned_and_apart() -> None:
    pool = PagePool(SIZE)
    assert pool.page_bytes == 1024 and pool.bytes == 0
    held = [pool.take() for _ in range(7)]
    assert pool.bytes == 3 * 3 * 1024
    assert all(page.address % ALIGNMENT == 0 for page in held)
    assert all(page.address == page.slab.memory.address + page.offset for page in held)
    for number, page in enumerate(held):
        fill(page, number)
    assert all(holds(page, number) for number, page in enumerate(held))


def test_a_new_page_is_zeros_and_a_used_one_is_taken_again() -> None:
    pool = PagePool(SIZE)
    kept, page = pool.take(), pool.take()
    assert holds(page, 0)
    place = page.address
    pool.release(page)
    assert pool.take().address == place
    assert kept.holders == 1


def test_memory_goes_with_its_last_page() -> None:
    pool = PagePool(SIZE)
    held = [pool.take() for _ in range(6)]
    for page in held[:2]:
        pool.release(page)
    assert pool.bytes == 2 * 3 * 1024
    pool.release(held[2])
    assert pool.bytes == 3 * 1024
    for page in held[3:]:
        pool.release(page)
    assert pool.bytes == 0


def test_a_page_lives_as_long_as_somebody_holds_it() -> None:
    pool = PagePool(SIZE)
    page = pool.take()
    fill(page, 9)
    assert pool.hold(page) is page and page.holders == 2
    pool.release(page)
    assert holds(page, 9) and pool.bytes
    pool.release(page)
    assert pool.bytes == 0


def test_a_copy_is_ones_own() -> None:
    pool = PagePool(SIZE)
    page = pool.take()
    fill(page, 5)
    copy = pool.copy(page)
    assert copy.holders == 1 and copy.address != page.address and holds(copy, 5)
    fill(copy, 6)
    assert holds(page, 5)


def test_pages_larger_than_a_slab() -> None:
    pool = PagePool(10_000)
    one, two = pool.take(), pool.take()
    assert one.slab is not two.slab and pool.bytes == 2 * pool.page_bytes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["take", "hold", "release", "copy"]), st.integers(0, 99))))
def test_any_order(steps: list[tuple[str, int]]) -> None:
    """Against a list of (page, content): what one holder wrote nobody else changes."""
    pool, held, number = PagePool(SIZE), [], 0
    for what, which in steps:
        if what == "take" or not held:
            number = number % 250 + 1
            page = pool.take()
            fill(page, number)
            held.append((page, number))
            continue
        page, content = held[which % len(held)]
        if what == "hold":
            held.append((pool.hold(page), content))
        elif what == "copy":
            held.append((pool.copy(page), content))
        else:
            held.pop(which % len(held))
            pool.release(page)
    assert all(holds(page, content) for page, content in held)
    for page, _ in held:
        assert page.holders == sum(other is page for other, _ in held)
    distinct = {page.address for page, _ in held}
    assert len(distinct) == len({id(page) for page, _ in held})
    slabs = {id(page.slab) for page, _ in held}
    assert pool.bytes == len(slabs) * 3 * 1024
