"""The swarm as others see it: members as values, and who is told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from swarmnode.protocols.swarm.membership_vocabulary import Gone
from swarmnode.values.multiaddr import Multiaddr


class BroadcastLike(Protocol):
    """The part of `services.broadcast.Broadcast` that is needed."""

    def on(self, kind: str, listener: Callable[[str, Any], None], check: Any = None) -> None: ...

    def publish(self, kind: str, /, **fields: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class SwarmMember:
    """One member at a moment. state: `alive` or `suspect`. rtt: seconds, measured or predicted; None when
    nobody knows. known: `direct`, `gossip` or `view`. since: monotonic seconds. facts: a digest of what else
    it says of itself. heard: not known by its own word alone."""

    peer: str
    addresses: tuple[Multiaddr, ...]
    state: str
    rtt: float | None
    measured: bool
    known: str
    since: float
    facts: bytes
    sequence: int
    heard: bool = True


class SwarmListener(Protocol):
    """Told about members."""

    def member_joined(self, member: SwarmMember) -> None: ...

    def member_changed(self, member: SwarmMember) -> None: ...

    def member_left(self, member: SwarmMember, why: Gone) -> None: ...
