"""What the engine makes of shared blocks: rows that are not computed, told honestly; the text the same."""

from __future__ import annotations

from typing import Any

import pytest

from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.prefix_sharing import PrefixPolicy
from swarmnode.testing.engine_bench import EngineBench, greedy
from swarmnode.values.generation import Failed, Finished, Sampling, Started

POLICY = PrefixPolicy(True, salt=b"salt")
PLENTY = BlockLimits(100_000)


def prompt(length: int, kind: int = 0) -> tuple[int, ...]:
    return tuple((i * i + 7 * kind + i // 64) % 38 for i in range(length))


def bench(blocks: BlockLimits = PLENTY, prefix: PrefixPolicy = POLICY, **options: Any) -> EngineBench:
    return EngineBench(chunk=64, blocks=blocks, prefix=prefix, **options)


def cached(made: EngineBench, name: str) -> int:
    started = made.events[name][0]
    assert isinstance(started, Started)
    assert made.last(name).usage.cached_tokens == started.cached_tokens
    return started.cached_tokens


def test_a_prompt_sent_again_computes_its_last_token_only() -> None:
    made = bench()
    asked = prompt(513)
    for name in ("first", "again"):
        made.stage.computed = 0
        made.submit(name, asked)
        made.run()
    assert cached(made, "first") == 0 and cached(made, "again") == 512
    assert made.stage.computed == 1 + 7
    assert made.ids("first") == made.ids("again") == greedy(asked, 8)
    counts = made.engine.describe()["prefix_cache"]
    assert (counts["hits"], counts["misses"], counts["tokens_saved"]) == (8, 8, 512)


def test_a_prompt_of_whole_blocks_still_computes_a_token() -> None:
    made = bench()
    for name in ("first", "again"):
        made.submit(name, prompt(128))
        made.run()
    assert cached(made, "again") == 64 and made.ids("again") == greedy(prompt(128), 8)


def test_the_next_turn_takes_prompt_and_answer_without_a_session() -> None:
    made = bench()
    first = next(prompt(100, k) for k in range(99) if len(greedy(prompt(100, k), 40)) == 40)
    made.submit("first", first, max_tokens=40)
    made.run()
    second = (*first, *made.ids("first"), 5, 6)
    made.submit("second", second)
    made.run()
    assert cached(made, "second") == 128
    assert made.ids("second") == greedy(second, 8)


def test_the_first_turn_of_a_conversation_may_be_short() -> None:
    made = bench()
    first = next((k, 2) for k in range(38) if len(greedy((k, 2), 70)) == 70)
    made.submit("first", first, max_tokens=70)
    made.run()
    second = (*first, *made.ids("first"), 5)
    made.submit("second", second)
    made.run()
    assert cached(made, "second") == 64 and made.ids("second") == greedy(second, 8)


def test_another_beginning_shares_nothing() -> None:
    made = bench()
    for name, asked in (("a", prompt(200)), ("b", (37, *prompt(200)[1:])), ("c", (*prompt(199), 37))):
        made.submit(name, asked)
        made.run()
        assert made.ids(name) == greedy(asked, 8)
    assert [cached(made, name) for name in "abc"] == [0, 0, 192]


def test_other_salts_share_nothing() -> None:
    """The blocks are where they were, but the names are others."""
    made, other = bench(), bench(prefix=PrefixPolicy(True, salt=b"pepper"))
    made.submit("a", prompt(200))
    made.run()
    other.stage.blocks = made.stage.blocks
    other.submit("a", prompt(200))
    other.run()
    assert cached(other, "a") == 0


def test_choices_share_one_prompt() -> None:
    made, alone = bench(), bench(prefix=PrefixPolicy(False))
    sampling = Sampling(temperature=1.0, seed=5)
    for engine in (made, alone):
        engine.submit("a", prompt(200), n=4, sampling=sampling)
        engine.run()
    assert made.stage.computed == 200 + 3 * (200 - 192) + decoded(made)
    assert alone.stage.computed == 4 * 200 + decoded(alone)
    assert [made.ids("a", i) for i in range(4)] == [alone.ids("a", i) for i in range(4)]
    assert len({tuple(made.ids("a", i)) for i in range(4)}) > 1
    assert cached(made, "a") == 0 == cached(alone, "a")


def decoded(made: EngineBench) -> int:
    """Rows of answers: every token but the last was fed back, and an end token never was."""
    return sum(batch_rows(made, one=True))


def batch_rows(made: EngineBench, one: bool) -> list[int]:
    return [
        part.count
        for batch in made.stage.batches
        for part in batch.slices
        if (part.count == 1 and part.first >= 200) == one
    ]


def test_choices_of_a_short_prompt_wait_for_nobody() -> None:
    made = bench()
    made.submit("a", (1, 2, 3), n=3)
    made.run(1)
    assert len(made.stage.batches[0].slices) == 3


def test_two_that_are_alike_compute_their_prompt_once() -> None:
    made = bench(slots=4)
    made.submit("a", prompt(400))
    made.submit("b", (*prompt(390), 5, 6))
    made.submit("c", prompt(300, kind=3))
    made.run()
    assert (cached(made, "a"), cached(made, "b"), cached(made, "c")) == (0, 384, 0)
    for name, asked in (("a", prompt(400)), ("b", (*prompt(390), 5, 6)), ("c", prompt(300, kind=3))):
        assert made.ids(name) == greedy(asked, 8)


def test_nobody_waits_for_a_prompt_that_takes_longer_than_their_own() -> None:
    made = bench()
    made.submit("long", prompt(600))
    made.submit("short", prompt(140))
    made.run(1)
    assert len(made.stage.batches[0].slices) == 2
    made.run()
    assert made.ids("short") == greedy(prompt(140), 8)


def test_who_waited_goes_on_when_the_other_is_cancelled() -> None:
    made = bench()
    slot = made.submit("a", prompt(400))
    made.submit("b", prompt(400))
    made.run(4)
    assert made.events["b"] == []
    made.engine.cancel(slot)
    made.run()
    assert isinstance(made.last("b"), Finished) and cached(made, "b") == 64  # of 8 + 16 + 32 + 64 rows
    assert made.ids("b") == greedy(prompt(400), 8)


def test_who_waited_goes_on_when_the_other_fails() -> None:
    made = bench()
    bad = (*prompt(390), 38)
    made.stage.poison = 38
    made.submit("bad", bad)
    made.submit("good", prompt(400))
    made.run()
    assert isinstance(made.last("bad"), Failed)
    assert made.ids("good") == greedy(prompt(400), 8)


def test_nobody_waits_for_a_paused_reader() -> None:
    made = bench()
    slot = made.submit("a", prompt(400))
    made.run(1)
    made.engine.pause(slot)
    made.submit("b", prompt(400))
    made.run()
    assert isinstance(made.last("b"), Finished)


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (PrefixPolicy(False), 0),
        (PrefixPolicy(True, min_tokens=201), 0),
        (PrefixPolicy(True, min_tokens=200), 192),
        (PrefixPolicy(True, max_tokens=199), 0),
        (PrefixPolicy(True, max_tokens=200), 192),
    ],
)
def test_which_prompts_are_kept(policy: PrefixPolicy, kept: int) -> None:
    made = bench(prefix=policy)
    for name in ("first", "again"):
        made.submit(name, prompt(200), max_tokens=1)
        made.run()
    assert cached(made, "again") == kept
    assert made.ids("first") == made.ids("again")


