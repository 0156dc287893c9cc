"""Sessions of other heads on a stage: rows in and out as bytes, epochs, drawing, and what is refused."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest

from swarmnode.inference.sampling.sampler import Sampler
from swarmnode.inference.stage.seam import Batch, StepResult
from swarmnode.inference.stage_sessions import MAX_SESSIONS, StageSessions
from swarmnode.protocols.worker.tokens import ids_bytes, ids_from
from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import Refused, SwarmnodeError
from swarmnode.values.generation import Sampling, sampling_as_dict, sampling_from_dict

VOCAB, HIDDEN = 11, 4


class Doubling:
    """Hidden rows come out doubled; with a head, logits are a function of the position."""

    facts = ModelFacts("toy", 2, HIDDEN, 1, 1, 4, VOCAB, 64, "F32", 0)

    def __init__(self, has_head: bool) -> None:
        self.has_head = has_head
        self.calls: list[tuple] = []

    def open(self, session: int, tokens: int) -> None:
        self.calls.append(("open", session, tokens))

    def truncate(self, session: int, position: int) -> None:
        self.calls.append(("truncate", session, position))

    def close(self, session: int) -> None:
        self.calls.append(("close", session))

    def step(self, batch: Batch) -> StepResult:
        (part,) = batch.slices
        self.calls.append(("step", part.session, part.first, part.count, part.want))
        if not self.has_head:
            assert batch.hidden is not None
            return StepResult(hidden=batch.hidden * 2)
        return StepResult(logits=logits(part.first + part.count)[None])


def logits(position: int) -> np.ndarray:
    return np.random.default_rng(position).normal(size=VOCAB).astype(np.float32)


def make(has_head: bool = False) -> tuple[StageSessions, Doubling]:
    stage = Doubling(has_head)
    numbers = count(100)
    return StageSessions(stage, lambda: next(numbers)), stage  # type: ignore[arg-type]


def header(**fields: Any) -> dict[str, Any]:
    return {"session": "s", "epoch": 0, **fields}


def step(first: int, rows: np.ndarray, sample: bool = False, **fields: Any) -> tuple[dict[str, Any], bytes]:
    kind = "i4" if rows.dtype == np.int32 else "f4"
    about = header(first=first, count=len(rows), sample=sample, dtype=kind, shape=list(rows.shape), **fields)
    return about, rows.tobytes()


def rows(count: int) -> np.ndarray:
    return np.arange(count * HIDDEN, dtype=np.float32).reshape(count, HIDDEN)


def code_of(sessions: StageSessions, kind: str, about: dict, payload: bytes = b"") -> str:
    with pytest.raises(SwarmnodeError) as caught:
        sessions.answer(kind, about, payload)
    return caught.value.code


def test_rows_go_through_as_bytes() -> None:
    sessions, stage = make()
    assert sessions.answer("open_session", header(tokens=9), b"") == ({}, b"")
    about, data = sessions.answer("step", *step(0, rows(3)))
    assert about == {"dtype": "f4", "shape": [3, HIDDEN]}
    assert np.array_equal(np.frombuffer(data, "<f4").reshape(3, HIDDEN), rows(3) * 2)
    sessions.answer("truncate", header(position=1), b"")
    sessions.answer("close_session", header(), b"")
    sessions.answer("close_session", header(), b"")
    assert stage.calls == [
        ("open", 100, 9),
        ("step", 100, 0, 3, "none"),
        ("truncate", 100, 1),
        ("close", 100),
    ]
    assert code_of(sessions, "step", *step(3, rows(1))) == "unknown_session"


def test_older_epochs_are_refused_and_newer_ones_taken_over() -> None:
    sessions, _stage = make()
    sessions.answer("open_session", header(tokens=9, epoch=2), b"")
    assert code_of(sessions, "step", *step(0, rows(1), epoch=1)) == "old_epoch"
    sessions.answer("step", *step(0, rows(1), epoch=3))
    assert code_of(sessions, "truncate", header(epoch=2, position=0)) == "old_epoch"
    assert code_of(sessions, "open_session", header(epoch=2, tokens=4)) == "old_epoch"


def test_opening_again_starts_afresh() -> None:
    sessions, stage = make()
    sessions.answer("open_session", header(tokens=9), b"")
    sessions.answer("open_session", header(tokens=10, epoch=1), b"")
    assert stage.calls == [("open", 100, 9), ("close", 100), ("open", 101, 10)]


def sampler(**changes: Any) -> dict[str, Any]:
    biases = ((1, 0.5), (2, -0.5))
    sampling = Sampling(1.0, repetition_penalty=1.3, frequency_penalty=0.5, logit_bias=biases)
    return {
        "sampling": sampling_as_dict(sampling),
        "seed": 9,
        "choice": 0,
        "logprobs": 2,
        "prompt": 2,
        **changes,
    }


def test_tokens_are_drawn_as_the_sampler_draws_them_and_again_when_asked_again() -> None:
    sessions, _stage = make(has_head=True)
    sessions.answer("open_session", header(tokens=20, sampler=sampler()), ids_bytes((3, 4)))
    drawn, tokens = [], [3, 4]
    reference = Sampler(sampling_from_dict(sampler()["sampling"]), 9, 0, VOCAB, 2)
    for _ in range(6):
        about, _data = sessions.answer("step", *step(len(tokens) - 1, rows(1), sample=True))
        wanted = reference.sample(logits(len(tokens)), len(tokens), tokens[:2], tokens[2:])
        assert (about["token"], about["logprob"]) == (wanted.token_id, wanted.logprob)
        assert [tuple(pair) for pair in about["top"]] == list(wanted.top)
        drawn.append(about["token"])
        tokens.append(about["token"])
    again, _data = sessions.answer("step", *step(3, rows(1), sample=True))  # a step that was sent twice
    assert again["token"] == drawn[2]
    assert code_of(sessions, "step", *step(9, rows(1), sample=True)) == "bad_step"


def test_a_step_that_does_not_draw_answers_with_nothing() -> None:
    sessions, stage = make(has_head=True)
    sessions.answer("open_session", header(tokens=20, sampler=sampler()), ids_bytes((3, 4)))
    assert sessions.answer("step", *step(0, rows(2))) == ({}, b"")
    assert stage.calls[-1][-1] == "none"


def test_only_a_stage_with_the_head_draws() -> None:
    sessions, _stage = make()
    assert code_of(sessions, "open_session", header(tokens=9, sampler=sampler())) == "not_a_head"


@pytest.mark.parametrize(
    "about",
    [
        {"dtype": "f2"},
        {"shape": []},
        {"shape": [2, HIDDEN]},
        {"shape": [1, HIDDEN + 1]},
        {"shape": [1, -HIDDEN]},
        {"shape": [1, 0]},
    ],
)
def test_rows_that_do_not_fit_their_header_are_refused(about: dict[str, Any]) -> None:
    sessions, _stage = make()
    sessions.answer("open_session", header(tokens=9), b"")
    fields, payload = step(0, rows(1))
    assert code_of(sessions, "step", {**fields, **about}, payload) == "bad_step"


def test_sessions_are_bounded() -> None:
    sessions, _stage = make()
    for i in range(MAX_SESSIONS):
        sessions.answer("open_session", {"session": str(i), "epoch": 0, "tokens": 1}, b"")
    assert code_of(sessions, "open_session", header(tokens=1)) == "stage_full"


def test_ids_travel_as_32_bits() -> None:
    assert ids_bytes((1, 258)) == b"\1\0\0\0\2\1\0\0"
    assert ids_from(ids_bytes((0, 7, 1 << 30))) == (0, 7, 1 << 30)
    with pytest.raises(Refused):
        make()[0].answer("truncate", header(position=0), b"")
