"""The sessions of a stage: their caches and the room reserved for them."""

from __future__ import annotations

from collections.abc import Sequence

from swarmnode.inference.cache.attention_cache import AttentionCache, storage_of
from swarmnode.inference.cache.layer_cache import BLOCK, Snapshot, blocks_for
from swarmnode.inference.stage.shape import Shape
from swarmnode.values.errors import Refused, Unavailable
from swarmnode.values.layers import KvType


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

    def restore(self, snapshots: Sequence[Snapshot]) -> None:
        for cache, snapshot in zip(self.caches, snapshots, strict=True):
            cache.restore(snapshot)


class Sessions:
    """All sessions of a stage. kv_bytes: the room for all of them together; None is no limit."""

    def __init__(self, layers: int, shape: Shape, kv: KvType, kv_bytes: int | None) -> None:
        self._layers, self._shape, self._kv, self._limit = layers, shape, kv, kv_bytes
        self._item = storage_of(kv)().itemsize
        self._open: dict[int, Session] = {}

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
        others = sum(self.reserved_bytes(s.tokens) for n, s in self._open.items() if n != number)
        needed = self.reserved_bytes(tokens)
        if self._limit is not None and others + needed > self._limit:
            raise Unavailable(
                f"keys and values of {tokens} tokens need {needed} bytes; {max(self._limit - others, 0)} of "
                f"{self._limit} are free",
                code="no_cache_room",
                hint="Ask for fewer tokens, wait for other requests to end, or allow more memory.",
            )
        session = Session(tokens, self._layers, self._shape, self._kv)
        if old is not None:
            session.restore(old.snapshot(old.length))
        self._open[number] = session

    def get(self, number: int) -> Session:
        """The open session; raises `Refused` (code `unknown_session`)."""
        if number not in self._open:
            raise Refused(f"session {number} is not open", code="unknown_session")
        return self._open[number]

    def close(self, number: int) -> None:
        self._open.pop(number, None)

    @property
    def bytes(self) -> int:
        """Bytes of the blocks in use."""
        return sum(cache.bytes for session in self._open.values() for cache in session.caches)
