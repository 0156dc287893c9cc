"""Who is computed when: fair shares, bounded waits, deadlines, and no answer that depends on it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.prefix_sharing import PrefixPolicy
from swarmnode.testing.engine_bench import EngineBench, greedy
from swarmnode.values.generation import ChoiceFinished, Failed, Finished, Sampling, TextDelta

ROW = 0.004


def prompt(length: int, kind: int = 0) -> tuple[int, ...]:
    return tuple((i * i + 7 * kind + 3 * i * kind) % 38 for i in range(length))


def endless(kind: int = 0, tokens: int = 80) -> tuple[int, ...]:
    """A short prompt whose answer has at least so many tokens."""
    return next(p for i in range(38) if len(greedy(p := (i, kind), tokens)) == tokens)


def warm(**options: Any) -> EngineBench:
    """An engine that knows its speed."""
    bench = EngineBench(chunk=128, row_seconds=ROW, **options)
    bench.submit("warm", prompt(600, 30), max_tokens=4)
    bench.run()
    return bench


def first_token(bench: EngineBench, *names: str) -> dict[str, float]:
    """Seconds from now to the first token of each."""
    began, seen = bench.now, dict[str, float]()
    while len(seen) < len(names):
        bench.run(1)
        for name in names:
            if name not in seen and len(bench.events[name]) > 1:  # more than `Started`
                seen[name] = bench.now - began
    return seen


def test_a_long_prompt_holds_up_others_for_the_target_at_most() -> None:
    bench = warm()
    for kind in range(3):
        bench.submit(f"s{kind}", endless(kind, 60), max_tokens=60)
    bench.run(5)
    bench.submit("long", prompt(512))
    gaps, alone = [], 512 * ROW
    began = bench.now
    while not bench.ids("long"):
        before, said = bench.now, [len(bench.ids(f"s{kind}")) for kind in range(3)]
        bench.run(1)
        assert [len(bench.ids(f"s{kind}")) for kind in range(3)] == [n + 1 for n in said]
        gaps.append(bench.now - before)
    one_step = 4 * ROW + 0.001
    assert max(gaps) <= 0.2 + one_step
    assert bench.now - began <= 1.5 * alone


@pytest.mark.parametrize("together", [2, 4, 8])
def test_prompts_that_come_together_are_answered_together(together: int) -> None:
    bench = warm(slots=8)
    names = [f"p{kind}" for kind in range(together)]
    for kind, name in enumerate(names):
        bench.submit(name, prompt(300 + kind, kind))
    times = first_token(bench, *names)
    assert max(times.values()) <= 1.3 * min(times.values())
    assert max(times.values()) <= 1.1 * together * 310 * ROW


def test_a_short_prompt_is_not_held_up_by_long_ones() -> None:
    bench = warm()
    bench.submit("long", prompt(600, 1))
    bench.submit("longer", prompt(620, 2))
    bench.submit("short", prompt(20, 3))
    times = first_token(bench, "long", "longer", "short")
    assert times["short"] <= 4 * 20 * ROW + 1.0 < times["long"] / 2


def test_more_runs_than_rows_all_get_some() -> None:
    bench = EngineBench(slots=8, chunk=3)
    for kind in range(8):
        bench.submit(f"p{kind}", prompt(30, kind))
    bench.run(8)
    rows = {number: len(held) for number, held in bench.stage.rows.items()}
    assert set(rows) == set(range(8)) and sum(rows.values()) == 24 and set(rows.values()) == {3}


def test_requests_take_turns_when_choices_fill_the_slots() -> None:
    bench = EngineBench(slots=2)
    bench.submit("many", endless(1), n=6, max_tokens=20)
    bench.submit("one", endless(2), max_tokens=20)
    bench.run(21)
    assert isinstance(bench.last("one"), Finished)
    bench.run()
    assert isinstance(bench.last("many"), Finished)


def test_no_step_carries_more_than_the_slots_when_readers_come_back() -> None:
    bench = EngineBench(slots=2)
    slots = [bench.submit(f"r{kind}", endless(kind, 30), max_tokens=30) for kind in range(2)]
    bench.run(2)
    for slot in slots:
        bench.engine.pause(slot)
    for kind in range(2, 4):
        bench.submit(f"r{kind}", endless(kind, 30), max_tokens=30)
    bench.run(2)
    for slot in slots:
        bench.engine.resume(slot)
    bench.run()
    assert max(len(batch.slices) for batch in bench.stage.batches) == 2
    assert all(bench.ids(f"r{kind}") == greedy(endless(kind, 30), 30) for kind in range(4))


def test_a_deadline_ends_what_runs_and_what_waits() -> None:
    bench = EngineBench(slots=1)
    bench.submit("runs", endless(0), max_tokens=80, timeout_seconds=0.02)
    bench.submit("waits", endless(1), timeout_seconds=0.01)
    bench.submit("patient", endless(2))
    bench.run(15)
    assert bench.last("waits").error.code == "deadline_exceeded"
    assert not any(isinstance(event, TextDelta) for event in bench.events["waits"])
    bench.run()
    error = bench.last("runs").error
    assert error.code == "deadline_exceeded" and "0.0 s" in error.message and error.hint
    assert 15 <= len(bench.ids("runs")) < 25
    assert bench.ids("patient") == greedy(endless(2), 8)
    assert bench.stage.rows == {}


def test_a_deadline_that_is_kept_changes_nothing() -> None:
    bench = EngineBench()
    bench.submit("a", timeout_seconds=60.0)
    bench.run()
    assert isinstance(bench.last("a"), Finished) and bench.ids("a") == greedy((1, 2, 3), 8)


def test_who_waits_for_room_behind_a_paused_reader_costs_no_steps() -> None:
    bench = EngineBench()
    bench.stage.room = 100
    slot = bench.submit("slow", endless(0), max_tokens=80)
    bench.run(3)
    bench.engine.pause(slot)
    bench.submit("big", prompt(50))
    assert bench.engine.step() is False
    bench.engine.cancel(slot)
    bench.run()
    assert bench.ids("big") == greedy(prompt(50), 8)


# Whatever happens, every answer is the one that its request gets alone.

STARTS = [prompt(70, 1), prompt(130, 2), (), (5,)]
ASKED = st.tuples(
    st.just("ask"),
    st.sampled_from(STARTS),
    st.lists(st.integers(0, 37), min_size=1, max_size=4),
    st.integers(1, 12),
    st.sampled_from([1, 1, 3]),
    st.sampled_from([None, None, "s", "t"]),
)
DEEDS = st.lists(
    st.one_of(
        ASKED,
        st.tuples(st.sampled_from(["cancel", "pause", "resume"]), st.integers(0, 9)),
        st.tuples(st.just("step"), st.integers(1, 6)),
        st.tuples(st.just("wait"), st.integers(1, 400)),
    ),
    max_size=25,
)
LIMITS = st.builds(BlockLimits, st.sampled_from([0, 128, 100_000]), st.integers(1, 4), st.just(300.0))


class Story:
    """Does what it is told, and remembers what was asked."""

    def __init__(self, limits: BlockLimits, room: int, slots: int, chunk: int) -> None:
        prefix = PrefixPolicy(limits.bytes > 0)
        self.bench = EngineBench(slots, chunk, limits, 0.01, prefix=prefix, session_seconds=300.0)
        self.bench.stage.room = room
        self.asked: dict[str, tuple[tuple[int, ...], int, int]] = {}
        self.slots: list[int] = []
        self.cancelled: set[int] = set()

    def ask(self, start: tuple[int, ...], end: list[int], tokens: int, n: int, session: str | None) -> None:
        whole, name = (*start, *end), f"r{len(self.asked)}"
        self.asked[name] = (whole, tokens, n)
        sampling = Sampling(temperature=1.0, seed=3) if n > 1 else Sampling(temperature=0.0)
        fields = {"max_tokens": tokens, "n": n, "session_id": session, "sampling": sampling}
        self.slots.append(self.bench.submit(name, whole, **fields))

    def do(self, deed: str, *arguments: Any) -> None:
        if deed == "ask":
            self.ask(*arguments)
        elif deed == "step":
            self.bench.run(arguments[0])
        elif deed == "wait":
            self.bench.now += arguments[0]
        elif arguments[0] < len(self.slots):
            getattr(self.bench.engine, deed)(self.slots[arguments[0]])
            if deed == "cancel":
                self.cancelled.add(arguments[0])

    def finish(self) -> None:
        for slot in self.slots:
            self.bench.engine.resume(slot)
        self.bench.run(5000)


@cache
def alone(whole: tuple[int, ...], tokens: int, n: int) -> list[list[int]]:
    """The answers of a request that nobody shares anything with."""
    story = Story(BlockLimits(), 10_000, 8, 256)
    story.ask(whole, [], tokens, n, None)
    story.finish()
    return [story.bench.ids("r0", choice) for choice in range(n)]


@settings(max_examples=150, deadline=None)
@given(DEEDS, LIMITS, st.sampled_from([460, 2000]), st.integers(1, 4), st.sampled_from([1, 5, 64]))
def test_every_answer_is_the_one_it_gets_alone(
    deeds: list[Any], limits: BlockLimits, room: int, slots: int, chunk: int
) -> None:
    story = Story(limits, room, slots, chunk)
    for deed in deeds:
        story.do(*deed)
    story.finish()
    for number, (name, (whole, tokens, n)) in enumerate(story.asked.items()):
        answers = [story.bench.ids(name, choice) for choice in range(n)]
        expected = alone(whole, tokens, n)
        over = [event for event in story.bench.events[name] if isinstance(event, Finished | Failed)]
        if over:
            assert len(over) == 1 and isinstance(over[0], Finished), over
            assert answers == expected
            assert over[0].usage.completion_tokens == sum(map(len, expected))
        else:
            assert number in story.cancelled
            assert all(mine == whole_[: len(mine)] for mine, whole_ in zip(answers, expected, strict=True))
    story.bench.engine.close()
    assert story.bench.stage.rows == {} == story.bench.stage.reserved
    assert story.bench.stage.block_counts().blocks == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.booleans()), min_size=2, max_size=6), st.integers(1, 4))
def test_one_at_fault_ends_itself_only(lengths: list[tuple[int, bool]], slots: int) -> None:
    bench = EngineBench(slots, 32, BlockLimits(10_000), prefix=PrefixPolicy(True))
    bench.stage.poison = 38
    for number, (length, bad) in enumerate(lengths):
        whole = prompt(length, number) + ((38,) if bad else (1,))
        bench.submit(f"r{number}", whole, max_tokens=1)
    bench.run()
    for number, (length, bad) in enumerate(lengths):
        last = bench.last(f"r{number}")
        assert isinstance(last, Failed) == bad
        if not bad:
            expected = greedy((*prompt(length, number), 1), 1)
            assert bench.ids(f"r{number}") == expected
            assert bench.events[f"r{number}"][-2] == ChoiceFinished(0, "length" if expected else "stop", None)
