"""The seam between whatever schedules rows and whatever computes them: the stage, one call a step.

A stage holds a range of a model's layers, and the embedding and the output head where its range
begins or ends with them. Its answer for a row depends on that row's token and its prefix only
(DESIGN 6): never on what else is in the batch, how the prompt was cut, or where the model is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.block_store import BlockCounts as BlockCounts
from swarmnode.inference.cache.layer_cache import BLOCK as BLOCK
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
    """Not thread-safe; lives on the engine's thread.

    Shared blocks (`adopt` ... `block_counts`): a block is what the stage remembers of `BLOCK` positions
    at an absolute multiple of `BLOCK`, in all its layers, under a key that names its content and all
    before it (`inference.cache.block_keys`). An adopted position holds bit for bit what computing it
    would have given. Blocks nobody uses are given up, the longest unused first, before `open` fails for
    want of room.
    """

    facts: ModelFacts
    layers: LayerRange
    profile: NumericsProfile
    embeds: bool
    has_head: bool

    def open(self, session: int, tokens: int) -> None:
        """Reserve room for a session of at most `tokens` positions; one that is open keeps what it
        holds. Raises `Unavailable`."""

    def fit(self, session: int) -> None:
        """Give back the room that the session does not need for what it holds; `open` gives it more again.
        Raises `Refused` for unknown sessions."""

    def step(self, batch: Batch) -> StepResult:
        """Compute the rows. Raises `Refused` for tokens out of range or unknown sessions, `LocalFault`
        (code `not_finite`) for results that are no numbers; the sessions then hold what lies before the
        step's rows."""

    def length(self, session: int) -> int:
        """How many positions the session's cache holds."""

    def truncate(self, session: int, position: int) -> None:
        """Forget everything from `position` on."""

    def close(self, session: int) -> None:
        """Free the session. Unknown sessions are ignored."""

    def resident_bytes(self) -> int:
        """Bytes of memory held for weights, buffers and caches (not the mapped file)."""

    def adopt(self, session: int, keys: Sequence[bytes]) -> int:
        """Give an open and empty session the longest known run of blocks: `keys[i]` names the content of
        positions 64*i .. 64*i+63 (and, being chained, all before). Returns the positions that the session
        holds now, a multiple of `BLOCK`; 0 when the first key is not known. Blocks beyond the session's
        room are not given. Raises `Refused` for sessions that are unknown (`unknown_session`) or hold
        something (`session_not_empty`)."""

    def publish(self, session: int, keys: Sequence[bytes]) -> None:
        """Let later sessions adopt the session's first `len(keys)` blocks, as far as it holds them (keys
        of blocks that it does not hold in full are ignored). Known keys are refreshed. Does nothing
        where shared blocks are off, or there is no room for one more."""

    def export(self, session: int, position: int) -> bytes:
        """A snapshot of the first `position` positions, self-describing: a versioned header with profile,
        model shape, layers and position, then the rows (`inference.cache.snapshots`). The same
        positions give the same bytes. Raises `Refused` (`bad_position`) for more than the session holds."""

    def restore(self, session: int, snapshot: bytes) -> None:
        """Fill an open, empty session. Raises `Refused` (`bad_snapshot`) for snapshots of another model
        shape, range or profile, of damaged length, longer than the session's room, or with numbers that
        are not finite; the session is then still empty."""

    def forget_blocks(self) -> None:
        """Give up all shared blocks; sessions that adopted some keep what they hold."""

    def expire(self, now: float) -> None:
        """Give up shared blocks that were not used for the time to live. now: seconds, of the caller's
        clock; the stage takes the last one it was told as the time of a use."""

    def block_counts(self) -> BlockCounts:
        """What became of the shared blocks so far."""

    def reserved_bytes(self) -> int:
        """What the keys and values of all open sessions may come to take; shared blocks come on top."""
