"""The batch engine on a stage made of arithmetic: the same answers alone and together, and fair turns."""

from __future__ import annotations

import numpy as np
import pytest

from swarmnode.inference.kept_sessions import KEPT_SECONDS, MAX_KEPT
from swarmnode.testing.engine_bench import CONTEXT, VOCAB, greedy, logits_after
from swarmnode.testing.engine_bench import EngineBench as Bench
from swarmnode.values.errors import Refused
from swarmnode.values.generation import ChoiceFinished, Failed, Finished, Sampling, Started, TextDelta


def test_one_request_from_start_to_end() -> None:
    bench = Bench()
    bench.submit("a")
    bench.run()
    started, *deltas, ended, finished = bench.events["a"]
    assert started == Started("m", 3, 0, 1234, "toy-1:kv=f16:residual=f32")
    assert bench.ids("a") == greedy((1, 2, 3), 8)
    assert "".join(d.text for d in deltas) == "".join(chr(65 + i) for i in bench.ids("a"))
    assert ended == ChoiceFinished(0, "length", None)
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (3, 8)
    assert finished.timings.prefill_ms is not None and finished.timings.decode_ms is not None
    assert bench.stage.rows == {}


def test_together_says_what_alone_says() -> None:
    prompts = {f"r{i}": tuple((7 * i + j) % 38 for j in range(1 + 5 * i)) for i in range(7)}
    bench = Bench(slots=3)
    for name, prompt in prompts.items():
        bench.submit(name, prompt)
        bench.run(2)
    bench.run()
    for name, prompt in prompts.items():
        assert bench.ids(name) == greedy(prompt, 8), name


def test_a_long_prompt_lets_others_go_on() -> None:
    bench = Bench(chunk=4)
    bench.submit("quick", max_tokens=40)
    bench.run(4)
    before = len(bench.ids("quick"))
    bench.submit("long", tuple(range(1, 31)))
    steps = 0
    while not bench.ids("long"):
        bench.run(1)
        steps += 1
    assert len(bench.ids("quick")) == before + steps
    assert max(part.count for batch in bench.stage.batches for part in batch.slices) == 4
    bench.run()
    assert bench.ids("quick") == greedy((1, 2, 3), 40) and bench.ids("long") == greedy(tuple(range(1, 31)), 8)


def test_prompts_that_come_together_go_on_together() -> None:
    bench = Bench(chunk=8)
    for name in ("a", "b"):
        bench.submit(name, tuple(range(1, 25)))
    bench.run(4)
    assert [[part.count for part in batch.slices] for batch in bench.stage.batches] == [[4, 4]] * 4


def test_one_prompt_at_a_time_where_that_is_wanted() -> None:
    bench = Bench(chunk=4, batch_prompts=False)
    for name in ("a", "b"):
        bench.submit(name, tuple(range(1, 25)))
    bench.run(4)
    assert sorted(part.session for batch in bench.stage.batches for part in batch.slices) == [0, 0, 1, 1]
    assert all(len(batch.slices) == 1 for batch in bench.stage.batches)


def test_choices_differ_and_are_those_of_their_number() -> None:
    bench = Bench()
    sampling = Sampling(temperature=1.0, seed=5)
    bench.submit("three", sampling=sampling, n=3)
    bench.run()
    bench.submit("two", sampling=sampling, n=2)
    bench.run()
    answers = [tuple(bench.ids("three", choice)) for choice in range(3)]
    assert len(set(answers)) == 3
    assert [tuple(bench.ids("two", choice)) for choice in range(2)] == answers[:2]
    total = sum(map(len, answers))
    assert bench.last("three").usage.completion_tokens == total
    assert sum(isinstance(e, Started) for e in bench.events["three"]) == 1
    assert sorted(e.choice for e in bench.events["three"] if isinstance(e, ChoiceFinished)) == [0, 1, 2]


def test_a_seed_repeats_the_answer_and_one_is_drawn_where_there_is_none() -> None:
    bench = Bench()
    for name, seed in (("drawn", None), ("same", 1234), ("other", 99)):
        bench.submit(name, sampling=Sampling(temperature=1.0, seed=seed))
        bench.run()
    assert bench.events["drawn"][0].seed == 1234
    assert bench.ids("drawn") == bench.ids("same") != bench.ids("other")


