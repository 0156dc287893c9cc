"""Memory for keys and values in pages of 64 positions that several sessions may hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmnode.inference.kernels.program import Memory, aligned

#: Pages are asked of the system in runs of about so many bytes.
SLAB_BYTES = 8 << 20


@dataclass(slots=True, eq=False)
class _Slab:
    memory: Memory
    free: list[int] = field(default_factory=list)
    used: int = 0


@dataclass(slots=True, eq=False)
class Page:
    """One page. holders: how many sessions and shared blocks have it; while several do, nobody writes."""

    address: int
    offset: int
    slab: _Slab
    holders: int = 1


class PagePool:
    """Pages of one size. Slabs that no page is used of are given back to the system at once."""

    def __init__(self, page_bytes: int) -> None:
        self.page_bytes = aligned(page_bytes)
        self._per_slab = max(1, SLAB_BYTES // self.page_bytes)
        self._slabs: list[_Slab] = []

    @property
    def bytes(self) -> int:
        """Bytes held of the system."""
        return sum(slab.memory.size for slab in self._slabs)

    def take(self) -> Page:
        """A page that nobody else has. Its padding is zeros; the rest is whatever it was."""
        slab = next((slab for slab in self._slabs if slab.free), None)
        if slab is None:
            slab = _Slab(Memory(self._per_slab * self.page_bytes))
            slab.free = [index * self.page_bytes for index in reversed(range(self._per_slab))]
            self._slabs.append(slab)
        offset = slab.free.pop()
        slab.used += 1
        return Page(slab.memory.address + offset, offset, slab)

    def copy(self, page: Page) -> Page:
        """A page of one's own with the same content."""
        new = self.take()
        size = self.page_bytes
        new.slab.memory.bytes[new.offset : new.offset + size] = page.slab.memory.bytes[
            page.offset : page.offset + size
        ]
        return new

    def hold(self, page: Page) -> Page:
        """One more has it."""
        page.holders += 1
        return page

    def release(self, page: Page) -> None:
        """One fewer has it."""
        page.holders -= 1
        if page.holders:
            return
        slab = page.slab
        slab.free.append(page.offset)
        slab.used -= 1
        if not slab.used:
            self._slabs.remove(slab)
