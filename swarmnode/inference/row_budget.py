"""How many rows of prompts one step carries, and how they are divided among those who wait for theirs.

Prompts are computed in chunks beside the tokens of those that answer already (chunked prefill: Agrawal
et al., "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", OSDI 2024). What the
chunk adds to a step is what the others' tokens wait for it, so it is measured and bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Rows of the first chunk, before the speed is known; from then on at most twice as many as were tried.
FIRST_CHUNK = 8
#: Seconds that a chunk may take where nobody else waits for a token: a cancel waits no longer.
ALONE_SECONDS = 1.0
#: Of the target, what a chunk is planned for: rows cost more the later they are in a text.
_MARGIN = 0.85
#: Weight of a new measurement among the old.
_NEW = 0.3
#: A row of a prompt costs at least this part of a step's mean row: guards against noise.
_LEAST_PART = 0.05


class RowBudget:
    """Learns what rows cost. chunk: most rows of prompts in a step. target: seconds that they may add to
    a step that others wait for."""

    def __init__(self, chunk: int, target: float) -> None:
        self._chunk, self._target = chunk, target
        self._tried = 0
        self._row_seconds = 0.0
        self._plain_seconds = 0.0

    def rows(self, others_wait: bool) -> int:
        """Rows of prompts in the next step, at least one. others_wait: whether it also carries rows of
        those that answer."""
        if not self._tried:
            return min(self._chunk, FIRST_CHUNK)
        seconds = _MARGIN * self._target if others_wait else max(self._target, ALONE_SECONDS)
        return max(1, min(self._chunk, int(seconds / self._row_seconds), 2 * self._tried))

    def learn(self, answering: int, prompt: int, seconds: float) -> None:
        """A step of so many rows, of those that answer and of prompts, took `seconds`."""
        if not prompt:
            self._plain_seconds = _mean(self._plain_seconds, seconds)
            return
        least = _LEAST_PART * prompt * seconds / (answering + prompt)
        added = max(seconds - (self._plain_seconds if answering else 0.0), least)
        self._row_seconds = max(_mean(self._row_seconds, added / prompt), 1e-9)
        self._tried = max(self._tried, prompt)


def _mean(old: float, new: float) -> float:
    return (1 - _NEW) * old + _NEW * new if old else new


def divide(rows: int, wanted: Sequence[int]) -> list[int]:
    """Rows for each of those who want some: as equal as can be, nobody more than they want, the rest to
    the first ones. So prompts alike are done together, and a short one is not held up by a long one."""
    given = [0] * len(wanted)
    hungriest_last = sorted(range(len(wanted)), key=lambda index: (wanted[index], -index))
    for place, index in enumerate(hungriest_last):
        given[index] = min(wanted[index], rows // (len(wanted) - place))
        rows -= given[index]
    return given
