"""Sessions in pages: what one session holds no other changes, whatever is shared, cut or copied."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from swarmnode.inference.cache.block_keys import block_keys
from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.cache.layer_cache import BLOCK
from swarmnode.inference.kernels.page_layout import PageLayout
from swarmnode.inference.stage.paged_sessions import PagedSessions
from swarmnode.values.errors import Refused, Unavailable

LAYOUT = PageLayout(1, 1, "f16")
KEYS = block_keys(b"salt", list(range(1000)))
PLENTY = BlockLimits(1 << 30)


def sessions(kv_bytes: int | None = None, limits: BlockLimits | None = PLENTY) -> PagedSessions:
    return PagedSessions(1, LAYOUT, kv_bytes, limits)


def slot(found: PagedSessions, number: int, position: int) -> np.ndarray:
    """Where a test puts what a position holds: two bytes of its own in the page."""
    session = found.get(number)
    page = session.pages[position // BLOCK]
    assert session.table[position // BLOCK] == page.address
    place = page.offset + 2 * (position % BLOCK)
    return page.slab.memory.bytes[place : place + 2].view(np.uint16)


def write(found: PagedSessions, number: int, texts: list[int]) -> None:
    session = found.get(number)
    first = session.length
    found.prepare(number, first, len(texts))
    for offset, text in enumerate(texts):
        slot(found, number, first + offset)[0] = text
    session.length = first + len(texts)


def read(found: PagedSessions, number: int) -> list[int]:
    return [int(slot(found, number, position)[0]) for position in range(found.get(number).length)]


def code_of(error: pytest.ExceptionInfo[Refused] | pytest.ExceptionInfo[Unavailable]) -> str:
    return error.value.code


def test_a_session_grows_by_pages() -> None:
    found = sessions()
    found.open(1, 200)
    write(found, 1, list(range(63)))
    assert len(found.get(1).pages) == 1
    write(found, 1, [63, 64])
    assert len(found.get(1).pages) == 2
    assert read(found, 1) == list(range(65))
    found.truncate(1, 64)
    assert len(found.get(1).pages) == 1
    found.truncate(1, 0)
    assert not found.get(1).pages and found.pool.bytes == 0


def test_room_is_kept_when_a_session_is_opened_again() -> None:
    found = sessions()
    found.open(1, 70)
    write(found, 1, list(range(70)))
    with pytest.raises(Refused) as caught:
        found.prepare(1, 70, 1)
    assert code_of(caught) == "session_full" and caught.value.hint
    found.open(1, 60)  # smaller: nothing changes
    assert found.get(1).tokens == 70
    found.open(1, 300)
    write(found, 1, list(range(70, 300)))
    assert read(found, 1) == list(range(300))


def test_an_adopted_page_is_copied_before_it_is_written() -> None:
    found = sessions()
    for number in (1, 2, 3):
        found.open(number, 200)
    write(found, 1, list(range(130)))
    found.publish(1, KEYS)
    assert found.adopt(2, KEYS[:2]) == found.adopt(3, KEYS[:2]) == 128
    shared = found.get(1).pages[1]
    assert shared.holders == 4 and found.get(2).pages[1] is shared
    found.truncate(2, 100)
    write(found, 2, [9] * 50)
    assert shared.holders == 3 and found.get(2).pages[1] is not shared
    assert found.get(2).pages[0] is found.get(1).pages[0]
    assert read(found, 2) == [*range(100), *[9] * 50]
    assert read(found, 1) == list(range(130)) and read(found, 3) == list(range(128))


def test_the_giver_copies_too() -> None:
    found = sessions()
    found.open(1, 200)
    found.open(2, 200)
    write(found, 1, list(range(128)))
    found.publish(1, KEYS)
    found.truncate(1, 10)
    write(found, 1, [7] * 5)
    assert found.adopt(2, KEYS) == 128
    assert read(found, 2) == list(range(128))
    assert read(found, 1) == [*range(10), *[7] * 5]


def test_blocks_outlive_their_session_and_go_when_given_up() -> None:
    found = sessions()
    found.open(1, 200)
    write(found, 1, list(range(128)))
    found.publish(1, KEYS)
    found.close(1)
    assert found.pool.bytes and found.blocks.counts().blocks == 2
    found.blocks.clear()
    assert found.pool.bytes == 0


def test_faults_are_named() -> None:
    found = sessions()
    found.open(1, 64)
    write(found, 1, [1] * 10)
    for work, code in (
        (lambda: found.get(9), "unknown_session"),
        (lambda: found.truncate(9, 0), "unknown_session"),
        (lambda: found.adopt(1, KEYS), "session_not_empty"),
        (lambda: found.truncate(1, 11), "bad_position"),
        (lambda: found.truncate(1, -1), "bad_position"),
        (lambda: found.open(2, 0), "bad_session"),
        (lambda: found.prepare(1, 60, 5), "session_full"),
    ):
        with pytest.raises(Refused) as caught:
            work()
        assert code_of(caught) == code
    found.close(9)  # ignored


def test_room_is_reserved_and_shared_blocks_make_way() -> None:
    page = sessions().pool.page_bytes
    found = sessions(4 * page)
    found.open(1, 2 * BLOCK)
    write(found, 1, list(range(2 * BLOCK)))
    found.publish(1, KEYS)
    assert found.blocks.counts().blocks == 2
    with pytest.raises(Unavailable) as caught:
        found.open(2, 2 * BLOCK + 1)
    assert code_of(caught) == "no_cache_room" and caught.value.hint
    assert f"{2 * page} of {4 * page} are free" in caught.value.message
    found.open(2, BLOCK)
    assert found.blocks.counts().blocks == 1
    found.open(3, BLOCK)
    assert found.blocks.counts().blocks == 0
    found.close(2)
    found.open(1, 3 * BLOCK)  # growing asks for the difference only
    with pytest.raises(Unavailable):
        found.open(1, 4 * BLOCK)
    assert read(found, 1) == list(range(2 * BLOCK))


def test_no_sharing_where_it_is_off() -> None:
    found = sessions(limits=None)
    found.open(1, 128)
    write(found, 1, list(range(128)))
    found.publish(1, KEYS)
    assert found.blocks.counts().blocks == 0


def test_the_least_used_blocks_go_first() -> None:
    page = sessions().pool.page_bytes
    found = sessions(limits=BlockLimits(2 * page))
    other = block_keys(b"other", list(range(1000)))
    found.open(1, 128)
    write(found, 1, list(range(128)))
    found.publish(1, KEYS[:1])
    found.publish(1, other[:1])
    found.open(2, 128)
    assert found.adopt(2, KEYS[:1]) == BLOCK  # used again, so the other goes
    third = block_keys(b"third", list(range(1000)))
    found.publish(1, third[:1])
    assert KEYS[0] in found.blocks and third[0] in found.blocks and other[0] not in found.blocks


def test_pages_that_were_never_filled_go_with_the_room() -> None:
    found = sessions()
    found.open(1, 300)
    found.prepare(1, 0, 200)
    found.fit(1)
    assert not found.get(1).pages and found.pool.bytes == 0
    found.open(1, 300)
    write(found, 1, list(range(300)))
    assert read(found, 1) == list(range(300))


class AnyOrder(RuleBasedStateMachine):
    """Against lists: what each session holds, and what each key names."""

    numbers = st.integers(0, 3)

    def __init__(self) -> None:
        super().__init__()
        page = sessions().pool.page_bytes
        self.found = sessions(14 * page, BlockLimits(4 * page))
        self.texts: dict[int, list[int]] = {}
        self.rooms: dict[int, int] = {}
        self.known: dict[bytes, list[int]] = {}

    def keys(self, texts: list[int]) -> list[bytes]:
        return list(block_keys(b"salt", texts))

    @rule(number=numbers, tokens=st.integers(1, 250))
    def open(self, number: int, tokens: int) -> None:
        try:
            self.found.open(number, tokens)
        except Unavailable:
            return
        self.texts.setdefault(number, [])
        self.rooms[number] = max(tokens, self.rooms.get(number, 0))

    @rule(number=numbers, count=st.integers(1, 140), text=st.integers(0, 3))
    def write(self, number: int, count: int, text: int) -> None:
        if number not in self.texts or len(self.texts[number]) + count > self.rooms[number]:
            return
        write(self.found, number, [text] * count)
        self.texts[number] += [text] * count

    @rule(number=numbers, part=st.floats(0, 1))
    def truncate(self, number: int, part: float) -> None:
        if number in self.texts:
            position = int(part * len(self.texts[number]))
            self.found.truncate(number, position)
            del self.texts[number][position:]

    @rule(number=numbers)
    def publish(self, number: int) -> None:
        if number in self.texts:
            keys = self.keys(self.texts[number])
            for index, key in enumerate(keys):
                self.known[key] = self.texts[number][index * BLOCK : (index + 1) * BLOCK]
            self.found.publish(number, keys)

    @rule(number=numbers, other=numbers)
    def adopt(self, number: int, other: int) -> None:
        if number in self.texts and not self.texts[number] and other in self.texts:
            keys = self.keys(self.texts[other])
            length = self.found.adopt(number, keys)
            assert length % BLOCK == 0 and length <= self.rooms[number]
            self.texts[number] = [text for key in keys[: length // BLOCK] for text in self.known[key]]

    @rule(number=numbers)
    def close(self, number: int) -> None:
        self.found.close(number)
        self.texts.pop(number, None)
        self.rooms.pop(number, None)

    @precondition(lambda self: True)
    @rule()
    def forget(self) -> None:
        self.found.blocks.clear()

    @invariant()
    def nothing_else_changed(self) -> None:
        for number, texts in self.texts.items():
            assert read(self.found, number) == texts

    @invariant()
    def every_page_is_counted(self) -> None:
        pages = [page for number in self.texts for page in self.found.get(number).pages]
        blocks = self.found.blocks.counts().blocks
        distinct = {id(page): page for page in pages}
        holders = sum(page.holders for page in distinct.values())
        assert len(pages) <= holders <= len(pages) + blocks
        if not pages and not blocks:
            assert self.found.pool.bytes == 0


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
