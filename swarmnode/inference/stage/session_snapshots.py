"""Sessions of the reference stage as snapshots (`inference.cache.snapshots`), and back."""

from __future__ import annotations

import numpy as np

from swarmnode.inference.cache.attention_cache import storage_of
from swarmnode.inference.cache.snapshots import SnapshotShape, pack, unpack
from swarmnode.inference.stage.sessions import Session
from swarmnode.values.errors import Refused
from swarmnode.values.layers import KvType


def export_session(shape: SnapshotShape, session: Session, position: int) -> bytes:
    """The first `position` positions. Raises `Refused` (`bad_position`) for none, or more than it holds."""
    if not 1 <= position <= session.length:
        raise Refused(
            f"there is no snapshot at {position}: the session holds {session.length} positions",
            code="bad_position",
        )
    rows = np.stack([cache.rows(position) for cache in session.caches])
    return pack(shape, position, rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes())


def restore_session(shape: SnapshotShape, session: Session, snapshot: bytes) -> None:
    """Fill an empty session. Raises `Refused` (`bad_snapshot`)."""
    position, data = unpack(shape, snapshot)
    if position > session.tokens:
        raise Refused(
            f"The snapshot of {position} positions does not fit in a session of {session.tokens}",
            code="bad_snapshot",
            hint="Open the session with more room.",
        )
    kv: KvType = shape.kv
    little = np.dtype(storage_of(kv)).newbyteorder("<")
    layers = shape.end_layer - shape.first_layer
    rows = np.frombuffer(data, little).reshape(layers, 2, position, shape.kv_heads, shape.head_dim)
    for cache, part in zip(session.caches, rows, strict=True):
        cache.restore_rows(part)