def test_the_seventeenth_prompt_ends_the_first() -> None:
    made = bench(BlockLimits(100_000, prompts=16))
    for kind in range(17):
        made.submit(f"p{kind}", prompt(130, kind=kind + 1), max_tokens=1)
        made.run()
    for kind, expected in ((1, 128), (0, 0)):
        made.submit(f"again{kind}", prompt(130, kind=kind + 1), max_tokens=1)
        made.run()
        assert cached(made, f"again{kind}") == expected


def test_what_nobody_asks_for_again_is_forgotten() -> None:
    made = bench(BlockLimits(100_000, seconds=600.0))
    made.submit("a", prompt(200))
    made.run()
    assert made.stage.block_counts().blocks == 3
    made.now += 601
    assert made.engine.step() is False
    assert made.stage.block_counts().blocks == 0


def test_requests_come_before_kept_blocks() -> None:
    made = bench()
    made.stage.room = 420
    made.submit("a", prompt(200))
    made.run()
    assert made.stage.block_counts().blocks == 3
    made.submit("b", prompt(400, kind=2))
    made.run()
    assert made.ids("b") == greedy(prompt(400, kind=2), 8)


def test_a_session_and_its_blocks_do_not_get_in_each_others_way() -> None:
    made = bench()
    first = prompt(150)
    made.submit("first", first, session_id="s")
    made.run()
    second = (*first, *made.ids("first"), 3, 4)
    made.submit("second", second, session_id="s")
    made.run()
    assert cached(made, "second") == len(first) + len(made.ids("first")) - 1
    other = (*prompt(100, kind=9), 7)
    made.submit("other", other, session_id="s")
    made.run()
    made.submit("back", second, session_id="s")
    made.run()
    assert cached(made, "back") == 128
    for name, asked in (("second", second), ("other", other), ("back", second)):
        assert made.ids(name) == greedy(asked, 8)


def test_without_memory_for_blocks_the_answer_goes_on() -> None:
    made = bench()
    made.submit("a", prompt(200))
    made.run()

    def publish(session: int, keys: Any) -> None:
        raise MemoryError

    made.stage.publish = publish  # type: ignore[method-assign]
    made.submit("b", prompt(300, kind=2))
    made.run()
    assert made.ids("b") == greedy(prompt(300, kind=2), 8)
    assert made.stage.block_counts().blocks == 0


def test_less_than_a_block_of_a_session_is_kept_where_no_block_is_known() -> None:
    made = bench()
    made.submit("first", prompt(30), session_id="s")
    made.run()
    second = (*prompt(30), 9, *prompt(60, kind=4))
    made.submit("second", second, session_id="s")
    made.run()
    assert cached(made, "second") == 30 and made.ids("second") == greedy(second, 8)
    assert len(made.stage.rows) == 1


def test_close_forgets_the_blocks() -> None:
    made = bench()
    made.submit("a", prompt(200))
    made.run()
    made.engine.close()
    assert made.stage.block_counts().blocks == 0 and made.stage.rows == {}
