"""Sessions of the stage for the runs: opened with room for the whole answer, filled with what is known
already, kept for the conversation's next turn."""

from __future__ import annotations

from collections.abc import Iterator

from swarmnode.inference.kept_sessions import KeptSessions
from swarmnode.inference.prefix_sharing import PrefixSharing
from swarmnode.inference.runs import Run
from swarmnode.inference.stage.seam import BLOCK, Stage
from swarmnode.values.errors import Unavailable


class Admission:
    """numbers yields session numbers of the stage."""

    def __init__(
        self, stage: Stage, kept: KeptSessions, sharing: PrefixSharing, numbers: Iterator[int]
    ) -> None:
        self._stage, self._kept, self._sharing, self._numbers = stage, kept, sharing, numbers

    def open(self, run: Run) -> None:
        """Give a run its session; sessions kept for conversations are given up for it, the oldest first.
        Raises `Unavailable` when there is no room even so; it may be tried again."""
        owner, name = run.owner, run.owner.request.session_id
        if run.session < 0 and name and run.choice == 0 and (kept := self._kept.take(name, owner.prompt)):
            run.session, run.computed = kept
        session = run.session if run.session >= 0 else next(self._numbers)
        while True:
            try:
                self._stage.open(session, len(owner.prompt) + owner.limit)
                break
            except Unavailable:
                if not self._kept.give_up_oldest():
                    raise
        run.session, run.tokens = session, list(owner.prompt)
        if not run.computed:
            run.computed = self._sharing.adopt(owner, session)
        elif run.computed < BLOCK:
            self._prefer_blocks(run)

    def _prefer_blocks(self, run: Run) -> None:
        """Exchange a kept session that shares less than a block with the prompt for one of shared blocks,
        if there are any."""
        session = next(self._numbers)
        try:
            self._stage.open(session, len(run.owner.prompt) + run.owner.limit)
        except Unavailable:
            return
        if found := self._sharing.adopt(run.owner, session):
            session, run.session, run.computed = run.session, session, found
        self._stage.close(session)

    def release(self, run: Run, now: float) -> None:
        """Leave what the session holds to others, and keep it for the conversation's next turn or free
        it."""
        name = run.owner.request.session_id
        if run.session < 0:
            return
        if run.tokens:
            self._sharing.publish(run)
        if name and run.choice == 0 and run.computed:
            self._kept.keep(name, run.session, (run.tokens or run.owner.prompt)[: run.computed], now)
        else:
            self._stage.close(run.session)
