"""From drawn tokens to the events of one choice."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from swarmnode.inference.choice_run import ChoiceAnswer, room_for
from swarmnode.inference.kept_sessions import common_length
from swarmnode.inference.sampling.sampler import Sampled
from swarmnode.inference.watchdog import resident_bytes
from swarmnode.inference.worker import model_bytes
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
    assert model_bytes(LoadSpec("m", str(tmp_path / "m-00001-of-00002.gguf"), kv_bytes=5)) == 3 * 30 + 5
    assert model_bytes(LoadSpec("m", str(tmp_path / "other.gguf"), kv_bytes=0, dequantised_bytes=7)) == 3007
    assert model_bytes(LoadSpec("m", "", kv_bytes=1)) == 1


def test_resident_memory_is_that_of_this_process() -> None:
    before = resident_bytes()
    ballast = bytearray(b"x" * (32 << 20))
    assert before + len(ballast) // 2 < resident_bytes() or before == 0
