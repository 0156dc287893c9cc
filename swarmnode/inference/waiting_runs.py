"""The runs that wait to be admitted, in turns between requests; and who is stepped when slots are short."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence

from swarmnode.inference.runs import Request, Run
from swarmnode.values.errors import Unavailable

#: Requests that may wait for one model; the node's own queue is shorter.
MAX_WAITING = 8192


class WaitingRuns:
    """A queue of requests, each with its choices in order. A request that got a run admitted goes to the
    end, so that one with many choices does not hold up the others."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, deque[Run]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add(self, owner: Request, runs: Sequence[Run]) -> None:
        """Queue a request. Raises `Unavailable` (`queue_full`)."""
        if len(self._runs) >= MAX_WAITING:
            raise Unavailable(
                f"{MAX_WAITING} requests wait for this model already",
                code="queue_full",
                hint="Try again later.",
            )
        self._runs[owner.slot] = deque(runs)

    def heads(self) -> Iterator[Run]:
        """The next run of each request that is not paused, in the order of their turns."""
        return (runs[0] for runs in self._runs.values() if not runs[0].owner.paused)

    def took(self, run: Run) -> None:
        """The head of a request is admitted."""
        runs = self._runs.pop(run.owner.slot)
        runs.popleft()
        if runs:
            self._runs[run.owner.slot] = runs

    def drop(self, owner: Request) -> list[Run]:
        """Forget a request; its runs that waited."""
        return list(self._runs.pop(owner.slot, ()))


def stepped_now(active: Sequence[Run], slots: int) -> list[Run]:
    """Those of the active runs that the next step carries: all, or where slots are short, one of every
    request before a second one of any, and the requests and runs first whose last turn is longest ago."""
    if len(active) <= slots:
        return list(active)
    last: dict[int, int] = {}
    for run in active:
        last[run.owner.slot] = max(run.turn, last.get(run.owner.slot, run.turn))
    seen: Counter[int] = Counter()
    ranked: list[tuple[int, int, int, Run]] = []
    for run in sorted(active, key=lambda run: run.turn):
        slot = run.owner.slot
        ranked.append((seen[slot], last[slot], len(ranked), run))
        seen[slot] += 1
    return [run for *_rank, run in sorted(ranked, key=lambda entry: entry[:3])[:slots]]
