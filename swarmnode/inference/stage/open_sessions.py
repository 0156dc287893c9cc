"""Which sessions a stage has open, the room reserved for each, and the blocks that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from swarmnode.inference.cache.block_store import BlockStore
from swarmnode.inference.cache.layer_cache import BLOCK, blocks_for
from swarmnode.values.errors import Refused, Unavailable


class SessionLike(Protocol):
    """One session. tokens: the positions that it has room for; length: those that it holds."""

    tokens: int

    @property
    def length(self) -> int: ...


Session = TypeVar("Session", bound=SessionLike)
Block = TypeVar("Block")


class OpenSessions(ABC, Generic[Session, Block]):
    """All sessions of a stage by number, whatever they are made of.

    block_bytes: what `BLOCK` positions take in all layers. kv_bytes: the room for all sessions and for shared
    blocks; None is no limit. blocks: the shared ones; they take only room that no session has reserved.
    """

    def __init__(self, block_bytes: int, kv_bytes: int | None, blocks: BlockStore[Block]) -> None:
        self.blocks = blocks
        self._block_bytes, self._limit = block_bytes, kv_bytes
        self._open: dict[int, Session] = {}

    # What sessions are made of.

    @abstractmethod
    def _new(self, tokens: int) -> Session:
        """An empty session with room for so many positions."""

    @abstractmethod
    def _resized(self, session: Session, tokens: int) -> Session:
        """The session, or another in its place, with other room and all that it holds."""

    @abstractmethod
    def _cut(self, session: Session, position: int) -> None:
        """Forget everything from `position` (0 to the length) on."""

    @abstractmethod
    def _append_shared(self, session: Session, block: Block) -> None:
        """Take a shared block as the session's next positions."""

    @abstractmethod
    def _to_share(self, session: Session, index: int) -> Block:
        """Block number `index` of the session, for the store."""

    @abstractmethod
    def _free(self, session: Session) -> None:
        """Give back what a closed session held."""

    # Sessions by number.

    def reserved_bytes(self, tokens: int) -> int:
        """What a session of that many positions may come to take."""
        return blocks_for(tokens) * self._block_bytes

    @property
    def all_reserved_bytes(self) -> int:
        """What all open sessions may come to take."""
        return self._reserved()

    def _reserved(self, besides: int | None = None) -> int:
        return sum(self.reserved_bytes(one.tokens) for n, one in self._open.items() if n != besides)

    def open(self, number: int, tokens: int) -> None:
        """Reserve room. A session that is open keeps what it holds and gets more room if it needs it. Raises
        `Refused` (code `bad_session`) for less than one position, `Unavailable` (`no_cache_room`)."""
        if tokens < 1:
            raise Refused(f"a session of {tokens} tokens cannot be opened", code="bad_session")
        old = self._open.get(number)
        if old is not None and old.tokens >= tokens:
            return
        self._make_room(number, tokens)
        self._open[number] = self._new(tokens) if old is None else self._resized(old, tokens)

    def fit(self, number: int) -> None:
        """See `seam.Stage.fit`. Room is counted in blocks: what fills its last one gives nothing back."""
        session = self.get(number)
        tokens = max(1, session.length)
        if blocks_for(tokens) < blocks_for(session.tokens):
            self._open[number] = self._resized(session, tokens)

    def _make_room(self, number: int, tokens: int) -> None:
        """Give up shared blocks until there is room for the session. Raises `Unavailable`, and then gives
        up none."""
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

    def get(self, number: int) -> Session:
        """The open session; raises `Refused` (code `unknown_session`)."""
        if number not in self._open:
            raise Refused(f"session {number} is not open", code="unknown_session")
        return self._open[number]

    def empty(self, number: int) -> Session:
        """The open session, which must hold nothing; raises `Refused` (code `session_not_empty`)."""
        session = self.get(number)
        if session.length:
            raise Refused(f"session {number} holds {session.length} positions", code="session_not_empty")
        return session

    def truncate(self, number: int, position: int) -> None:
        """Forget everything from `position` on; raises `Refused` (code `bad_position`) for one that the
        session does not hold."""
        session = self.get(number)
        if not 0 <= position <= session.length:
            raise Refused(
                f"session {number} holds {session.length} positions: it cannot be cut back to {position}",
                code="bad_position",
            )
        self._cut(session, position)

    def close(self, number: int) -> None:
        """Free the session; unknown ones are ignored."""
        session = self._open.pop(number, None)
        if session is not None:
            self._free(session)

    # Shared blocks.

    def adopt(self, number: int, keys: Sequence[bytes]) -> int:
        """See `seam.Stage.adopt`."""
        session = self.empty(number)
        for block in self.blocks.find(keys[: session.tokens // BLOCK]):
            self._append_shared(session, block)
        return session.length

    def publish(self, number: int, keys: Sequence[bytes]) -> None:
        """See `seam.Stage.publish`."""
        session = self.get(number)
        room = None if self._limit is None else self._limit - self._reserved()
        whole = keys[: session.length // BLOCK]
        self.blocks.put(whole, self._block_bytes, lambda index: self._to_share(session, index), room)
