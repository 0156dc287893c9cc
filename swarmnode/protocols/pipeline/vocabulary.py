"""Events and effects of the head of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.generation import Sampling
from swarmnode.values.layers import LayerRange

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Sampler:
    """How the stage that samples draws tokens, for choice number `choice` of a request. logprobs: None for
    off, else how many alternatives to report. prompt: how many of all tokens so far are the prompt's."""

    sampling: Sampling
    seed: int
    choice: int
    logprobs: int | None
    prompt: int


# Events. `stage` is the name that `NewStage` gave it; what comes from a stage that was replaced, or of
# an older epoch, is dropped.


@dataclass(frozen=True, slots=True)
class Begin:
    """Ask for the first stages."""


@dataclass(frozen=True, slots=True)
class NewStage:
    """A stage for the place `index` was found; it is not open yet."""

    index: int
    stage: str


@dataclass(frozen=True, slots=True)
class NoStage:
    """No stage can be found for the place."""

    index: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class StageOpened:
    """The stage has made room for the session."""

    stage: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token that the last stage drew, with its log-probability and alternatives where asked for."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class StageResult:
    """A step is done: its hidden rows, or the token drawn after it."""

    stage: str
    epoch: int
    first: int
    count: int
    hidden: Bytes = b""
    drawn: Drawn | None = None


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The stage is alive and computing."""

    stage: str


@dataclass(frozen=True, slots=True)
class StageLost:
    """The stage is gone, or has said something that cannot be right."""

    stage: str
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class Stop:
    """Nobody wants the rest of the answer."""


# Effects.


@dataclass(frozen=True, slots=True)
class NeedStage:
    """Find a stage for these layers and say `NewStage`, or `NoStage`."""

    index: int
    layers: LayerRange
    epoch: int


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Open the session on a stage with room for `capacity` tokens. tokens: all so far, for the stage that
    samples; None for others."""

    stage: str
    epoch: int
    layers: LayerRange
    capacity: int
    tokens: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class SendStep:
    """Have a stage compute rows: token ids for the first stage, hidden rows for others. sample: draw the
    token that follows the last row."""

    stage: str
    epoch: int
    first: int
    count: int
    tokens: tuple[int, ...] | None
    hidden: Bytes
    sample: bool


@dataclass(frozen=True, slots=True)
class CloseSession:
    """The stage's session is not needed any more."""

    stage: str
    epoch: int


@dataclass(frozen=True, slots=True)
class DropStage:
    """The stage hangs or lied: do not use it again for this session."""

    stage: str
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class Deliver:
    """The next token of the answer."""

    drawn: Drawn


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete: `stop` by an end token, `length` by its limit, `cancelled` by `Stop`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The answer cannot be completed."""

    error: SwarmnodeError
