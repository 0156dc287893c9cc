"""The last heartbeats' messages, to announce and to hand out (gossipsub v1.0, Message Cache)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from swarmnode.protocols.gossipsub.messages import Message
from swarmnode.protocols.gossipsub.parameters import (
    MAX_CACHED_BYTES,
    MAX_CACHED_MESSAGES,
    MAX_RETRANSMISSIONS,
)


@dataclass(slots=True)
class _Kept:
    message: Message
    #: How often each peer was sent it on demand.
    sent: dict[str, int] = field(default_factory=dict)


class MessageCache:
    """Windows of one heartbeat each, the newest last. Bounded in messages and bytes: the oldest go first."""

    def __init__(
        self,
        history: int,
        gossip: int,
        *,
        max_messages: int = MAX_CACHED_MESSAGES,
        max_bytes: int = MAX_CACHED_BYTES,
    ) -> None:
        self._gossip, self._max_messages, self._max_bytes = gossip, max_messages, max_bytes
        self._windows: deque[list[bytes]] = deque(([] for _ in range(history)), maxlen=history)
        self._kept: dict[bytes, _Kept] = {}
        self._bytes = 0

    def put(self, message: Message) -> None:
        """Keep a message in the newest window."""
        if message.id in self._kept:
            return
        self._kept[message.id] = _Kept(message)
        self._windows[-1].append(message.id)
        self._bytes += len(message.encoded)
        while len(self._kept) > self._max_messages or self._bytes > self._max_bytes:
            self._drop_oldest()

    def demanded(self, message_id: bytes, peer: str) -> Message | None:
        """The message, for a peer that asks; None when it is not here, or was sent it too often."""
        kept = self._kept.get(message_id)
        if kept is None:
            return None
        times = kept.sent.get(peer, 0)
        if times >= MAX_RETRANSMISSIONS:
            return None
        kept.sent[peer] = times + 1
        return kept.message

    def announced(self) -> dict[str, list[bytes]]:
        """The ids to announce by topic: those of the newest windows, the oldest first."""
        ids: dict[str, list[bytes]] = {}
        windows = list(self._windows)[-self._gossip :]
        for message_id in (i for window in windows for i in window):
            ids.setdefault(self._kept[message_id].message.topic, []).append(message_id)
        return ids

    def shift(self) -> None:
        """A heartbeat: a new window, and the oldest goes."""
        for message_id in self._windows[0]:
            self._forget(message_id)
        self._windows.append([])

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return self._bytes

    def _drop_oldest(self) -> None:
        oldest = next(window for window in self._windows if window)
        self._forget(oldest.pop(0))

    def _forget(self, message_id: bytes) -> None:
        self._bytes -= len(self._kept.pop(message_id).message.encoded)
