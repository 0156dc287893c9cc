"""Deciding which of the peers that were found to connect to, and trying again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import Host
from swarmnode.policy.dialling import shared_subnet
from swarmnode.policy.finding import (
    MAX_DIALS,
    MAX_FAILURES,
    MAX_WAITING,
    PER_SUBNET,
    again,
    is_hearsay,
    is_wanted,
    may_use,
    urgency,
    wait_after,
    weight,
)
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo, NetworkSettings

#: How often to look through the peer book while there are fewer peers than wanted, seconds.
REFILL_SECONDS = 30.0
#: Addresses that one attempt is given; the peer book knows more.
MAX_ADDRESSES = 16


class Chance(Protocol):
    """The part of `random.Random` that is needed."""

    def random(self) -> float: ...


class FindPeers:
    """What every discovery method reports to, by `found`; it fits `interfaces.discovery.IDiscovery`.

    Bootstrap addresses are tried for as long as the node runs and they are not connected; peers of the local
    network while there are fewer than 50; others while there are fewer than wanted.
    """

    def __init__(
        self,
        host: Host,
        book: PeerBook,
        settings: NetworkSettings,
        clock: Clock,
        rng: Chance,
        log: Any,
    ) -> None:
        self._host, self._book, self._settings = host, book, settings
        self._clock, self._rng, self._log = clock, rng, log
        self._tries: dict[str, _Try] = {}
        self._timer: DelayedCall | None = None
        self._next_refill = 0.0
        self._running = False

    def start(self) -> None:
        """Begin with the bootstrap addresses, if they may be used."""
        self._running = True
        self._host.watch(self)
        self._next_refill = self._clock.seconds() + REFILL_SECONDS
        if self._settings.offline and self._settings.bootstrap:
            self._log.info("bootstrap peers are not used: offline mode is on")
        for address in self._settings.bootstrap:
            self.found(address.peer, (address,), "bootstrap")
        self._go_on()

    def stop(self) -> None:
        """Give up all attempts."""
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for attempt in list(self._tries.values()):
            if attempt.dialling is not None:
                attempt.dialling.cancel()

    def found(self, peer: str | None, addresses: Sequence[Multiaddr], how: str) -> None:
        """A peer was found, or (None) addresses at which there may be one. how: the method's name."""
        if not self._running or peer == self._host.peer_id:
            return
        if not may_use(how, offline=self._settings.offline):
            return
        if peer is not None and how != "exchange":
            # What is exchanged is in the book already, with its proof.
            self._book.heard(peer, addresses, how)
        key = peer or ",".join(map(str, addresses))
        attempt = self._tries.get(key)
        if attempt is None:
            if peer is not None and peer in self._host.peers() and how != "bootstrap":
                return
            self._make_room()
            self._tries[key] = _Try(key, peer, tuple(addresses), how, self._clock.seconds())
        else:
            attempt.found_again(tuple(addresses), how, self._clock.seconds())
        self._go_on()

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        attempt = self._tries.get(peer)
        if attempt is not None and attempt.how != "bootstrap" and attempt.dialling is None:
            del self._tries[peer]

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """Dial it again soon, where it may come back: not when either side had a reason to end it."""
        if not self._running:
            return
        now, facts = self._clock.seconds(), self._book.facts(peer)
        planned = [a for a in self._tries.values() if a.key == peer or a.peer == peer]
        for attempt in planned:
            if attempt.how == "bootstrap":
                attempt.next_at = max(attempt.next_at, now + self._wait(attempt.how, 1))
        barred = isinstance(error, PeerFault | Refused)
        if not barred and facts is not None and facts.addresses and not planned:
            how = again(facts.how)
            if may_use(how, offline=self._settings.offline):
                self._make_room()
                self._tries[peer] = _Try(peer, peer, (), how, now + self._wait(how, 1))
        self._go_on()

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Nothing to do before it is gone."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Nothing to do."""

    def _make_room(self) -> None:
        if len(self._tries) < MAX_WAITING:
            return
        for attempt in sorted(self._tries.values(), key=lambda one: (-urgency(one.how), one.since)):
            if attempt.how != "bootstrap" and attempt.dialling is None:
                del self._tries[attempt.key]
                return

    def _wait(self, how: str, failures: int) -> float:
        return wait_after(how, failures, self._rng.random())

    def _go_on(self) -> None:
        if not self._running:
            return
        now, connected = self._clock.seconds(), frozenset(self._host.peers())
        chosen, most = self._chosen(), self._settings.max_peers
        self._refill(now, len(connected), len(chosen))
        dialling = sum(attempt.dialling is not None for attempt in self._tries.values())
        ways = {attempt.how for attempt in self._tries.values()}
        wanted = {how for how in ways if is_wanted(how, len(connected), dialling, len(chosen), most)}
        due = [
            one
            for one in self._tries.values()
            if one.next_at <= now and one.dialling is None and one.how in wanted and one.peer not in connected
        ]
        subnets = self._subnets(chosen) if due else Counter()
        for attempt in sorted(due, key=lambda one: (urgency(one.how), one.next_at)):
            if attempt.next_at > now:
                continue
            if not is_wanted(attempt.how, len(connected), dialling, len(chosen), most):
                continue
            if attempt.dialling is not None or self._tries.get(attempt.key) is not attempt:
                continue  # an attempt that ended at once has led here again meanwhile
            if dialling >= MAX_DIALS:
                break
            subnet = self._subnet(attempt)
            if subnet and is_hearsay(attempt.how) and subnets[subnet] >= PER_SUBNET:
                continue
            subnets[subnet] += 1
            dialling += 1
            self._dial(attempt)
        self._arm(now)

    def _chosen(self) -> list[LinkInfo]:
        """A connection to each peer that this node has dialled."""
        ours = ([link for link in self._host.links(peer) if not link.inbound] for peer in self._host.peers())
        return [links[0] for links in ours if links]

    def _subnets(self, chosen: Sequence[LinkInfo]) -> Counter[str]:
        """How many of the peers that are connected or being dialled there are of each public subnet."""
        dialling = (self._subnet(one) for one in self._tries.values() if one.dialling is not None)
        return Counter([*(shared_subnet(link.remote) for link in chosen), *dialling])

    def _subnet(self, attempt: _Try) -> str:
        """The public subnet that the attempt leads to first, or empty."""
        if attempt.subnet is None:
            known = self._book.addresses(attempt.peer) if attempt.peer is not None else ()
            subnets = map(shared_subnet, (*known, *attempt.addresses))
            attempt.subnet = next((subnet for subnet in subnets if subnet), "")
        return attempt.subnet

    def _refill(self, now: float, connected: int, chosen: int) -> None:
        if now < self._next_refill:
            return
        self._next_refill = now + REFILL_SECONDS
        if not is_wanted("", connected, 0, chosen, self._settings.max_peers):
            return
        idle = [facts for facts in self._book.worth_trying() if facts.peer not in self._tries]
        for facts in idle[:MAX_DIALS]:
            how = again(facts.how)
            if may_use(how, offline=self._settings.offline):
                self._make_room()
                self._tries[facts.peer] = _Try(facts.peer, facts.peer, (), how, now)

    def _arm(self, now: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        waits = [a.next_at for a in self._tries.values() if a.dialling is None and a.next_at > now]
        at = min([self._next_refill, *waits])
        self._timer = self._clock.callLater(max(0.0, at - now), self._go_on)

    def _dial(self, attempt: _Try) -> None:
        attempt.dialling = dialling = self._host.connect(attempt.peer, attempt.addresses)
        dialling.addCallbacks(self._met, self._failed, callbackArgs=(attempt,), errbackArgs=(attempt,))

    def _met(self, peer: str, attempt: _Try) -> None:
        attempt.dialling = None
        self._host.weigh(peer, "found", weight(attempt.how))
        self._log.debug("a peer that was found is connected", peer=peer, how=attempt.how)
        if attempt.unnamed:
            self._book.heard(peer, attempt.addresses, attempt.how)
        if attempt.how == "bootstrap":
            attempt.peer, attempt.failures = peer, 0
        else:
            self._tries.pop(attempt.key, None)
        self._go_on()

    def _failed(self, failure: Failure, attempt: _Try) -> None:
        attempt.dialling = None
        if not self._running:
            return
        attempt.failures += 1
        error = failure.value
        reason = error.message if isinstance(error, SwarmnodeError) else failure.getErrorMessage()
        is_us = isinstance(error, SwarmnodeError) and error.code == "self_dial"
        if attempt.peer is not None:
            self._book.failed(attempt.peer)
        if attempt.unnamed and isinstance(error, SwarmnodeError) and error.code == "wrong_peer":
            attempt.peer = None  # somebody else is there by now, who is as welcome
        if is_us or (attempt.how != "bootstrap" and attempt.failures >= MAX_FAILURES):
            self._tries.pop(attempt.key, None)
        wait = self._wait(attempt.how, attempt.failures)
        attempt.next_at = self._clock.seconds() + wait
        self._tell(attempt, reason, wait, is_us=is_us)
        self._go_on()

    def _tell(self, attempt: _Try, reason: str, wait: float, *, is_us: bool) -> None:
        at = attempt.key
        if is_us:
            self._log.info("an address to dial is this node itself", address=at)
        elif attempt.how == "bootstrap" and attempt.failures == 1:
            self._log.warning(
                "a bootstrap peer cannot be reached; it is tried again until it can",
                address=str(attempt.addresses[0]) if attempt.addresses else at,
                reason=reason,
                retry_seconds=round(wait),
            )
        elif attempt.how in ("mdns", "invite") and attempt.failures == 1:
            self._log.info("a peer that was found cannot be reached", peer=at, how=attempt.how, reason=reason)
        else:
            self._log.debug("a peer cannot be reached", peer=at, how=attempt.how, reason=reason)


class _Try:
    """One peer, or address, to connect to. next_at: not before. subnet: None before it is looked at."""

    __slots__ = (
        "addresses",
        "dialling",
        "failures",
        "how",
        "key",
        "next_at",
        "peer",
        "since",
        "subnet",
        "unnamed",
    )

    def __init__(
        self, key: str, peer: str | None, addresses: tuple[Multiaddr, ...], how: str, now: float
    ) -> None:
        self.key, self.peer, self.addresses, self.how = key, peer, addresses, how
        self.since = self.next_at = now
        self.failures = 0
        self.unnamed = peer is None
        self.dialling: Any = None
        self.subnet: str | None = None

    def found_again(self, addresses: tuple[Multiaddr, ...], how: str, now: float) -> None:
        """Another report of the same: a new address, or a better way, deserves an attempt at once."""
        fresh = [address for address in addresses if address not in self.addresses]
        if urgency(how) < urgency(self.how):
            self.how, self.next_at, self.failures = how, now, 0
        if fresh:
            self.subnet = None
            self.addresses = (*fresh, *self.addresses)[:MAX_ADDRESSES]
            soon = now + (wait_after(how, 1, 0.0) if self.failures else 0.0)
            self.next_at = min(self.next_at, soon)
