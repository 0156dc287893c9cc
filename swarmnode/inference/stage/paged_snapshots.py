"""Sessions of the compiled stage as snapshots (`inference.cache.snapshots`), and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.layer_cache import BLOCK
from swarmnode.inference.cache.snapshots import SnapshotShape, pack, unpack
from swarmnode.inference.kernels.page_layout import PART
from swarmnode.inference.stage.paged_sessions import PagedSessions
from swarmnode.values.errors import Refused

_NUMBERS: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2")}
#: A block of q8_0 as GGUF has it.
_Q8_BLOCK = np.dtype([("factor", "<f2"), ("numbers", np.int8, (PART,))])


def export_pages(shape: SnapshotShape, sessions: PagedSessions, number: int, position: int) -> bytes:
    """The first `position` positions. Raises `Refused` (`bad_position`) for none, or more than it holds."""
    session = sessions.get(number)
    if not 1 <= position <= session.length:
        raise Refused(
            f"there is no snapshot at {position}: the session holds {session.length} positions",
            code="bad_position",
        )
    rows = _rows(shape, sessions, position)
    for layer in range(sessions.layers):
        for begin in range(0, position, BLOCK):
            count = min(BLOCK, position - begin)
            views = sessions.views(session.pages[begin // BLOCK], layer)
            for side in range(2):
                _copy_out(sessions, views, side, rows[layer, side, begin : begin + count])
    return pack(shape, position, rows.tobytes())


def restore_pages(shape: SnapshotShape, sessions: PagedSessions, number: int, snapshot: bytes) -> None:
    """Fill an empty session. Raises `Refused` (`bad_snapshot`)."""
    session = sessions.empty(number)
    position, data = unpack(shape, snapshot)
    if position > session.tokens:
        raise Refused(
            f"The snapshot of {position} positions does not fit in a session of {session.tokens}",
            code="bad_snapshot",
            hint="Open the session with more room.",
        )
    sessions.prepare(number, 0, position)
    rows = np.frombuffer(data, _rows(shape, sessions, 0).dtype).reshape(_shape(shape, sessions, position))
    for layer in range(sessions.layers):
        for begin in range(0, position, BLOCK):
            count = min(BLOCK, position - begin)
            views = sessions.views(session.pages[begin // BLOCK], layer)
            for side in range(2):
                _copy_in(sessions, views, side, rows[layer, side, begin : begin + count])
    session.length = position


def _shape(shape: SnapshotShape, sessions: PagedSessions, position: int) -> tuple[int, ...]:
    last = sessions.layout.parts if shape.kv == "q8_0" else shape.head_dim
    return (sessions.layers, 2, position, shape.kv_heads, last)


def _rows(shape: SnapshotShape, sessions: PagedSessions, position: int) -> npt.NDArray[Any]:
    kind: np.dtype[Any] = _Q8_BLOCK if shape.kv == "q8_0" else _NUMBERS[shape.kv]
    return np.zeros(_shape(shape, sessions, position), kind)


def _by_position(
    sessions: PagedSessions, views: tuple[npt.NDArray[np.generic], ...], side: int
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic] | None]:
    """Keys (side 0) or values as [64, kv_heads, head_dim], and their factors as [64, kv_heads, parts]."""
    order = (2, 0, 1) if side == 0 else (1, 0, 2)
    numbers = views[side].transpose(order)[..., : sessions.layout.head_dim]
    return numbers, views[2 + side].transpose(order) if len(views) > 2 else None


def _copy_out(
    sessions: PagedSessions,
    views: tuple[npt.NDArray[np.generic], ...],
    side: int,
    out: npt.NDArray[Any],
) -> None:
    numbers, factors = _by_position(sessions, views, side)
    if factors is None:
        out[...] = numbers[: len(out)]
        return
    out["factor"] = factors[: len(out)]
    flat = np.zeros((*out.shape[:2], sessions.layout.parts * PART), np.int8)
    flat[..., : sessions.layout.head_dim] = numbers[: len(out)]
    out["numbers"] = flat.reshape(out["numbers"].shape)


def _copy_in(
    sessions: PagedSessions,
    views: tuple[npt.NDArray[np.generic], ...],
    side: int,
    rows: npt.NDArray[Any],
) -> None:
    numbers, factors = _by_position(sessions, views, side)
    if factors is None:
        numbers[: len(rows)] = rows
        return
    factors[: len(rows)] = rows["factor"]
    flat = rows["numbers"].reshape(*rows.shape[:2], -1)
    numbers[: len(rows)] = flat[..., : sessions.layout.head_dim]
