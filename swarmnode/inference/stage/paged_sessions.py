"""The sessions of the compiled stage: tables of pages, the room reserved, the blocks shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.block_store import BlockLimits, BlockStore
from swarmnode.inference.cache.layer_cache import BLOCK, blocks_for
from swarmnode.inference.cache.pages import Page, PagePool
from swarmnode.inference.kernels.attention import PageLayout
from swarmnode.inference.kernels.program import address_of
from swarmnode.values.errors import Refused, Unavailable


class PagedSession:
    """The pages of one session. table: their addresses, i64 [blocks], where kernels read them."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.length = 0
        self.pages: list[Page] = []
        self.table = np.zeros(blocks_for(tokens), np.int64)

    @property
    def table_address(self) -> int:
        return address_of(self.table)


class PagedSessions:
    """All sessions of a stage. kv_bytes: the room for all of them and for shared blocks; None is no limit.

    A shared block is a page that its sessions hold too: nothing is copied. Shared blocks take only room that
    no session has reserved.
    """

    def __init__(
        self, layers: int, layout: PageLayout, kv_bytes: int | None, limits: BlockLimits | None
    ) -> None:
        self.layers, self.layout = layers, layout
        self.pool = PagePool(layers * layout.layer_bytes)
        self._limit = kv_bytes
        self._open: dict[int, PagedSession] = {}
        self.blocks: BlockStore[Page] = BlockStore(limits or BlockLimits(), self.pool.release)

    def reserved_bytes(self, tokens: int) -> int:
        """What a session of that many positions may come to take."""
        return blocks_for(tokens) * self.pool.page_bytes

    def open(self, number: int, tokens: int) -> None:
        """Reserve room. A session that is open keeps what it holds and gets more room if it needs it."""
        if tokens < 1:
            raise Refused(f"a session of {tokens} tokens cannot be opened", code="bad_session")
        old = self._open.get(number)
        if old is not None and old.tokens >= tokens:
            return
        self._make_room(number, tokens)
        if old is None:
            self._open[number] = PagedSession(tokens)
            return
        table = np.zeros(blocks_for(tokens), np.int64)
        table[: len(old.table)] = old.table
        old.tokens, old.table = tokens, table

    def fit(self, number: int) -> None:
        """See `seam.Stage.fit`."""
        session = self.get(number)
        session.tokens = max(1, session.length)
        session.table = session.table[: blocks_for(session.tokens)].copy()

    def _make_room(self, number: int, tokens: int) -> None:
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
        return sum(self.reserved_bytes(one.tokens) for n, one in self._open.items() if n != besides)

    def get(self, number: int) -> PagedSession:
        """The open session; raises `Refused` (code `unknown_session`)."""
        if number not in self._open:
            raise Refused(f"session {number} is not open", code="unknown_session")
        return self._open[number]

    def empty(self, number: int) -> PagedSession:
        """The open session, which must hold nothing; raises `Refused` (code `session_not_empty`)."""
        session = self.get(number)
        if session.length:
            raise Refused(f"session {number} holds {session.length} positions", code="session_not_empty")
        return session

    def truncate(self, number: int, position: int) -> None:
        """Forget everything from `position` on."""
        session = self.get(number)
        if not 0 <= position <= session.length:
            raise Refused(
                f"session {number} holds {session.length} positions: it cannot be cut back to {position}",
                code="bad_position",
            )
        keep = blocks_for(position) if position else 0
        for page in session.pages[keep:]:
            self.pool.release(page)
        del session.pages[keep:]
        session.length = position

    def prepare(self, number: int, first: int, count: int) -> PagedSession:
        """Pages of the session's own for positions first .. first + count - 1, about to be written."""
        session = self.get(number)
        if first + count > session.tokens:
            raise Refused(
                f"position {first + count - 1} lies beyond the {session.tokens} of session {number}",
                code="session_full",
                hint="Open the session with more room.",
            )
        start = first // BLOCK
        if start < len(session.pages) and session.pages[start].holders > 1:
            shared = session.pages[start]
            self._set(session, start, self.pool.copy(shared))
            self.pool.release(shared)
        for block in range(len(session.pages), blocks_for(first + count)):
            session.pages.append(self.pool.take())
            session.table[block] = session.pages[block].address
        return session

    def _set(self, session: PagedSession, block: int, page: Page) -> None:
        session.pages[block] = page
        session.table[block] = page.address

    def adopt(self, number: int, keys: Sequence[bytes]) -> int:
        """See `seam.Stage.adopt`."""
        session = self.empty(number)
        for page in self.blocks.find(keys[: session.tokens // BLOCK]):
            session.table[len(session.pages)] = page.address
            session.pages.append(self.pool.hold(page))
            session.length += BLOCK
        return session.length

    def publish(self, number: int, keys: Sequence[bytes]) -> None:
        """See `seam.Stage.publish`."""
        session = self.get(number)
        room = None if self._limit is None else self._limit - self._reserved()
        whole = keys[: session.length // BLOCK]
        self.blocks.put(whole, self.pool.page_bytes, lambda index: self.pool.hold(session.pages[index]), room)

    def close(self, number: int) -> None:
        """Free the session; unknown ones are ignored."""
        session = self._open.pop(number, None)
        if session is not None:
            for page in session.pages:
                self.pool.release(page)

    # Keys and values as arrays, for snapshots.

    def views(self, page: Page, layer: int) -> tuple[npt.NDArray[np.generic], ...]:
        """A layer's part of a page, in place: keys [kv_heads, head_dim, 64] and values [kv_heads, 64, padded
        head_dim]; of q8_0 also the factors of keys [kv_heads, parts, 64] and of values [kv_heads, 64,
        parts]."""
        layout = self.layout
        kind = {"f32": np.float32, "f16": np.float16, "q8_0": np.int8}[layout.kv]
        begin = page.offset + layer * layout.layer_bytes
        raw = page.slab.memory.bytes[begin : begin + layout.layer_bytes]
        keys = raw[: layout.values].reshape(layout.kv_heads, layout.key_bytes)
        values = raw[layout.values :].reshape(layout.kv_heads, layout.value_bytes)
        item = np.dtype(kind).itemsize
        key_size, value_size = layout.head_dim * BLOCK * item, layout.padded_dim * BLOCK * item
        parts: list[npt.NDArray[np.generic]] = [
            keys[:, :key_size].view(kind).reshape(layout.kv_heads, layout.head_dim, BLOCK),
            values[:, :value_size].view(kind).reshape(layout.kv_heads, BLOCK, layout.padded_dim),
        ]
        if layout.kv == "q8_0":
            parts.append(keys[:, key_size:].view(np.float16).reshape(layout.kv_heads, layout.parts, BLOCK))
            parts.append(
                values[:, value_size:].view(np.float16).reshape(layout.kv_heads, BLOCK, layout.parts)
            )
        return tuple(parts)
