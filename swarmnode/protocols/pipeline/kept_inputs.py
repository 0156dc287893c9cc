"""The inputs of one cut: hidden rows that were sent, or are still to be sent, to the stage after it."""

from __future__ import annotations

from swarmnode.protocols.pipeline.vocabulary import Bytes


class KeptInputs:
    """Rows at positions `base` <= p < `end`, in order. While all that was sent fits in `limit` bytes, a new
    stage can be fed from here; once it does not, only what is still to be sent is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: list[tuple[int, int, Bytes]] = []
        self._bytes = 0
        self.base = 0
        self.end = 0

    def add(self, first: int, count: int, data: Bytes) -> None:
        """Rows that a step produced. Those already kept are skipped: steps may be repeated."""
        if first > self.end:
            raise ValueError(f"rows from {first}, but those from {self.end} are missing")
        if first + count <= self.end:
            return
        skip = self.end - first
        row = len(data) // count
        self._rows.append((self.end, count - skip, memoryview(data)[skip * row :]))
        self._bytes += (count - skip) * row
        self.end = first + count

    def rows(self, first: int, count: int) -> Bytes:
        """The bytes of rows at first <= p < first + count, all of which must be kept."""
        parts: list[Bytes] = []
        for start, number, data in self._rows:
            begin, end = max(first, start), min(first + count, start + number)
            if begin < end:
                row = len(data) // number
                parts.append(memoryview(data)[(begin - start) * row : (end - start) * row])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def used(self, position: int) -> None:
        """Rows before `position` were computed downstream: let go of them if there is too much."""
        if self._bytes <= self._limit:
            return
        while self._rows and self._rows[0][0] + self._rows[0][1] <= position:
            _start, number, data = self._rows.pop(0)
            self._bytes -= len(data)
            self.base += number

    def restart(self) -> None:
        """Keep nothing: the rows come again from position 0."""
        self._rows.clear()
        self._bytes, self.base, self.end = 0, 0, 0

    @property
    def full(self) -> bool:
        """Whether no more rows should be made before some are used."""
        return self._bytes > self._limit
