"""Messages that were announced and asked for (gossipsub v1.1, Spam Protection Measures).

Of each IWANT one id, drawn at random, is the peer's promise: when nobody brings the message in time, the peer
announced what it does not have.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarmnode.protocols.gossipsub.parameters import (
    ASK_AGAIN_SECONDS,
    MAX_PROMISES,
    PROMISE_SECONDS,
    Rng,
)


class Promises:
    """What is being waited for."""

    def __init__(self, rng: Rng, limit: int = MAX_PROMISES) -> None:
        self._rng, self._limit = rng, limit
        self._asked: dict[bytes, float] = {}
        self._promised: dict[bytes, dict[str, float]] = {}
        self._count = 0

    def awaited(self, message_id: bytes, now: float) -> bool:
        """Whether somebody was asked for it just now."""
        return now - self._asked.get(message_id, float("-inf")) < ASK_AGAIN_SECONDS

    def asked(self, peer: str, message_ids: Sequence[bytes], now: float) -> None:
        """An IWANT goes to the peer."""
        for message_id in message_ids:
            self._asked.pop(message_id, None)
            self._asked[message_id] = now
        while len(self._asked) > self._limit:
            del self._asked[next(iter(self._asked))]
        chosen = message_ids[int(self._rng.random() * len(message_ids))]
        holders = self._promised.setdefault(chosen, {})
        if peer not in holders and self._count < self._limit:
            holders[peer] = now + PROMISE_SECONDS
            self._count += 1

    def came(self, message_id: bytes) -> None:
        """The message is here, whoever brought it and whatever it is worth."""
        self._asked.pop(message_id, None)
        self._count -= len(self._promised.pop(message_id, ()))

    def forget(self, peer: str) -> None:
        """The peer has gone: nothing can be expected of it."""
        for message_id in [i for i, holders in self._promised.items() if peer in holders]:
            self._drop(message_id, peer)

    def broken(self, now: float) -> dict[str, int]:
        """Who did not keep how many promises; each is told once."""
        culprits: dict[str, int] = {}
        for message_id, holders in list(self._promised.items()):
            for peer in [p for p, until in holders.items() if until <= now]:
                culprits[peer] = culprits.get(peer, 0) + 1
                self._drop(message_id, peer)
        for message_id, when in list(self._asked.items()):
            if now - when < ASK_AGAIN_SECONDS:
                break
            del self._asked[message_id]
        return culprits

    def __len__(self) -> int:
        return self._count

    def _drop(self, message_id: bytes, peer: str) -> None:
        holders = self._promised[message_id]
        del holders[peer]
        self._count -= 1
        if not holders:
            del self._promised[message_id]
