"""What is known of a peer, and what of it is kept, dialled first and given up first.

Claims differ in worth. *Proven*: we have connected there. *Certified*: the peer signed it. *Told*: the peer
said so over its own connection. All else is hearsay, which may be wrong or meant to mislead, and never
displaces the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from swarmnode.policy.addresses import for_peer, is_dialable
from swarmnode.values.multiaddr import Multiaddr

#: Ways in which a peer can be found.
WAYS = ("mdns", "invite", "bootstrap", "exchange", "dht", "cache", "inbound")
#: The source of an address that the peer itself named.
TOLD = "identify"
#: The source of an address that was only learnt by being connected there.
DIALLED = "dialled"

MAX_PEERS = 2000
MAX_ADDRESSES = 32
#: More claims of others about one peer would cost dials and nothing else.
MAX_HEARSAY = 8
#: Peers given up at once when there are too many, so that not each newcomer costs a look at all.
EVICTED_AT_ONCE = 100

#: Seconds that an address is remembered: hearsay; what the user or the peer itself named, or was proven.
HEARSAY_SECONDS, KEPT_SECONDS = 1800.0, 86400.0
_SHORT_LIVED = ("mdns", "exchange", "dht")
#: An address that failed so often is no worse than one that failed more often.
_MAX_FAILURES = 6
#: Seconds before a peer that could not be reached is worth another try; doubles with each failure.
RETRY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """One address of a peer, without `/p2p`. source: one of `WAYS`, `TOLD` or `DIALLED`. Times are
    monotonic seconds; succeeded, failed: the last connection, the last failure to connect. failures:
    since the last success."""

    address: Multiaddr
    source: str
    certified: bool
    heard: float
    succeeded: float | None = None
    failed: float | None = None
    failures: int = 0

    @property
    def expires(self) -> float:
        """When it is forgotten, unless the peer is connected."""
        if self.succeeded is not None:
            return self.succeeded + KEPT_SECONDS
        lasting = self.certified or self.source not in _SHORT_LIVED
        return self.heard + (KEPT_SECONDS if lasting else HEARSAY_SECONDS)

    @property
    def is_hearsay(self) -> bool:
        """Nobody who must know it has said or shown so."""
        return self.succeeded is None and not self.certified and self.source != TOLD


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """What is known of a peer. how: one of `WAYS`, or empty. since: when it was first heard of.
    last_connected: when it was connected last, now if it is. record: its signed peer record, or empty."""

    peer: str
    how: str
    since: float
    connected: bool
    last_connected: float | None
    addresses: tuple[KnownAddress, ...]
    protocols: tuple[str, ...] = ()
    agent: str = ""
    protocol_version: str = ""
    record: bytes = field(default=b"", repr=False)


def worth(known: KnownAddress) -> int:
    """0: proven, 1: certified, 2: told by the peer, 3: hearsay."""
    if known.succeeded is not None:
        return 0
    if known.certified:
        return 1
    return 2 if known.source == TOLD else 3


def kept(addresses: Iterable[KnownAddress], now: float, *, connected: bool) -> list[KnownAddress]:
    """The addresses still worth knowing, within `MAX_ADDRESSES` and `MAX_HEARSAY`: the best, and of equal
    ones the newest."""
    alive = [known for known in addresses if connected or known.expires > now]
    ranked = sorted(alive, key=lambda known: (worth(known), -_latest(known)))
    vouched = [known for known in ranked if not known.is_hearsay][:MAX_ADDRESSES]
    hearsay = [known for known in ranked if known.is_hearsay]
    return vouched + hearsay[: min(MAX_HEARSAY, MAX_ADDRESSES - len(vouched))]


def dial_order(addresses: Iterable[KnownAddress], ours: Sequence[Multiaddr]) -> tuple[Multiaddr, ...]:
    """The addresses to dial from a node with the addresses `ours`, the likeliest first: those that did not
    fail, by worth, and then as `policy.addresses.for_peer` orders them. A proven address is always among
    them, our own never."""
    known = {one.address: one for one in addresses if is_dialable(one.address)}
    place = {address: index for index, address in enumerate(for_peer(ours, known))}
    own = {address.without_peer() for address in ours}
    usable = [
        one
        for one in known.values()
        if one.address not in own and (one.address in place or one.succeeded is not None)
    ]
    usable.sort(key=lambda one: (min(one.failures, _MAX_FAILURES), worth(one), place.get(one.address, -1)))
    return tuple(one.address for one in usable)


def evicted(peers: Iterable[PeerFacts]) -> tuple[str, ...]:
    """Whom to forget when there are too many peers: of those never connected, if there are any, the ones
    heard of longest ago, and else those not connected for longest. Nobody who is connected."""
    idle = [facts for facts in peers if not facts.connected]
    strangers = [facts for facts in idle if facts.last_connected is None]
    if strangers:
        ranked = sorted(strangers, key=lambda facts: (_newest(facts), facts.peer))
    else:
        ranked = sorted(idle, key=lambda facts: (facts.last_connected or 0.0, facts.peer))
    return tuple(facts.peer for facts in ranked[:EVICTED_AT_ONCE])


def worth_trying(facts: PeerFacts, now: float) -> bool:
    """Whether a peer that is not connected should be dialled (again) by a node that wants more of them."""
    if facts.connected or not facts.addresses:
        return False
    return any(
        known.failed is None or now - known.failed >= RETRY_SECONDS * 2 ** min(known.failures, _MAX_FAILURES)
        for known in facts.addresses
    )


def _latest(known: KnownAddress) -> float:
    return known.heard if known.succeeded is None else known.succeeded


def _newest(facts: PeerFacts) -> float:
    return max((known.heard for known in facts.addresses), default=facts.since)
