"""Sessions on a stage of another node: what the requests `stage_open` and `stage_step` say.

Each session has a stream of its own (`protocols.swarm.requests.STAGE`): it begins with one `stage_open`, goes
on with steps, and ends with the stream. Payloads are raw bytes, little-endian, as on the link of a worker
(`protocols.worker`): token ids as int32 for the stage that embeds and in `stage_open` for the one that
samples; hidden rows as float32 for all else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmnode.protocols.pipeline.vocabulary import Drawn, OpenSession, Sampler, SendStep, StageResult
from swarmnode.protocols.swarm.messages import MESSAGES
from swarmnode.protocols.worker.tokens import ids_bytes, ids_from
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.generation import (
    MAX_CHOICES,
    MAX_LOGIT_BIAS,
    MAX_LOGIT_BIASES,
    MAX_TOP_LOGPROBS,
    Sampling,
)
from swarmnode.values.layers import LayerRange

#: Rows of one step. A stage computes a step in one go, while others wait.
MAX_STEP_ROWS = 512
#: Positions of one session.
MAX_CAPACITY = 1 << 20
MAX_LAYERS = 1024
MAX_PROFILE_CHARS = 200
MAX_PENALTY = 1000.0
MODEL_BYTES = 32
ID_BYTES = ROW_NUMBER_BYTES = 4

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StageWish:
    """What a head wants of a stage for all its sessions. model: the digest of the file
    (`models.digest`). profile: the numerics profile that the stage must have; empty: any."""

    model: bytes
    layers: LayerRange
    profile: str = ""


@dataclass(frozen=True, slots=True)
class OpenWish:
    """A `stage_open` that was read."""

    wish: StageWish
    opening: OpenSession
    sampler: Sampler | None


def open_message(wish: StageWish, opening: OpenSession, sampler: Sampler) -> tuple[Fields, bytes | None]:
    """Fields and payload of a `stage_open`; sampler: sent to the stage that samples."""
    fields: Fields = {
        "model": wish.model,
        "first": wish.layers.start,
        "layers": len(wish.layers),
        "capacity": opening.capacity,
        "epoch": opening.epoch,
        "profile": wish.profile,
    }
    if opening.tokens is None:
        return fields, None
    return {**fields, "sampler": _sampler_message(sampler)}, ids_bytes(opening.tokens)


def read_open(message: Any, payload: bytes | None) -> OpenWish:
    """The inverse of `open_message`. Raises `PeerFault`."""
    try:
        layers = LayerRange(message.first, message.first + message.layers)
    except SwarmnodeError as error:
        raise _bad(error.message) from None
    _check(len(message.model) == MODEL_BYTES, "names a model in so many bytes", len(message.model))
    _check(layers.end <= MAX_LAYERS, "wants layers up to", layers.end)
    _check(1 <= message.capacity <= MAX_CAPACITY, "wants room for so many tokens", message.capacity)
    _check(len(message.profile) <= MAX_PROFILE_CHARS, "has a profile of so many characters", "too many")
    wish = StageWish(bytes(message.model), layers, message.profile)
    tokens = sampler = None
    if message.HasField("sampler"):
        tokens = _ids(payload or b"", message.capacity)
        sampler = _read_sampler(message.sampler, len(tokens))
    elif payload:
        raise _bad("has tokens, but none are drawn")
    return OpenWish(wish, OpenSession("", message.epoch, layers, message.capacity, tokens), sampler)


def step_message(step: SendStep) -> tuple[Fields, bytes]:
    """Fields and payload of a `stage_step`."""
    fields = {"epoch": step.epoch, "first": step.first, "count": step.count, "sample": step.sample}
    return fields, bytes(step.hidden) if step.tokens is None else ids_bytes(step.tokens)


def read_step(message: Any, payload: bytes | None, opened: OpenWish, row_bytes: int) -> SendStep:
    """The inverse, for a session that is open. row_bytes: of a hidden row. Raises `PeerFault`."""
    count, data = message.count, payload or b""
    embeds = opened.wish.layers.start == 0
    _check(1 <= count <= MAX_STEP_ROWS, "has so many rows", count)
    _check(message.first + count <= opened.opening.capacity, "goes to the position", message.first + count)
    _check(len(data) == count * (ID_BYTES if embeds else row_bytes), "has so many bytes of rows", len(data))
    tokens, hidden = (ids_from(data), b"") if embeds else (None, data)
    return SendStep("", message.epoch, message.first, count, tokens, hidden, message.sample)


def stepped_message(result: StageResult) -> tuple[Fields, bytes | None]:
    """Fields and payload of the answer to a step: rows, a token, or neither."""
    drawn = result.drawn
    if drawn is None:
        return {}, bytes(result.hidden) if len(result.hidden) else None
    fields: Fields = {"token": drawn.token, "top": [_number(*pair) for pair in drawn.top]}
    return (fields if drawn.logprob is None else {**fields, "logprob": drawn.logprob}), None


def read_stepped(stage: str, step: SendStep, message: Any, payload: bytes | None) -> StageResult:
    """The inverse. Raises `PeerFault`; whether there are as many rows as there must be is for the head."""
    drawn = None
    if message.HasField("token"):
        _check(len(message.top) <= MAX_TOP_LOGPROBS, "has so many alternatives", len(message.top))
        top = tuple((one.token, _finite(one.number)) for one in message.top)
        logprob = _finite(message.logprob) if message.HasField("logprob") else None
        drawn = Drawn(message.token, logprob, top)
    return StageResult(stage, step.epoch, step.first, step.count, payload or b"", drawn)


def _sampler_message(sampler: Sampler) -> Any:
    sampling = sampler.sampling
    fields = {name: getattr(sampling, name) for name in _RANGES}
    message = MESSAGES.StageSampler(
        **fields,
        top_k=sampling.top_k,
        biases=[_number(*pair) for pair in sampling.logit_bias],
        seed=sampler.seed,
        choice=sampler.choice,
        prompt=sampler.prompt,
    )
    if sampler.logprobs is not None:
        message.logprobs = sampler.logprobs
    return message


def _read_sampler(message: Any, tokens: int) -> Sampler:
    _check(message.choice < MAX_CHOICES, "wants the answer number", message.choice)
    _check(message.prompt <= tokens, "has a prompt of so many tokens", message.prompt)
    _check(message.logprobs <= MAX_TOP_LOGPROBS, "wants so many alternatives", message.logprobs)
    _check(len(message.biases) <= MAX_LOGIT_BIASES, "has so many biases", len(message.biases))
    fields: Fields = {name: _within(message, name, *bounds) for name, bounds in _RANGES.items()}
    biases = tuple(
        (one.token, _within(one, "number", -MAX_LOGIT_BIAS, MAX_LOGIT_BIAS)) for one in message.biases
    )
    _check(list(biases) == sorted(dict(biases).items()), "has biases twice or in no order", len(biases))
    sampling = Sampling(**fields, top_k=message.top_k, seed=message.seed, logit_bias=biases)
    logprobs = message.logprobs if message.HasField("logprobs") else None
    return Sampler(sampling, message.seed, message.choice, logprobs, message.prompt)


#: As `values.generation.Sampling` says.
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "repetition_penalty": (1e-9, MAX_PENALTY),
}


def _within(message: Any, name: str, low: float, high: float) -> float:
    value = getattr(message, name)
    _check(low <= value <= high, f"has the {name}", value)  # never true of what is no number
    return float(value)


def _finite(value: float) -> float:
    _check(math.isfinite(value), "has the log-probability", value)
    return value


def _ids(payload: bytes, capacity: int) -> tuple[int, ...]:
    _check(not len(payload) % ID_BYTES, "has tokens in so many bytes", len(payload))
    _check(len(payload) <= capacity * ID_BYTES, "has so many bytes of tokens", len(payload))
    return ids_from(payload)


def _number(token: int, number: float) -> Any:
    return MESSAGES.TokenNumber(token=token, number=number)


def _check(good: bool, what: str, value: object) -> None:
    if not good:
        raise _bad(f"{what}: {value}")


def _bad(what: str) -> PeerFault:
    return PeerFault(f"A request of a stage {what}", code="bad_message")
