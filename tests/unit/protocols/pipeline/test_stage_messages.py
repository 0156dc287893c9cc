"""Requests of a stage: written, read, and refused where they lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.pipeline import stage_messages as messages
from swarmnode.protocols.pipeline.stage_messages import (
    MAX_STEP_ROWS,
    OpenWish,
    StageWish,
    open_message,
    read_open,
    read_step,
    read_stepped,
    step_message,
    stepped_message,
)
from swarmnode.protocols.pipeline.vocabulary import Drawn, OpenSession, Sampler, SendStep, StageResult
from swarmnode.protocols.swarm.messages import KINDS, MESSAGES
from swarmnode.values.errors import PeerFault
from swarmnode.values.generation import Sampling
from swarmnode.values.layers import LayerRange

ROW = 8
SAMPLING = Sampling(0.5, 0.9, 40, 0.1, 0.8, -1.5, 0.5, 1.2, 7, ((1, -100.0), (5, 2.5)))
SAMPLER = Sampler(SAMPLING, 7, 3, 2, 2)
WISH = StageWish(bytes(range(32)), LayerRange(3, 6), "cpu-1:kv=f16:residual=f16")
OPENING = OpenSession("s", 4, LayerRange(3, 6), 100, (5, 6, 7))
OPENED = OpenWish(WISH, replace(OPENING, stage=""), SAMPLER)
STEP = SendStep("s", 4, 10, 2, None, bytes(range(16)), True)


def over_the_wire(kind: str, fields: dict[str, Any]) -> Any:
    row = KINDS[kind]
    data = row.new(**fields).SerializeToString()
    assert len(data) <= row.limit
    return getattr(MESSAGES, row.message).FromString(data)


def answered(fields: dict[str, Any]) -> Any:
    data = KINDS["stage_step"].new_reply(**fields).SerializeToString()
    assert len(data) <= KINDS["stage_step"].reply_limit
    return MESSAGES.StageStepped.FromString(data)


def opening(changes: dict[str, Any] | None = None, **sampler: Any) -> tuple[Any, bytes | None]:
    """A good `stage_open` with changes."""
    fields, payload = open_message(WISH, OPENING, SAMPLER)
    message = over_the_wire("stage_open", {**fields, **(changes or {})})
    for name, value in sampler.items():
        setattr(message.sampler, name, value)
    return message, payload


@pytest.mark.parametrize("tokens", [None, (), (5, 6, 7)])
@pytest.mark.parametrize("logprobs", [None, 0, 20])
def test_an_opening_survives_the_wire(tokens: tuple[int, ...] | None, logprobs: int | None) -> None:
    sampler = replace(SAMPLER, logprobs=logprobs, prompt=len(tokens or ()))
    fields, payload = open_message(WISH, replace(OPENING, tokens=tokens), sampler)
    read = read_open(over_the_wire("stage_open", fields), payload)
    assert read == OpenWish(
        WISH, replace(OPENING, stage="", tokens=tokens), None if tokens is None else sampler
    )


def test_an_opening_with_all_that_may_be_in_it_fits() -> None:
    biases = tuple((2**31 - 1 - 299 + n, -99.5) for n in range(300))
    sampler = replace(SAMPLER, sampling=replace(SAMPLING, logit_bias=biases, seed=2**64 - 1), seed=2**64 - 1)
    fields, payload = open_message(WISH, OPENING, sampler)
    read = read_open(over_the_wire("stage_open", fields), payload)
    assert read.sampler is not None and read.sampler.sampling.logit_bias == biases


@pytest.mark.parametrize(
    "changes",
    [
        {"model": b"short"},
        {"layers": 0},
        {"first": 1024},
        {"first": 2**32 - 1, "layers": 2**32 - 1},
        {"capacity": 0},
        {"capacity": 1 << 30},
        {"capacity": 2},
        {"profile": "p" * 201},
    ],
    ids=str,
)
def test_an_opening_that_cannot_be_is_a_fault(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerFault):
        read_open(*opening(changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": float("nan")},
        {"temperature": 3.0},
        {"top_p": -0.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": float("inf")},
        {"frequency_penalty": 2.5},
        {"choice": 128},
        {"prompt": 4},
        {"logprobs": 21},
    ],
    ids=str,
)
def test_a_sampler_that_cannot_be_is_a_fault(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerFault):
        read_open(*opening(None, **changes))


@pytest.mark.parametrize(
    "pairs", [[(5, 1.0), (1, 1.0)], [(1, 1.0), (1, 1.0)], [(1, 101.0)], [(1, float("nan"))]]
)
def test_biases_that_cannot_be_are_a_fault(pairs: list[tuple[int, float]]) -> None:
    message, payload = opening()
    del message.sampler.biases[:]
    for token, number in pairs:
        message.sampler.biases.add(token=token, number=number)
    with pytest.raises(PeerFault):
        read_open(message, payload)


def test_tokens_that_nobody_draws_and_halves_of_tokens_are_a_fault() -> None:
    message, payload = opening()
    assert payload is not None
    for wrong in (payload[:-1], payload * 40):
        with pytest.raises(PeerFault):
            read_open(message, wrong)
    message.ClearField("sampler")
    with pytest.raises(PeerFault):
        read_open(message, payload)
    assert read_open(message, None).sampler is None


def test_steps_survive_the_wire() -> None:
    fields, payload = step_message(STEP)
    assert read_step(over_the_wire("stage_step", fields), payload, OPENED, ROW) == replace(STEP, stage="")
    first = replace(OPENED, wish=replace(WISH, layers=LayerRange(0, 3)))
    ids = replace(STEP, tokens=(1, 2), hidden=b"")
    fields, payload = step_message(ids)
    assert read_step(over_the_wire("stage_step", fields), payload, first, ROW) == replace(ids, stage="")


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"count": 0}, b""),
        ({"count": MAX_STEP_ROWS + 1}, bytes(ROW * (MAX_STEP_ROWS + 1))),
        ({"count": 3}, bytes(16)),
        ({"first": 99}, bytes(16)),
        ({"first": 2**32 - 1}, bytes(16)),
        ({}, bytes(15)),
        ({}, None),
    ],
    ids=str,
)
def test_a_step_that_cannot_be_is_a_fault(changes: dict[str, Any], data: bytes | None) -> None:
    fields, _ = step_message(STEP)
    with pytest.raises(PeerFault):
        read_step(over_the_wire("stage_step", {**fields, **changes}), data, OPENED, ROW)


@pytest.mark.parametrize(
    "result",
    [
        StageResult("s", 4, 10, 2),
        StageResult("s", 4, 10, 2, b"rows"),
        StageResult("s", 4, 10, 2, b"", Drawn(0)),
        StageResult("s", 4, 10, 2, b"", Drawn(5, -0.25, ((5, -0.25), (9, -3.0)))),
    ],
    ids=str,
)
def test_answers_survive_the_wire(result: StageResult) -> None:
    fields, payload = stepped_message(result)
    assert read_stepped("s", STEP, answered(fields), payload) == result


def test_answers_that_cannot_be_are_a_fault() -> None:
    top = [MESSAGES.TokenNumber(token=1, number=0.0)]
    for fields in ({"token": 1, "logprob": float("nan")}, {"token": 1, "top": top * 21}):
        with pytest.raises(PeerFault):
            read_stepped("s", STEP, MESSAGES.StageStepped(**fields), None)


@settings(deadline=None)
@given(
    st.sampled_from(["StageOpen", "StageStep", "StageStepped"]),
    st.binary(max_size=200),
    st.binary(max_size=64),
)
def test_any_bytes_are_read_or_a_fault(name: str, data: bytes, payload: bytes) -> None:
    try:
        message = messages.MESSAGES.__dict__[name].FromString(data)
    except Exception:
        return  # `wire.schema.parse` has told of it
    read = {
        "StageOpen": lambda: read_open(message, payload),
        "StageStep": lambda: read_step(message, payload, OPENED, ROW),
        "StageStepped": lambda: read_stepped("s", STEP, message, payload),
    }[name]
    try:
        read()
    except PeerFault as fault:
        assert fault.code == "bad_message"