def test_without_max_tokens_the_answer_fills_the_context() -> None:
    length = CONTEXT - 14
    prompt = next((i,) * length for i in range(38) if len(greedy((i,) * length, 14)) == 14)
    bench = Bench()
    bench.submit("a", prompt, max_tokens=None)
    bench.submit("b", prompt, max_tokens=1000)
    bench.run()
    assert bench.ids("a") == bench.ids("b") == greedy(prompt, 14)
    assert bench.events["a"][-2] == ChoiceFinished(0, "length", None)


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers() -> None:
    bench = Bench()
    with pytest.raises(Refused, match=f"{CONTEXT} tokens.* {CONTEXT} ") as caught:
        bench.submit("a", tuple([1] * CONTEXT))
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("prompt", "fields", "code"),
    [
        ((), {}, "empty_prompt"),
        ((VOCAB,), {}, "bad_token"),
        ((-1,), {}, "bad_token"),
        ((1,), {"max_tokens": 0}, "bad_max_tokens"),
        ((1,), {"sampling": Sampling(logit_bias=((VOCAB, 1.0),))}, "bad_token"),
    ],
)
def test_what_cannot_be_run_is_refused(prompt: tuple[int, ...], fields: dict, code: str) -> None:
    bench = Bench()
    with pytest.raises(Refused) as caught:
        bench.submit("a", prompt, **fields)
    assert caught.value.code == code
    assert not bench.engine.step()


def test_an_end_token_ends_the_choice_and_counts_nowhere() -> None:
    prompt = next(p for p in ((i, j) for i in range(38) for j in range(38)) if 0 < len(greedy(p, 30)) < 30)
    bench = Bench()
    bench.submit("a", prompt, max_tokens=30)
    bench.run()
    assert bench.ids("a") == greedy(prompt, 30)
    assert bench.events["a"][-2] == ChoiceFinished(0, "stop", None)
    assert bench.last("a").usage.completion_tokens == len(greedy(prompt, 30))


def test_a_stop_string_ends_the_choice_and_is_named() -> None:
    stop = chr(65 + greedy((1, 2, 3), 8)[4])
    bench = Bench()
    bench.submit("a", stop=(stop,))
    bench.run()
    assert bench.events["a"][-2] == ChoiceFinished(0, "stop", stop)
    assert bench.ids("a") == greedy((1, 2, 3), 5)


def test_logprobs_are_of_the_raw_logits() -> None:
    bench = Bench()
    bench.submit("a", sampling=Sampling(temperature=0.5, seed=3), logprobs=2, max_tokens=1)
    bench.run()
    (entry,) = next(e for e in bench.events["a"] if isinstance(e, TextDelta)).logprobs
    raw = logits_after([1, 2, 3]).astype(np.float64)
    table = raw - np.log(np.exp(raw).sum())
    assert entry.logprob == pytest.approx(table[entry.token_id]) and entry.token == bytes(
        [65 + entry.token_id]
    )
    assert [t.token_id for t in entry.top] == list(np.argsort(-table)[:2])


def test_cancel_frees_the_session_at_once() -> None:
    bench = Bench()
    slot = bench.submit("a", n=2)
    bench.run(3)
    bench.engine.cancel(slot)
    bench.engine.cancel(slot)
    count = len(bench.events["a"])
    bench.run(5)
    assert bench.stage.rows == {} and len(bench.events["a"]) == count


def test_a_paused_request_takes_no_slot_and_goes_on_later() -> None:
    bench = Bench(slots=1)
    slot = bench.submit("slow")
    bench.run(3)
    bench.engine.pause(slot)
    said = len(bench.ids("slow"))
    bench.submit("other")
    bench.run(30)
    assert isinstance(bench.last("other"), Finished) and len(bench.ids("slow")) == said
    assert bench.engine.step() is False
    bench.engine.resume(slot)
    bench.run()
    assert bench.ids("slow") == greedy((1, 2, 3), 8)


def test_no_more_than_the_slots_are_stepped_together() -> None:
    bench = Bench(slots=2)
    for name in "abcd":
        bench.submit(name)
    bench.run()
    assert max(len(batch.slices) for batch in bench.stage.batches) == 2
    assert all(bench.ids(name) == greedy((1, 2, 3), 8) for name in "abcd")


def test_one_at_fault_fails_alone() -> None:
    bench = Bench(chunk=4)
    bench.submit("good", max_tokens=20)
    bench.run(3)
    poison = next(token for token in range(38) if token not in (1, 2, 3, *greedy((1, 2, 3), 20)))
    bench.stage.poison = poison
    bench.submit("bad", (1, poison, 2))
    bench.run()
    assert bench.last("bad").error.code == "not_finite"
    assert bench.ids("good") == greedy((1, 2, 3), 20)
    assert bench.stage.rows == {}


