"""RPCs that wait for a slow peer: the urgent first, and the least urgent dropped when there are too many."""

from __future__ import annotations

from collections import deque

from swarmnode.protocols.gossipsub.vocabulary import Urgency

#: What waits for one peer, beyond what its stream holds already.
MAX_QUEUED_RPCS = 1024
MAX_QUEUED_BYTES = 2 << 20


class RpcQueue:
    """dropped: RPCs given up so far, by urgency."""

    def __init__(self, max_rpcs: int = MAX_QUEUED_RPCS, max_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._max_rpcs, self._max_bytes = max_rpcs, max_bytes
        self._waiting: dict[Urgency, deque[bytes]] = {urgency: deque() for urgency in Urgency}
        self._count = self._bytes = 0
        self.dropped = dict.fromkeys(Urgency, 0)

    def put(self, data: bytes, urgency: Urgency) -> bool:
        """Wait. Of the least urgent kind that is there the oldest make room. False when even control messages
        do not fit any more: the peer takes nothing, and what it believes of the meshes would become wrong."""
        self._waiting[urgency].append(data)
        self._count += 1
        self._bytes += len(data)
        fits = True
        while self._count > self._max_rpcs or self._bytes > self._max_bytes:
            least = max(u for u in Urgency if self._waiting[u])
            self._take(least)
            self.dropped[least] += 1
            fits = fits and least is not Urgency.CONTROL
        return fits

    def pop(self) -> bytes | None:
        """The next one, or None."""
        for urgency in Urgency:
            if self._waiting[urgency]:
                return self._take(urgency)
        return None

    def clear(self) -> None:
        """Drop everything, uncounted."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes waiting."""
        return self._bytes

    def _take(self, urgency: Urgency) -> bytes:
        data = self._waiting[urgency].popleft()
        self._count -= 1
        self._bytes -= len(data)
        return data
