"""Asking peers whom they know: one after the other, so that a node that joins is not flooded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from swarmnode.protocols.swarm.membership_vocabulary import AskView

#: Seconds between two peers that are asked, and that one answer is waited for.
INTERVAL, ANSWER_SECONDS = 0.1, 15.0
#: Pages that are asked of one peer.
MAX_PAGES = 8
#: Peers that wait to be asked; who came first is left out first.
MAX_WAITING = 256


class Views:
    """What is to be asked, and is."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._asked: str | None = None
        self._page = ""
        self._pages = 0
        # An answer is waited for; once `due` has passed it is no longer.
        self._open = False
        self.due: float | None = None

    def ask(self, peer: str, now: float) -> None:
        """The peer is new."""
        if peer in self._waiting or peer == self._asked:
            return
        self._waiting.append(peer)
        if self._asked is None and self.due is None:
            self.due = now

    def forget(self, peer: str) -> None:
        """The peer is gone; an answer that is on its way is still looked for, and not found."""
        if peer in self._waiting:
            self._waiting.remove(peer)

    def tick(self, now: float, digest: Callable[[], bytes]) -> list[Any]:
        """Whom to ask now. digest: of what we know."""
        if self.due is None or now < self.due:
            return []
        if self._page and self._asked is not None and not self._open:
            self._open, self.due = True, now + ANSWER_SECONDS
            return [AskView(self._asked, self._page, digest())]
        self._asked, self._page, self._pages, self.due = None, "", 0, None
        if not self._waiting:
            return []
        self._asked, self._open, self.due = self._waiting.popleft(), True, now + ANSWER_SECONDS
        return [AskView(self._asked, "", digest())]

    def answered(self, peer: str, after: str, now: float) -> bool:
        """Whether this answer was asked for. after: where the next page begins, or empty."""
        if peer != self._asked or not self._open:
            return False
        self._pages += 1
        if after > self._page and self._pages < MAX_PAGES:
            self._page, self._open, self.due = after, False, now + INTERVAL
            return True
        self._asked, self._page, self._open = None, "", False
        self.due = now + INTERVAL if self._waiting else None
        return True
