"""The seam between whatever schedules rows and whatever computes them: the stage, one call a step.

A stage holds a range of a model's layers, and the embedding and the output head where its range
begins or ends with them. Its answer for a row depends on that row's token and its prefix only
(DESIGN 6): never on what else is in the batch, how the prompt was cut, or where the model is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from swarmnode.values.cards import ModelFacts
from swarmnode.values.layers import LayerRange, NumericsProfile

Want = Literal["none", "last", "all"]


@dataclass(frozen=True, slots=True)
class Slice:
    """`count` consecutive rows of one session, the first at absolute position `first`.

    `first` must be the session's length, or less: then the session is cut back to it (steps are
    idempotent). `want` says of which rows the logits are wanted, where the stage has the head.
    """

    session: int
    first: int
    count: int
    want: Want = "last"


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one step, slice after slice.

    tokens: int32 [rows] for a stage that embeds; hidden: float32 [rows, hidden] for one that does
    not (a stage that embeds takes hidden rows too: they were embedded elsewhere).
    """

    slices: tuple[Slice, ...]
    tokens: npt.NDArray[np.int32] | None = None
    hidden: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """hidden: float32 [rows, hidden] from a stage without the head; logits: float32
    [wanted rows, vocab] from one with it."""

    hidden: npt.NDArray[np.float32] | None = None
    logits: npt.NDArray[np.float32] | None = None


class Stage(Protocol):
    """Not thread-safe; lives on the engine's thread."""

    facts: ModelFacts
    layers: LayerRange
    profile: NumericsProfile
    embeds: bool
    has_head: bool

    def open(self, session: int, tokens: int) -> None:
        """Reserve room for a session of at most `tokens` positions; one that is open keeps what it
        holds. Raises `Unavailable`."""

    def step(self, batch: Batch) -> StepResult:
        """Compute the rows. Raises `Refused` for tokens out of range or unknown sessions, `LocalFault`
        (code `not_finite`) for results that are no numbers; the sessions are then as before the step."""

    def length(self, session: int) -> int:
        """How many positions the session's cache holds."""

    def truncate(self, session: int, position: int) -> None:
        """Forget everything from `position` on."""

    def close(self, session: int) -> None:
        """Free the session. Unknown sessions are ignored."""

    def resident_bytes(self) -> int:
        """Bytes of memory held for weights, buffers and caches (not the mapped file)."""