def test_a_bug_in_the_stage_fails_the_request_by_name() -> None:
    bench = Bench()
    bench.stage.step = lambda batch: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    bench.submit("a")
    bench.run()
    assert isinstance(bench.last("a"), Failed)
    assert bench.last("a").error.message == "The engine failed: ZeroDivisionError: division by zero"


def test_who_finds_no_room_waits_for_it() -> None:
    bench = Bench()
    bench.stage.room = 12
    bench.submit("a")
    bench.submit("b")
    bench.run(3)
    assert bench.events["b"] == []
    bench.run()
    assert bench.ids("b") == greedy((1, 2, 3), 8)


def test_who_can_never_have_room_is_told() -> None:
    bench = Bench()
    bench.stage.room = 5
    bench.submit("a")
    bench.run()
    assert bench.last("a").error.code == "no_cache_room"
    assert bench.engine.step() is False


def test_the_next_turn_computes_only_what_is_new() -> None:
    bench = Bench()
    bench.submit("first", session_id="s")
    bench.run()
    answer = bench.ids("first")
    second = (1, 2, 3, *answer, 4, 5)
    bench.stage.computed = 0
    bench.submit("second", second, session_id="s")
    bench.run()
    cached = 3 + len(answer) - 1  # the last token of an answer was never fed back
    assert bench.events["second"][0].cached_tokens == cached
    assert bench.last("second").usage.cached_tokens == cached
    assert bench.stage.computed == len(second) - cached + 7
    assert bench.ids("second") == greedy(second, 8)


def test_another_prompt_under_the_same_session_shares_only_its_beginning() -> None:
    bench = Bench()
    bench.submit("first", (1, 2, 3, 4), session_id="s")
    bench.run()
    bench.submit("second", (1, 2, 9), session_id="s")
    bench.run()
    assert bench.last("second").usage.cached_tokens == 2
    assert bench.ids("second") == greedy((1, 2, 9), 8)


def test_the_same_prompt_again_computes_its_last_token() -> None:
    bench = Bench()
    for name in ("first", "second"):
        bench.submit(name, session_id="s")
        bench.run()
    assert bench.last("second").usage.cached_tokens == 2
    assert bench.ids("first") == bench.ids("second")


def test_two_requests_of_one_session_at_a_time_do_not_share() -> None:
    bench = Bench()
    bench.submit("a", session_id="s")
    bench.submit("b", (4, 5, 6), session_id="s")
    bench.run()
    assert bench.ids("a") == greedy((1, 2, 3), 8) and bench.ids("b") == greedy((4, 5, 6), 8)
    assert len(bench.stage.rows) == 1


def test_kept_sessions_are_bounded_and_expire() -> None:
    bench = Bench()
    for i in range(MAX_KEPT + 3):
        bench.submit(f"r{i}", session_id=f"s{i}")
        bench.run()
    assert len(bench.stage.rows) == MAX_KEPT
    bench.submit("oldest", session_id="s0")
    bench.run()
    assert bench.last("oldest").usage.cached_tokens == 0
    bench.now += KEPT_SECONDS
    bench.engine.step()
    assert bench.stage.rows == {}


def test_kept_sessions_give_way_to_requests() -> None:
    bench = Bench()
    bench.stage.room = 30
    for i in range(2):
        bench.submit(f"r{i}", session_id=f"s{i}")
        bench.run()
    bench.submit("big", tuple(range(1, 20)))
    bench.run()
    assert bench.ids("big") == greedy(tuple(range(1, 20)), 8)
    bench.engine.close()
    assert bench.stage.rows == {}


def test_what_the_engine_says_of_itself() -> None:
    assert Bench().engine.describe() == {
        "profile": "toy-1:kv=f16:residual=f32",
        "context_length": CONTEXT,
        "layers": [0, 1],
        "resident_bytes": 7,
        "prefix_cache": dict.fromkeys(
            ("bytes", "blocks", "prompts", "hits", "misses", "evicted", "tokens_saved"), 0
        ),
    }


def test_what_the_engine_has_to_do() -> None:
    bench = Bench(slots=2)
    nothing = {"running": 0, "waiting": 0, "kept_sessions": 0, "kv_reserved_bytes": 0}
    assert bench.engine.load_counts() == nothing
    for number in range(3):
        bench.submit(f"r{number}", (1, 2), max_tokens=3, session_id=f"s{number}" if number else None)
    bench.engine.step()
    assert bench.engine.load_counts() == nothing | {"running": 2, "waiting": 1, "kv_reserved_bytes": 10}
    bench.run()
    assert bench.engine.load_counts() == nothing | {"kept_sessions": 2, "kv_reserved_bytes": 8}
    bench.engine.close()
    assert bench.engine.load_counts() == nothing
