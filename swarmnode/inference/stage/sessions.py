"""The sessions of the reference stage: one cache a layer, shared blocks as copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.attention_cache import AttentionCache, storage_of
from swarmnode.inference.cache.block_store import BlockLimits, BlockStore
from swarmnode.inference.cache.layer_cache import BLOCK, Snapshot
from swarmnode.inference.stage.open_sessions import OpenSessions
from swarmnode.inference.stage.shape import Shape
from swarmnode.values.layers import KvType

SharedBlock = npt.NDArray[np.generic]


class Session:
    """One cache a layer."""

    def __init__(self, tokens: int, layers: int, shape: Shape, kv: KvType) -> None:
        self.tokens = tokens
        self.caches = tuple(AttentionCache(tokens, shape.kv_heads, shape.head_dim, kv) for _ in range(layers))

    @property
    def length(self) -> int:
        return self.caches[0].length

    def truncate(self, position: int) -> None:
        """Forget everything from `position` (not negative) on."""
        for cache in self.caches:
            cache.truncate(position)

    def snapshot(self, position: int) -> tuple[Snapshot, ...]:
        return tuple(cache.snapshot(position) for cache in self.caches)

    def block(self, index: int) -> SharedBlock:
        """A copy of 64 positions in all layers: [layer, keys then values, kv_head, 64, head_dim]."""
        return np.stack([cache.block(index) for cache in self.caches])

    def append_block(self, block: SharedBlock) -> None:
        for cache, part in zip(self.caches, block, strict=True):
            cache.append_block(part)

    def restore(self, snapshots: Sequence[Snapshot]) -> None:
        for cache, snapshot in zip(self.caches, snapshots, strict=True):
            cache.restore(snapshot)


class Sessions(OpenSessions[Session, SharedBlock]):
    """See `OpenSessions`. layers: how many the stage has."""

    def __init__(
        self, layers: int, shape: Shape, kv: KvType, kv_bytes: int | None, limits: BlockLimits | None = None
    ) -> None:
        block_bytes = BLOCK * layers * 2 * shape.kv_size * storage_of(kv)().itemsize
        super().__init__(block_bytes, kv_bytes, BlockStore(limits or BlockLimits()))
        self._layers, self._shape, self._kv = layers, shape, kv

    def _new(self, tokens: int) -> Session:
        return Session(tokens, self._layers, self._shape, self._kv)

    def _resized(self, session: Session, tokens: int) -> Session:
        resized = self._new(tokens)
        resized.restore(session.snapshot(session.length))
        return resized

    def _cut(self, session: Session, position: int) -> None:
        session.truncate(position)

    def _free(self, session: Session) -> None:
        """Its arrays go with it."""

    def _append_shared(self, session: Session, block: SharedBlock) -> None:
        session.append_block(block)

    def _to_share(self, session: Session, index: int) -> SharedBlock:
        return session.block(index)

    @property
    def bytes(self) -> int:
        """Bytes of the blocks in use, shared ones among them."""
        own = sum(cache.bytes for session in self._open.values() for cache in session.caches)
        return own + self.blocks.nbytes
