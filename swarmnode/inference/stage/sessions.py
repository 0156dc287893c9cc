"""The sessions of a stage: their caches, the room reserved for them, and the blocks they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.attention_cache import AttentionCache, storage_of
from swarmnode.inference.cache.block_store import BlockLimits, BlockStore
from swarmnode.inference.cache.layer_cache import BLOCK, Snapshot, blocks_for
from swarmnode.inference.stage.shape import Shape
from swarmnode.values.errors import Refused, Unavailable
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


class Sessions:
    """All sessions of a stage. kv_bytes: the room for all of them and for shared blocks; None is no limit.

    Shared blocks are copies; they take only room that no session has reserved.
    """

    def __init__(
        self, layers: int, shape: Shape, kv: KvType, kv_bytes: int | None, limits: BlockLimits | None = None
    ) -> None:
        self._layers, self._shape, self._kv, self._limit = layers, shape, kv, kv_bytes
        self._item = storage_of(kv)().itemsize
        self._open: dict[int, Session] = {}
        self.blocks: BlockStore[SharedBlock] = BlockStore(limits or BlockLimits())

    def reserved_bytes(self, tokens: int) -> int:
        """What a session of that many positions may come to take."""
        return blocks_for(tokens) * BLOCK * self._layers * 2 * self._shape.kv_size * self._item

    def open(self, number: int, tokens: int) -> None:
        """Reserve room. A session that is open keeps what it holds and gets more room if it needs it."""
        if tokens < 1:
            raise Refused(f"a session of {tokens} tokens cannot be opened", code="bad_session")
        old = self._open.get(number)
        if old is not None and old.tokens >= tokens:
            return
        self._make_room(number, tokens)
        self._put(number, tokens, old)

    def _put(self, number: int, tokens: int, old: Session | None) -> None:
        """A session of that room, with what the old one holds."""
        session = Session(tokens, self._layers, self._shape, self._kv)
        if old is not None:
            session.restore(old.snapshot(old.length))
        self._open[number] = session

    def fit(self, number: int) -> None:
        """See `seam.Stage.fit`."""
        old = self.get(number)
        tokens = max(1, old.length)
        if blocks_for(tokens) < blocks_for(old.tokens):
            self._put(number, tokens, old)

    def _make_room(self, number: int, tokens: int) -> None:
        """Give up shared blocks until there is room for the session. Raises `Unavailable`, and then gives
        up none."""
        if self._limit is None:
            return
        free = self._limit - self._reserved(besides=number)
        needed = self.reserved_bytes(tokens)
        if needed > free:
            raise Unavailable(
                f"keys and values of {tokens} tokens need {needed} bytes; {max(free, 0)} of {self._limit} "
                "are free",
                code="no_cache_room",
                hint="Ask for fewer tokens, wait for other requests to end, or allow more memory.",
            )
        while self.blocks.nbytes > free - needed:
            self.blocks.give_up_oldest()

    @property
    def all_reserved_bytes(self) -> int:
        """What all open sessions may come to take."""
        return self._reserved()

    def _reserved(self, besides: int | None = None) -> int:
        return sum(self.reserved_bytes(s.tokens) for n, s in self._open.items() if n != besides)

    def adopt(self, number: int, keys: Sequence[bytes]) -> int:
        """See `seam.Stage.adopt`."""
        session = self.empty(number)
        for block in self.blocks.find(keys[: session.tokens // BLOCK]):
            session.append_block(block)
        return session.length

    def publish(self, number: int, keys: Sequence[bytes]) -> None:
        """See `seam.Stage.publish`."""
        session = self.get(number)
        room = None if self._limit is None else self._limit - self._reserved()
        whole = keys[: session.length // BLOCK]
        self.blocks.put(whole, self.reserved_bytes(BLOCK), session.block, room)

    def empty(self, number: int) -> Session:
        """The open session, which must hold nothing; raises `Refused` (code `session_not_empty`)."""
        session = self.get(number)
        if session.length:
            raise Refused(f"session {number} holds {session.length} positions", code="session_not_empty")
        return session

    def get(self, number: int) -> Session:
        """The open session; raises `Refused` (code `unknown_session`)."""
        if number not in self._open:
            raise Refused(f"session {number} is not open", code="unknown_session")
        return self._open[number]

    def close(self, number: int) -> None:
        self._open.pop(number, None)

    @property
    def bytes(self) -> int:
        """Bytes of the blocks in use, shared ones among them."""
        own = sum(cache.bytes for session in self._open.values() for cache in session.caches)
        return own + self.blocks.nbytes
