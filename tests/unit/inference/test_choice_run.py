"""From drawn tokens to the events of one choice."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from swarmnode.inference.choice_run import ChoiceAnswer, room_for
from swarmnode.inference.kept_sessions import common_length
from swarmnode.inference.sampling.sampler import Sampled
from swarmnode.inference.watchdog import resident_bytes
from swarmnode.inference.worker import THREAD_BYTES, model_bytes
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.policy.memory import footprint_of
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused
from swarmnode.values.generation import ChoiceFinished, TextDelta, TokenLogprob
from swarmnode.values.loading import LoadSpec


@dataclass
class Step:
    text: str = ""
    reason: str | None = None
    stop: str | None = None


class Scripted:
    """Yields the steps of a script, whatever the token; `rest` is held back to the end."""

    def __init__(self, *steps: Step, rest: str = "") -> None:
        self.steps, self.rest = list(steps), rest

    def push(self, token_id: int) -> Step:
        return self.steps.pop(0)

    def flush(self) -> str:
        return self.rest


def answer(text: Scripted, limit: int = 99) -> ChoiceAnswer:
    return ChoiceAnswer(2, text, lambda token: bytes([token]), frozenset([9]), limit)


def test_tokens_without_text_wait_for_the_next_that_has_some() -> None:
    one = answer(Scripted(Step(), Step("é"), Step("b")))
    assert one.take(Sampled(1)) == []
    assert one.take(Sampled(2, -0.5, ((2, -0.5), (3, -1.0)))) == [
        TextDelta(
            2,
            "é",
            (1, 2),
            (TokenLogprob(2, b"\2", -0.5, (TokenLogprob(2, b"\2", -0.5), TokenLogprob(3, b"\3", -1.0))),),
        )
    ]
    assert one.take(Sampled(3)) == [TextDelta(2, "b", (3,))] and not one.over and one.count == 3


def test_an_end_token_ends_without_being_counted() -> None:
    one = answer(Scripted(Step("a"), Step("", "stop")))
    one.take(Sampled(1))
    assert one.take(Sampled(9)) == [ChoiceFinished(2, "stop", None)]
    assert one.over and one.count == 1


def test_a_stop_string_ends_with_the_text_before_it_and_its_tokens() -> None:
    one = answer(Scripted(Step(), Step("a", "stop", "END")))
    one.take(Sampled(1))
    assert one.take(Sampled(2)) == [TextDelta(2, "a", (1, 2)), ChoiceFinished(2, "stop", "END")]


def test_the_limit_ends_with_what_was_held_back() -> None:
    one = answer(Scripted(Step("a"), Step("b"), rest="c"), limit=2)
    one.take(Sampled(1))
    assert one.take(Sampled(2)) == [TextDelta(2, "bc", (2,)), ChoiceFinished(2, "length", None)]


def test_tokens_that_never_gave_text_are_reported_at_the_end() -> None:
    one = answer(Scripted(Step(), Step("", "stop")))
    one.take(Sampled(1))
    assert one.take(Sampled(9)) == [TextDelta(2, "", (1,)), ChoiceFinished(2, "stop", None)]


def test_room_and_shared_beginnings() -> None:
    assert room_for((1, 2), 10, None) == 8
    assert room_for((1, 2), 10, 3) == 3
    assert room_for((1, 2), 10, 30) == 8
    with pytest.raises(Refused):
        room_for((1,), 10, 0)
    assert [common_length((1, 2, 3), other) for other in ((), (1,), (1, 2, 3, 4), (1, 9, 3))] == [0, 1, 3, 1]


def test_the_address_space_counts_every_part_of_a_split_file(tmp_path) -> None:
    for name, size in (("m-00001-of-00002.gguf", 10), ("m-00002-of-00002.gguf", 20), ("other.gguf", 1000)):
        (tmp_path / name).write_bytes(bytes(size))
    split, other = str(tmp_path / "m-00001-of-00002.gguf"), str(tmp_path / "other.gguf")
    two = 2 * THREAD_BYTES
    assert model_bytes(LoadSpec("m", split, kv_bytes=5, threads=2)) == 3 * 30 + 5 + two
    assert model_bytes(LoadSpec("m", other, kv_bytes=0, dequantised_bytes=7, threads=2)) == 3007 + two
    assert model_bytes(LoadSpec("m", "", kv_bytes=1, threads=2)) == 1 + two


def test_weights_that_become_floats_have_room(tmp_path) -> None:
    path = write_random_model(tmp_path / "m.gguf", RandomModel(weights="Q5_0"))
    spec = LoadSpec("m", str(path), kv_bytes=0, threads=1)
    with GgufFile(path) as gguf:
        packed = footprint_of(read_facts(gguf), spec).weights
    assert packed > 3 * path.stat().st_size
    assert model_bytes(spec) == 3 * path.stat().st_size + packed + THREAD_BYTES


def test_resident_memory_is_that_of_this_process() -> None:
    before = resident_bytes()
    ballast = bytearray(b"x" * (32 << 20))
    assert before + len(ballast) // 2 < resident_bytes() or before == 0
