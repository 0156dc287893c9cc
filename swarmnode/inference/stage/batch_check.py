"""Whether a batch can be stepped; which of its rows want logits."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import Refused

MAX_ROWS = 1 << 16


class _Stage(Protocol):
    facts: ModelFacts
    embeds: bool

    def length(self, session: int) -> int: ...


def check_batch(batch: Batch, stage: _Stage) -> None:
    """Raise `Refused` for what cannot be computed; nothing has changed then."""
    rows = sum(part.count for part in batch.slices)
    if (
        not batch.slices
        or rows > MAX_ROWS
        or len({part.session for part in batch.slices}) < len(batch.slices)
    ):
        raise Refused(
            f"a batch of {rows} rows in {len(batch.slices)} slices: at least one, at most {MAX_ROWS} rows, "
            f"one slice a session",
            code="bad_batch",
        )
    for part in batch.slices:
        _check_slice(part, stage.length(part.session))
    _check_rows(batch, rows, stage)


def _check_slice(part: Slice, length: int) -> None:
    if part.count < 1 or not 0 <= part.first <= length:
        raise Refused(
            f"{part.count} rows from position {part.first} do not follow the {length} of session "
            f"{part.session}",
            code="cache_gap",
            hint="Send the rows that are missing first.",
        )


def _check_rows(batch: Batch, rows: int, stage: _Stage) -> None:
    if (batch.tokens is None) == (batch.hidden is None) or (batch.hidden is None and not stage.embeds):
        wanted = "token ids or hidden rows" if stage.embeds else "hidden rows"
        raise Refused(f"this stage wants {wanted}", code="bad_batch")
    if batch.hidden is not None:
        if batch.hidden.shape != (rows, stage.facts.hidden):
            raise Refused(
                f"hidden rows of the shape {batch.hidden.shape}, not {(rows, stage.facts.hidden)}",
                code="bad_batch",
            )
    elif batch.tokens is not None:
        _check_tokens(batch.tokens, rows, stage.facts.vocab)


def _check_tokens(tokens: npt.NDArray[np.int32], rows: int, vocab: int) -> None:
    if tokens.shape != (rows,):
        raise Refused(f"{tokens.shape} token ids for {rows} rows", code="bad_batch")
    if tokens.min() < 0 or tokens.max() >= vocab:
        bad = int(tokens[(tokens < 0) | (tokens >= vocab)][0])
        raise Refused(f"there is no token {bad}; ids go from 0 to {vocab - 1}", code="bad_token")


def wanted_rows(batch: Batch) -> npt.NDArray[np.int64]:
    """The rows whose logits are wanted, in order."""
    rows: list[int] = []
    start = 0
    for part in batch.slices:
        stop = start + part.count
        if part.want == "all":
            rows.extend(range(start, stop))
        elif part.want == "last":
            rows.append(stop - 1)
        start = stop
    return np.array(rows, np.int64)
