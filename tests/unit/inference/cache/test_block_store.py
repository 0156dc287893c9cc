"""Blocks that sessions share: what is found, what is given up, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.inference.cache.block_store import BlockLimits, BlockStore

SIZE = 10


def chain(text: str) -> list[bytes]:
    """`abc`: the keys of a block, one after it, and one after that."""
    return [text[: i + 1].encode() for i in range(len(text))]


class Blocks:
    """A store whose blocks are their own keys' texts."""

    def __init__(self, blocks: int = 100, prompts: int = 100, seconds: float = 60.0) -> None:
        self.released: list[str] = []
        self.made: list[str] = []
        limits = BlockLimits(blocks * SIZE, prompts, seconds)
        self.store: BlockStore[str] = BlockStore(limits, self.released.append)

    def put(self, text: str, room: int | None = None) -> int:
        def make(index: int) -> str:
            self.made.append(text[: index + 1])
            return text[: index + 1]

        return self.store.put(chain(text), SIZE, make, room)

    def find(self, text: str) -> list[str]:
        return self.store.find(chain(text))

    def held(self, *texts: str) -> list[bool]:
        return [text.encode() in self.store for text in texts]


def test_the_longest_known_run_is_found() -> None:
    blocks = Blocks()
    assert blocks.find("abc") == []
    blocks.put("abc")
    assert blocks.find("abxyz") == ["a", "ab"]
    counts = blocks.store.counts()
    assert (counts.hits, counts.misses, counts.blocks, counts.bytes) == (2, 6, 3, 3 * SIZE)


def test_known_blocks_are_not_made_again() -> None:
    blocks = Blocks()
    blocks.put("abc")
    assert blocks.put("abde") == 4
    assert blocks.made == ["a", "ab", "abc", "abd", "abde"]


def test_the_longest_unused_goes_first_and_ends_before_beginnings() -> None:
    blocks = Blocks(blocks=4)
    blocks.put("ab")
    blocks.put("xy")
    blocks.find("ab")
    blocks.put("pq")
    assert blocks.released == ["xy", "x"]
    blocks.put("m")
    assert blocks.released[2:] == ["ab"]
    assert blocks.held("a", "ab", "p", "pq", "m") == [True, False, True, True, True]


def test_a_chain_longer_than_the_store_keeps_its_beginning() -> None:
    blocks = Blocks(blocks=3)
    blocks.put("xy")
    assert blocks.put("abcde") == 3
    assert blocks.find("abcde") == ["a", "ab", "abc"]
    assert blocks.store.nbytes == 3 * SIZE


def test_less_room_than_the_limit_is_obeyed() -> None:
    blocks = Blocks()
    blocks.put("abc")
    assert blocks.put("xyz", room=4 * SIZE) == 3
    assert blocks.store.nbytes == 4 * SIZE
    assert blocks.put("pq", room=SIZE - 1) == 0
    assert blocks.put("pq", room=-5) == 0


def test_nothing_is_held_without_a_limit_above_nothing() -> None:
    blocks = Blocks(blocks=0)
    assert blocks.put("abc") == 0 and blocks.find("abc") == [] and blocks.made == []


def test_the_seventeenth_prompt_ends_the_first() -> None:
    blocks = Blocks(prompts=16)
    texts = [f"s{chr(97 + i)}{chr(65 + i)}" for i in range(17)]
    for text in texts[:16]:
        blocks.put(text)
    assert blocks.store.counts().prompts == 16 and blocks.released == []
    blocks.put(texts[16])
    assert blocks.released == ["saA", "sa"]
    assert blocks.find("saA") == ["s"] and len(blocks.find(texts[1])) == 3


def test_a_prompt_that_goes_on_is_the_same_prompt() -> None:
    blocks = Blocks(prompts=1)
    for text in ("a", "ab", "abc", "ab"):
        blocks.put(text)
    assert blocks.store.counts().prompts == 1 and blocks.released == []


def test_what_is_not_used_for_its_time_goes() -> None:
    blocks = Blocks(seconds=60.0)
    blocks.store.expire(1000.0)
    blocks.put("abc")
    blocks.put("xy")
    blocks.store.expire(1030.0)
    blocks.find("ab")
    blocks.store.expire(1059.9)
    assert blocks.released == []
    blocks.store.expire(1060.0)
    assert blocks.released == ["abc", "xy", "x"]
    blocks.store.expire(1090.0)
    assert blocks.store.counts().blocks == blocks.store.nbytes == blocks.store.counts().prompts == 0


def test_giving_up_says_how_much() -> None:
    blocks = Blocks()
    blocks.put("ab")
    assert [blocks.store.give_up_oldest() for _ in range(3)] == [SIZE, SIZE, 0]
    blocks.put("xyz")
    blocks.store.clear()
    assert blocks.store.counts().blocks == 0 and len(blocks.released) == 5


def test_no_memory_for_a_block_leaves_the_books_right() -> None:
    blocks = Blocks()

    def make(index: int) -> str:
        if index == 2:
            raise MemoryError
        return "abcd"[: index + 1]

    with pytest.raises(MemoryError):
        blocks.store.put(chain("abcd"), SIZE, make)
    assert blocks.find("abcd") == ["a", "ab"]
    blocks.store.clear()
    assert blocks.store.nbytes == 0 and blocks.released == ["ab", "a"]


TEXTS = st.text("ab", min_size=1, max_size=6)
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), TEXTS),
        st.tuples(st.just("find"), TEXTS),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(st.just("give up"), st.just(0)),
    ),
    max_size=60,
)


@given(DEEDS, st.integers(0, 8), st.integers(1, 5))
def test_the_books_are_right_whatever_happens(deeds: list, limit: int, prompts: int) -> None:
    blocks, now = Blocks(limit, prompts), 0.0
    for deed, argument in deeds:
        if deed == "put":
            assert len(blocks.find(argument)) <= blocks.put(argument) <= len(argument)
        elif deed == "find":
            found = blocks.find(argument)
            assert found == [argument[: i + 1] for i in range(len(found))]
        elif deed == "wait":
            now += argument
            blocks.store.expire(now)
        else:
            blocks.store.give_up_oldest()
        held = {text for text in blocks.made if text.encode() in blocks.store}
        ends = {text for text in held if not held & {text + "a", text + "b"}}
        counts = blocks.store.counts()
        assert counts.blocks == len(held) <= limit and counts.bytes == SIZE * len(held)
        assert counts.prompts == len(ends) <= prompts
        assert all(text[:-1] in held or len(text) == 1 for text in held)
        assert len(blocks.made) - len(blocks.released) == len(held) and counts.evicted == len(blocks.released)
