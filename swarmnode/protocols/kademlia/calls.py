"""Requests of ours that are under way: whom, for which query, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from swarmnode.protocols.kademlia.messages import Kind
from swarmnode.values.multiaddr import Multiaddr

#: Seconds for one request, connecting included.
RPC_SECONDS = 10.0
#: Requests under way at a time. A lookup has at most 30, then 20 to those who are told.
MAX_CALLS = 2048


class Purpose(Enum):
    LOOKUP = 1
    TELL = 2
    #: Nobody waits for what comes of it.
    CORRECT = 3
    PING = 4


@dataclass(frozen=True, slots=True)
class Call:
    """One request. query: its number; 0 for none."""

    rpc: int
    peer: str
    kind: Kind
    purpose: Purpose
    query: int
    addresses: tuple[Multiaddr, ...]
    ends: float


class Calls:
    """All requests under way, the oldest first."""

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Whether no more can be made just now."""
        return len(self._calls) >= MAX_CALLS

    def add(
        self,
        peer: str,
        kind: Kind,
        purpose: Purpose,
        query: int,
        addresses: tuple[Multiaddr, ...],
        now: float,
    ) -> Call:
        """A request begins."""
        self._last += 1
        call = Call(self._last, peer, kind, purpose, query, addresses, now + RPC_SECONDS)
        self._calls[call.rpc] = call
        return call

    def take(self, rpc: int) -> Call | None:
        """It is over; None when it was already."""
        return self._calls.pop(rpc, None)

    def take_query(self, query: int) -> list[Call]:
        """Those of a query are over; what nobody waits for goes on."""
        over = [c for c in self._calls.values() if c.query == query and c.purpose is not Purpose.CORRECT]
        for call in over:
            del self._calls[call.rpc]
        return over

    def take_late(self, now: float) -> Iterator[Call]:
        """Those whose time is up are over."""
        while self._calls:
            first = next(iter(self._calls.values()))
            if first.ends > now:
                return
            del self._calls[first.rpc]
            yield first

    @property
    def deadline(self) -> float | None:
        """When the oldest one's time is up."""
        return next(iter(self._calls.values())).ends if self._calls else None
