"""Blocks that sessions share: bounded by bytes, by prompts and by time, the longest unused given up first.

The blocks form a forest: under one key lies one block, after the block that its chain had before it. A
use of a block is a use of all before it, so the longest unused block never has another one after it, and
what is left is always of use. A *prompt* is such a last block with all before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Block = TypeVar("Block")

#: Prompts kept where nobody says how many.
DEFAULT_PROMPTS = 16
#: Seconds that unused blocks are kept where nobody says how long.
DEFAULT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """bytes: most memory for blocks, 0 for no shared blocks at all. prompts: chains kept. seconds: how
    long an unused block is kept."""

    bytes: int = 0
    prompts: int = DEFAULT_PROMPTS
    seconds: float = DEFAULT_SECONDS


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """Bytes, blocks and prompts held now; since the start, blocks that were asked for and there (`hits`),
    asked for and not there (`misses`), and blocks given up for room or age (`evicted`)."""

    bytes: int = 0
    blocks: int = 0
    prompts: int = 0
    hits: int = 0
    misses: int = 0
    evicted: int = 0


@dataclass(slots=True)
class _Entry(Generic[Block]):
    block: Block
    size: int
    parent: bytes | None
    used: float
    children: int = 0


class BlockStore(Generic[Block]):
    """What a block is, the stage knows. released: called with each block that is given up. Not
    thread-safe; time is what `expire` was told last."""

    def __init__(self, limits: BlockLimits, released: Callable[[Block], None] = lambda _block: None) -> None:
        self.limits = limits
        self._released = released
        self._entries: OrderedDict[bytes, _Entry[Block]] = OrderedDict()  # the longest unused first
        self._bytes = self._prompts = self._hits = self._misses = self._evicted = 0
        self._now = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def counts(self) -> BlockCounts:
        """What became of the blocks so far."""
        held = (self._bytes, len(self._entries), self._prompts)
        return BlockCounts(*held, self._hits, self._misses, self._evicted)

    def find(self, keys: Sequence[bytes]) -> list[Block]:
        """The longest run of known blocks at the beginning of a chain; they count as used."""
        known = self._known(keys)
        self._use(keys[:known])
        self._hits += known
        self._misses += len(keys) - known
        return [self._entries[key].block for key in keys[:known]]

    def put(
        self, keys: Sequence[bytes], size: int, make: Callable[[int], Block], room: int | None = None
    ) -> int:
        """Hold the blocks of a chain; those known count as used. make(i): the block of keys[i], of `size`
        bytes, called for those not known. room: bytes that all blocks may take now, where that is less
        than the limit. Returns how many of the chain are held: the rest found no room."""
        limit = self.limits.bytes if room is None else min(room, self.limits.bytes)
        held = self._known(keys)
        self._use(keys[:held])
        chain = set(keys)
        try:
            while held < len(keys) and self._make_room(limit - size, chain):
                self._insert(keys[held], keys[held - 1] if held else None, make(held), size)
                held += 1
        finally:  # in the right order also when there is no memory for a block
            self._use(keys[:held])
        while self._prompts > self.limits.prompts:
            self._give_up_prompt()
        return held

    def give_up_oldest(self) -> int:
        """Let go of the block that was not used for longest; its bytes, 0 when there is none."""
        if not self._entries:
            return 0
        key = next(iter(self._entries))
        size = self._entries[key].size
        self._remove(key)
        return size

    def expire(self, now: float) -> None:
        """Let go of what was not used for its time to live."""
        self._now = now
        while self._entries and now - next(iter(self._entries.values())).used >= self.limits.seconds:
            self.give_up_oldest()

    def clear(self) -> None:
        """Let go of everything."""
        while self.give_up_oldest():
            pass

    def _known(self, keys: Sequence[bytes]) -> int:
        return next((i for i, key in enumerate(keys) if key not in self._entries), len(keys))

    def _use(self, keys: Sequence[bytes]) -> None:
        """The last block first: those before it must not be older than it."""
        for key in reversed(keys):
            self._entries[key].used = self._now
            self._entries.move_to_end(key)

    def _make_room(self, limit: int, chain: set[bytes]) -> bool:
        if limit < 0:
            return False
        while self._bytes > limit:
            if next(iter(self._entries)) in chain:
                return False
            self.give_up_oldest()
        return True

    def _insert(self, key: bytes, parent: bytes | None, block: Block, size: int) -> None:
        before = self._entries[parent] if parent is not None else None
        if before is None or before.children:
            self._prompts += 1
        if before is not None:
            before.children += 1
        self._entries[key] = _Entry(block, size, parent, self._now)
        self._bytes += size

    def _remove(self, key: bytes) -> bytes | None:
        """Let go of a last block; the one before it, if it is the last one now."""
        entry = self._entries.pop(key)
        self._bytes -= entry.size
        self._evicted += 1
        self._released(entry.block)
        before = self._entries[entry.parent] if entry.parent is not None else None
        if before is not None:
            before.children -= 1
            if not before.children:
                return entry.parent
        self._prompts -= 1
        return None

    def _give_up_prompt(self) -> None:
        """Let go of the prompt that was not used for longest, up to what others share."""
        key: bytes | None = next(iter(self._entries))
        while key is not None:
            key = self._remove(key)
