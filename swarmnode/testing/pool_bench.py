"""A pool with its surroundings kept by hand, checking what must always hold."""

from __future__ import annotations

import random
from typing import Any

from swarmnode.protocols.pool import vocabulary as pool
from swarmnode.protocols.pool.limits import MAX_ATTEMPTS, PoolLimits
from swarmnode.protocols.pool.machine import ConnectionPool
from swarmnode.values.multiaddr import Multiaddr

OWN = "peer-m"


def address(number: int) -> Multiaddr:
    """One of many addresses."""
    return Multiaddr.parse(f"/ip4/10.{number >> 16}.{number >> 8 & 255}.{number & 255}/tcp/8810")


class Bench:
    """Feeds a pool, sorts its effects, and fails at once where a promise is broken."""

    def __init__(self, limits: PoolLimits | None = None, seed: int = 1) -> None:
        self.limits = limits or PoolLimits()
        self.machine = ConnectionPool(OWN, self.limits, random.Random(seed))
        self.now = 0.0
        self.dials: dict[int, pool.Dial] = {}
        self.offered: dict[int, str] = {}
        self.in_use: dict[int, str] = {}
        self.connected: set[str] = set()
        self.waiting: set[int] = set()
        self.answers: dict[int, pool.Answer] = {}
        self.refused: dict[int, pool.Refuse] = {}
        self.log: list[Any] = []
        self._connections = 0

    def feed(self, event: Any | None) -> list[Any]:
        """Hand it an event; its effects, checked."""
        effects = self.machine.handle(event, self.now)
        for effect in effects:
            getattr(self, f"_{type(effect).__name__.lower()}")(effect)
        self.log += effects
        self.check()
        return effects

    def want(self, request: int, peer: str | None, *addresses: Multiaddr) -> list[Any]:
        self.waiting.add(request)
        return self.feed(pool.Wanted(request, peer, tuple(addresses)))

    def unwant(self, request: int) -> list[Any]:
        self.waiting.discard(request)
        return self.feed(pool.Unwanted(request))

    def reach(self, attempt: int, peer: str) -> int:
        """The attempt succeeds; the number of its connection."""
        self.dials.pop(attempt, None)
        number = self._offer(peer)
        self.feed(pool.Reached(attempt, number, peer))
        assert number not in self.offered
        return number

    def fail(self, attempt: int, error: Any) -> list[Any]:
        self.dials.pop(attempt, None)
        return self.feed(pool.Failed(attempt, error))

    def arrive(self, peer: str, subnet: str = "") -> int:
        """The peer connects to us."""
        number = self._offer(peer)
        self.feed(pool.Arrived(number, peer, subnet))
        assert number not in self.offered
        return number

    def go(self, number: int, error: Any = None) -> list[Any]:
        """A connection breaks."""
        self.in_use.pop(number, None)
        return self.feed(pool.Gone(number, error))

    def wait(self, seconds: float) -> None:
        """Time passes; the deadline is kept."""
        end = self.now + seconds
        while (deadline := self.machine.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.feed(None)
            later = self.machine.deadline
            assert later is None or later > self.now, "a deadline that does not pass"
        self.now = end

    def check(self) -> None:
        """What holds between any two events."""
        assert len(self.dials) <= MAX_ATTEMPTS
        by_peer: dict[str, int] = {}
        for peer in self.in_use.values():
            by_peer[peer] = by_peer.get(peer, 0) + 1
        assert set(by_peer) == self.connected
        assert len(by_peer) <= self.limits.max_peers
        assert all(count <= self.limits.max_connections_per_peer for count in by_peer.values())
        assert OWN not in by_peer

    def _offer(self, peer: str) -> int:
        self._connections += 1
        self.offered[self._connections] = peer
        return self._connections

    def _dial(self, effect: pool.Dial) -> None:
        assert effect.attempt not in self.dials
        self.dials[effect.attempt] = effect

    def _giveup(self, effect: pool.GiveUp) -> None:
        del self.dials[effect.attempt]

    def _accept(self, effect: pool.Accept) -> None:
        self.in_use[effect.connection] = self.offered.pop(effect.connection)

    def _refuse(self, effect: pool.Refuse) -> None:
        del self.offered[effect.connection]
        self.refused[effect.connection] = effect

    def _closeconnection(self, effect: pool.CloseConnection) -> None:
        del self.in_use[effect.connection]

    def _connected(self, effect: pool.Connected) -> None:
        assert effect.peer not in self.connected
        assert self.in_use[effect.connection] == effect.peer
        self.connected.add(effect.peer)

    def _disconnected(self, effect: pool.Disconnected) -> None:
        self.connected.remove(effect.peer)

    def _answer(self, effect: pool.Answer) -> None:
        self.waiting.remove(effect.request)
        self.answers[effect.request] = effect
        assert (effect.peer is None) is (effect.error is not None)
        assert effect.peer is None or effect.peer in self.connected
