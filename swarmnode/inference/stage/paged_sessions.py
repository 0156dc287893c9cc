"""The sessions of the compiled stage: tables of pages, shared blocks without a copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.block_store import BlockLimits, BlockStore
from swarmnode.inference.cache.layer_cache import BLOCK, blocks_for
from swarmnode.inference.cache.pages import Page, PagePool
from swarmnode.inference.kernels.page_layout import PageLayout
from swarmnode.inference.kernels.program import address_of
from swarmnode.inference.stage.open_sessions import OpenSessions
from swarmnode.values.errors import Refused


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

    def append(self, page: Page) -> None:
        """The next page; there must be room for it."""
        self.table[len(self.pages)] = page.address
        self.pages.append(page)

    def replace(self, block: int, page: Page) -> None:
        """Another page for a block that has one."""
        self.table[block] = page.address
        self.pages[block] = page


class PagedSessions(OpenSessions[PagedSession, Page]):
    """See `OpenSessions`. A shared block is a page that its sessions hold too: nothing is copied."""

    def __init__(
        self, layers: int, layout: PageLayout, kv_bytes: int | None, limits: BlockLimits | None
    ) -> None:
        self.layers, self.layout = layers, layout
        self.pool = PagePool(layers * layout.layer_bytes)
        blocks = BlockStore(limits or BlockLimits(), self.pool.release)
        super().__init__(self.pool.page_bytes, kv_bytes, blocks)

    def _new(self, tokens: int) -> PagedSession:
        return PagedSession(tokens)

    def _resized(self, session: PagedSession, tokens: int) -> PagedSession:
        self._cut(session, session.length)  # pages that were made ready and never filled
        table = np.zeros(blocks_for(tokens), np.int64)
        table[: len(session.pages)] = session.table[: len(session.pages)]
        session.tokens, session.table = tokens, table
        return session

    def _cut(self, session: PagedSession, position: int) -> None:
        keep = blocks_for(position)
        for page in session.pages[keep:]:
            self.pool.release(page)
        del session.pages[keep:]
        session.length = position

    def _free(self, session: PagedSession) -> None:
        self._cut(session, 0)

    def _append_shared(self, session: PagedSession, block: Page) -> None:
        session.append(self.pool.hold(block))
        session.length += BLOCK

    def _to_share(self, session: PagedSession, index: int) -> Page:
        return self.pool.hold(session.pages[index])

    def prepare(self, number: int, first: int, count: int) -> PagedSession:
        """Pages of the session's own for positions first .. first + count - 1, about to be written. Raises
        `Refused` (code `session_full`) beyond its room."""
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
            session.replace(start, self.pool.copy(shared))
            self.pool.release(shared)
        for _ in range(len(session.pages), blocks_for(first + count)):
            session.append(self.pool.take())
        return session

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
