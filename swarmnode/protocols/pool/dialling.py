"""The dial queue: races between the addresses of a peer, a bounded number at once.

Happy eyeballs (RFC 8305): a peer's addresses are tried in the order given, the next one 250 ms after the one
before or as soon as one fails; the first that leads to a proven peer wins and the others are given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmnode.protocols.pool.backoff import BackOffs, Rng
from swarmnode.protocols.pool.limits import (
    FAULT_BACKOFF_SECONDS,
    FIRST_BACKOFF_SECONDS,
    MAX_ATTEMPTS,
    MAX_OWN_ADDRESSES,
    MAX_PARALLEL,
    MAX_REQUESTS,
    MAX_TRIED,
    MAX_WAITING,
    SHORT_SECONDS,
    STAGGER_SECONDS,
)
from swarmnode.protocols.pool.refusals import (
    backing_off,
    no_address,
    queue_full,
    self_dial,
    short,
    unreachable,
)
from swarmnode.protocols.pool.vocabulary import Answer, Dial, Effect, GiveUp
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr

SELF_DIAL = "self_dial"


@dataclass(slots=True)
class Race:
    """All attempts to reach one peer, or whoever is at some addresses. next_at: when the next may start."""

    number: int
    peer: str | None
    next_at: float
    requests: dict[int, None] = field(default_factory=dict)
    waiting: deque[Multiaddr] = field(default_factory=deque)
    running: dict[int, Multiaddr] = field(default_factory=dict)
    tried: set[Multiaddr] = field(default_factory=set)
    faults: list[tuple[Multiaddr, SwarmnodeError]] = field(default_factory=list)

    def add(self, addresses: Sequence[Multiaddr]) -> None:
        """Try these, too."""
        for address in addresses:
            if address not in self.tried and len(self.tried) < MAX_TRIED:
                self.tried.add(address)
                self.waiting.append(address)

    @property
    def may_start(self) -> bool:
        """Whether it has an address to try, and may have one attempt more."""
        return bool(self.waiting) and len(self.running) < MAX_PARALLEL


class Dialling:
    """The races. Every method returns effects in their order."""

    def __init__(self, own_id: str, rng: Rng) -> None:
        self._own_id = own_id
        self._races: dict[int, Race] = {}
        self._by_peer: dict[str, Race] = {}
        self._by_request: dict[int, Race] = {}
        self._by_attempt: dict[int, Race] = {}
        # An address may be bad for one peer, because somebody lied about it, and good for another.
        self._addresses: BackOffs[tuple[str, Multiaddr]] = BackOffs(rng)
        self._peers: BackOffs[str] = BackOffs(rng)
        self._listening: frozenset[Multiaddr] = frozenset()
        self._found_own: dict[Multiaddr, None] = {}
        self._numbers = 0

    def listens(self, addresses: Sequence[Multiaddr]) -> None:
        """These are our own."""
        self._listening = frozenset(address.without_peer() for address in addresses)

    def knows(self, request: int) -> bool:
        """Whether the request is unanswered."""
        return request in self._by_request

    def want(
        self, request: int, peer: str | None, addresses: Sequence[Multiaddr], now: float
    ) -> list[Effect]:
        """A new request."""
        race = self._by_peer.get(peer) if peer is not None else None
        usable = self._usable(peer, addresses, now)
        if race is None:
            error = self._obstacle(peer, addresses, usable, now)
            if error is None and self._crowded():
                error = queue_full()
            if error is not None:
                return [Answer(request, None, error)]
            race = self._new_race(peer, now)
        elif len(self._by_request) >= MAX_REQUESTS:
            return [Answer(request, None, queue_full())]
        race.requests[request] = None
        self._by_request[request] = race
        race.add(usable)
        return []

    def unwant(self, request: int) -> list[Effect]:
        """Nobody waits for it any more."""
        race = self._by_request.pop(request, None)
        if race is None:
            return []
        del race.requests[request]
        return self._end(race) if not race.requests else []

    def reached(self, attempt: int) -> tuple[Race, Multiaddr] | None:
        """The race and the address of an attempt that succeeded, for `settle` or `wrong`; None when it was
        given up before."""
        race = self._by_attempt.pop(attempt, None)
        if race is None:
            return None
        return race, race.running.pop(attempt)

    def failed(self, attempt: int, error: SwarmnodeError, now: float) -> list[Effect]:
        """An attempt led to nothing; the next address is tried at once."""
        race = self._by_attempt.pop(attempt, None)
        if race is None:
            return []
        return self.wrong(race, race.running.pop(attempt), error, now)

    def wrong(self, race: Race, address: Multiaddr, error: SwarmnodeError, now: float) -> list[Effect]:
        """The address did not lead to the peer; the next one is tried at once."""
        self._blame(race, address, error, now)
        return self._next_or_end(race, now)

    def settle(self, race: Race, peer: str | None, error: SwarmnodeError | None) -> list[Effect]:
        """The race is over: its requests are answered."""
        answers: list[Effect] = [Answer(request, peer, error) for request in race.requests]
        return self._end(race) + answers

    def connected(self, peer: str) -> list[Effect]:
        """The peer is connected, by whatever way."""
        race = self._by_peer.get(peer)
        return self.settle(race, peer, None) if race is not None else []

    def ended(
        self, peer: str, address: Multiaddr, since: float, error: SwarmnodeError | None, now: float
    ) -> None:
        """The last connection to the peer is gone, and it was one that we dialled. Only one that lasted
        makes up for what failed before."""
        key = _key(peer, address)
        if now - since >= SHORT_SECONDS:
            self._addresses.forgive(key)
            self._peers.forgive(peer)
        else:
            cause = error or short(now - since)
            self._addresses.fail(key, cause, now)
            self._peers.fail(peer, cause, now)

    def refuse(self, peer: str, error: SwarmnodeError) -> list[Effect]:
        """Do not try to reach the peer any more."""
        race = self._by_peer.get(peer)
        return self.settle(race, None, error) if race is not None else []

    def start(self, now: float) -> list[Effect]:
        """The attempts that are due: first of those that have none yet, in the order of their requests."""
        out: list[Effect] = []
        for later in (False, True):
            for race in self._races.values():
                if len(self._by_attempt) >= MAX_ATTEMPTS:
                    return out
                if bool(race.running) is later and race.may_start and race.next_at <= now:
                    out.append(self._dial(race, now))
        return out

    @property
    def deadline(self) -> float | None:
        """When an attempt is due; None where one has to end before."""
        if len(self._by_attempt) >= MAX_ATTEMPTS:
            return None
        return min((race.next_at for race in self._races.values() if race.may_start), default=None)

    def _dial(self, race: Race, now: float) -> Dial:
        self._numbers += 1
        address = race.waiting.popleft()
        race.running[self._numbers] = address
        race.next_at = now + STAGGER_SECONDS
        self._by_attempt[self._numbers] = race
        return Dial(self._numbers, address, race.peer or address.peer)

    def _blame(self, race: Race, address: Multiaddr, error: SwarmnodeError, now: float) -> None:
        race.faults.append((address, error))
        if error.code == SELF_DIAL:
            self._found_own[address.without_peer()] = None
            if len(self._found_own) > MAX_OWN_ADDRESSES:
                del self._found_own[next(iter(self._found_own))]
            return
        # Whoever answered wrongly there need not be the peer that was meant: the address pays, not the peer.
        first = FAULT_BACKOFF_SECONDS if isinstance(error, PeerFault) else FIRST_BACKOFF_SECONDS
        self._addresses.fail(_key(race.peer, address), error, now, first)

    def _next_or_end(self, race: Race, now: float) -> list[Effect]:
        race.next_at = now
        if race.waiting or race.running:
            return []
        error = unreachable(race.peer, race.faults)
        if race.peer is not None:
            self._peers.fail(race.peer, error, now)
        return self.settle(race, None, error)

    def _end(self, race: Race) -> list[Effect]:
        del self._races[race.number]
        if race.peer is not None:
            del self._by_peer[race.peer]
        for request in race.requests:
            self._by_request.pop(request, None)
        for attempt in race.running:
            del self._by_attempt[attempt]
        return [GiveUp(attempt) for attempt in race.running]

    def _new_race(self, peer: str | None, now: float) -> Race:
        self._numbers += 1
        race = Race(self._numbers, peer, now)
        self._races[race.number] = race
        if peer is not None:
            self._by_peer[peer] = race
        return race

    def _crowded(self) -> bool:
        waiting = sum(1 for race in self._races.values() if not race.running)
        return waiting >= MAX_WAITING or len(self._by_request) >= MAX_REQUESTS

    def _usable(self, peer: str | None, addresses: Sequence[Multiaddr], now: float) -> list[Multiaddr]:
        usable = [
            address
            for address in addresses
            if (peer is None or address.peer in (None, peer))
            and not self._is_own(address)
            and not self._addresses.waits(_key(peer, address), now)
        ]
        if peer is not None and self._peers.waits(peer, now):
            # It was tried in vain a moment ago: an address that is new is worth a try all the same.
            return [a for a in usable if self._addresses.get(_key(peer, a), now) is None]
        return usable

    def _obstacle(
        self, peer: str | None, addresses: Sequence[Multiaddr], usable: list[Multiaddr], now: float
    ) -> SwarmnodeError | None:
        if usable:
            return None
        if addresses and all(self._is_own(address) for address in addresses):
            return self_dial()
        past = [self._addresses.get(_key(peer, address), now) for address in addresses]
        if peer is not None:
            past.append(self._peers.get(peer, now))
        waits = [entry for entry in past if entry is not None and entry.until > now]
        if waits:
            entry = min(waits, key=lambda entry: entry.until)
            return backing_off(peer, entry.until - now, entry.error)
        return no_address(peer, bool(addresses))

    def _is_own(self, address: Multiaddr) -> bool:
        bare = address.without_peer()
        return address.peer == self._own_id or bare in self._listening or bare in self._found_own


def _key(peer: str | None, address: Multiaddr) -> tuple[str, Multiaddr]:
    return peer or address.peer or "", address.without_peer()
