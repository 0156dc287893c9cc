"""How far a peer is trusted: a number from 0 to 1 that events move and time brings back to where it started.

A stranger starts below the bar for text (`inference.min_text_trust`, 0.5), a peer the user vouched for above
it (DESIGN 7). Both directions fade: the difference from the start shrinks by 1 % in 30 s, so a score never
rises past its start by itself, and good service long ago says little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from swarmnode.policy.addresses import is_loopback, is_public, subnet
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo, NetworkSettings

STRANGER, VOUCHED = 0.4, 0.6
#: Of the difference from the start, this is left after `CYCLE_SECONDS`.
KEPT_A_CYCLE, CYCLE_SECONDS = 0.99, 30.0
#: Scores at once; those that say least go first, many at a time.
MAX_PEERS, EVICTED_AT_ONCE = 10_000, 500
#: Peers of one public /24 (IPv6: /48) that are believed to be different people.
SUBNET_PEERS = 5
#: A difference that is not worth writing down.
NEGLIGIBLE = 0.001


class TrustEvent(Enum):
    """What moves a score; `CHANGES` says by how much."""

    INFERENCE_SUCCESS = "inference_success"
    VALID_TRANSACTION = "valid_transaction"
    SPOT_CHECK_FAIL = "spot_check_fail"
    INVALID_GOSSIP = "invalid_gossip"
    SIGNATURE_VIOLATION = "signature_violation"
    SHARD_VERIFICATION_FAIL = "shard_verification_fail"
    SUBNET_CLUSTERING = "subnet_clustering"


CHANGES: Mapping[TrustEvent, float] = {
    TrustEvent.INFERENCE_SUCCESS: 0.01,
    TrustEvent.VALID_TRANSACTION: 0.02,
    TrustEvent.SPOT_CHECK_FAIL: -0.10,
    TrustEvent.INVALID_GOSSIP: -0.05,
    TrustEvent.SIGNATURE_VIOLATION: -0.20,
    TrustEvent.SHARD_VERIFICATION_FAIL: -0.20,
    # A cycle, for each peer of a crowded subnet.
    TrustEvent.SUBNET_CLUSTERING: -0.03,
}
#: Codes of a `PeerFault` that mean that somebody signed what is not so, or for somebody else.
FORGERIES = frozenset(("bad_signature", "signature_violation"))


class Vouch(Enum):
    """Why a peer is vouched for. lasting: over a restart; the other reasons are found again, or are gone."""

    SETTINGS = "settings"
    BOOTSTRAP = "bootstrap"
    INVITE = "invite"
    POOL = "pool"
    LOOPBACK = "loopback"

    @property
    def lasting(self) -> bool:
        return self in (Vouch.INVITE, Vouch.POOL)


@dataclass(frozen=True, slots=True)
class Trust:
    """A score that held at the moment `at`, seconds on any clock, and what it moves back to."""

    score: float
    start: float
    at: float

    @property
    def difference(self) -> float:
        """From the start, at that moment."""
        return self.score - self.start


def begin(now: float, *, vouched: bool = False) -> Trust:
    """A peer of whom nothing is known."""
    start = VOUCHED if vouched else STRANGER
    return Trust(start, start, now)


def decayed(trust: Trust, now: float) -> Trust:
    """The same at a later moment."""
    passed = max(0.0, now - trust.at)
    left = trust.difference * KEPT_A_CYCLE ** (passed / CYCLE_SECONDS)
    # Rounding leads past neither end.
    low, high = min(trust.score, trust.start), max(trust.score, trust.start)
    return replace(trust, score=max(low, min(high, trust.start + left)), at=max(now, trust.at))


def after(trust: Trust, event: TrustEvent, now: float) -> Trust:
    """What is left of it when this happens."""
    at = decayed(trust, now)
    return replace(at, score=_clamp(at.score + CHANGES[event]))


def restarted(trust: Trust, start: float, now: float) -> Trust:
    """The same peer with another start: what it did well or badly still counts."""
    at = decayed(trust, now)
    return replace(at, score=_clamp(start + at.difference), start=start)


def event_of(error: SwarmnodeError) -> TrustEvent | None:
    """What an error says of the peer that it came from; None when it is not the peer's fault."""
    if not isinstance(error, PeerFault):
        return None
    return TrustEvent.SIGNATURE_VIOLATION if error.code in FORGERIES else TrustEvent.INVALID_GOSSIP


def forgettable(trusts: Mapping[str, Trust], now: float, count: int = EVICTED_AT_ONCE) -> tuple[str, ...]:
    """The peers whose scores say least: strangers before those vouched for, and of them the ones nearest to
    their start."""

    def worth(peer: str) -> tuple[bool, float, str]:
        trust = trusts[peer]
        return trust.start > STRANGER, abs(decayed(trust, now).difference), peer

    return tuple(sorted(trusts, key=worth)[:count])


def crowded(addresses: Iterable[tuple[str, Multiaddr]]) -> tuple[str, ...]:
    """Of connected peers and their addresses, those who share a public subnet with more than
    `SUBNET_PEERS - 1` others: likely one owner. A house or a VPN is not counted."""
    members: dict[str, set[str]] = {}
    for peer, address in addresses:
        network = subnet(address) if is_public(address) else None
        if network is not None:
            members.setdefault(network, set()).add(peer)
    return tuple(sorted({peer for group in members.values() if len(group) > SUBNET_PEERS for peer in group}))


def on_this_machine(link: LinkInfo) -> bool:
    """Whether both ends of a secured connection have loopback addresses."""
    return link.local is not None and is_loopback(link.local) and is_loopback(link.remote)


def vouched_by(settings: NetworkSettings) -> dict[str, Vouch]:
    """Whom the user names in the settings."""
    named = {address.peer: Vouch.BOOTSTRAP for address in settings.bootstrap if address.peer is not None}
    return named | dict.fromkeys(settings.trusted_peers, Vouch.SETTINGS)


def _clamp(score: float) -> float:
    return max(0.0, min(1.0, score))
