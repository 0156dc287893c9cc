"""Keeping the peer book: the one owner of what is known about other peers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from structlog import get_logger

from swarmnode.policy.addresses import is_dialable
from swarmnode.policy.peer_book import (
    DIALLED,
    MAX_PEERS,
    TOLD,
    KnownAddress,
    PeerFacts,
    dial_order,
    evicted,
    kept,
    worth_trying,
)
from swarmnode.protocols.identify.messages import Identification
from swarmnode.protocols.identify.peer_record import PeerRecord, own_addresses
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo

#: Told the id of a peer whose facts have changed.
Listener = Callable[[str], None]
#: Ways of finding that were somebody's word, or true in an earlier run.
HEARSAY = ("exchange", "dht", "cache")
#: Claims looked at in one go about one peer.
MAX_CLAIMS = 64

log = get_logger("peers")


class PeerBook:
    """Is a `HostWatcher`: give it to `host.watch` before the others, so that they find it up to date.

    own: our peer id, which has no entry. now: monotonic seconds. ours: the addresses of this node, as
    `Host.addresses`; they are nobody else's.
    """

    def __init__(
        self, own: str, now: Callable[[], float], ours: Callable[[], Sequence[Multiaddr]] = tuple
    ) -> None:
        self._own, self._now, self._ours = own, now, ours
        self._entries: dict[str, _Entry] = {}
        self._listeners: list[Listener] = []

    def watch(self, listener: Listener) -> None:
        """Call this one after every change, with the peer's id."""
        self._listeners.append(listener)

    def peers(self) -> tuple[str, ...]:
        """All peers known, those met first first."""
        return tuple(self._entries)

    def facts(self, peer: str) -> PeerFacts | None:
        """A snapshot of what is known of the peer."""
        entry = self._entries.get(peer)
        return entry.facts(self._now()) if entry is not None else None

    def all_facts(self) -> tuple[PeerFacts, ...]:
        """A snapshot of everything."""
        now = self._now()
        return tuple(entry.facts(now) for entry in self._entries.values())

    def addresses(self, peer: str) -> tuple[Multiaddr, ...]:
        """Where to dial the peer, the likeliest address first; without `/p2p`."""
        facts = self.facts(peer)
        return dial_order(facts.addresses, self._ours()) if facts is not None else ()

    def worth_trying(self) -> tuple[PeerFacts, ...]:
        """Peers that are not connected and may be dialled, those connected last first."""
        now = self._now()
        found = [facts for facts in self.all_facts() if worth_trying(facts, now)]
        return tuple(sorted(found, key=lambda facts: -(facts.last_connected or 0.0)))

    def heard(self, peer: str, addresses: Iterable[Multiaddr], how: str) -> None:
        """Somebody says, or the user does, that the peer is there. how: one of `policy.peer_book.WAYS`."""
        if peer == self._own:
            return
        entry, now = self._entry(peer, how), self._now()
        for address in self._usable(peer, addresses):
            old = entry.addresses.get(address)
            entry.addresses[address] = (
                KnownAddress(address, how, False, now) if old is None else replace(old, heard=now)
            )
        self._changed(peer, entry)

    def certified(self, record: PeerRecord, how: str) -> bool:
        """The peer has signed that it is there, whoever brought it. False: a newer record is known."""
        entry = self._entries.get(record.peer)
        if record.peer == self._own or (entry is not None and record.sequence <= entry.sequence):
            return False
        entry = self._entry(record.peer, how)
        entry.sequence, entry.record = record.sequence, record.envelope
        signed = self._usable(record.peer, record.addresses)
        entry.withdraw(lambda known: known.certified and known.address not in signed)
        now = self._now()
        for address in signed:
            old = entry.addresses.get(address) or KnownAddress(address, how, True, now)
            entry.addresses[address] = replace(old, certified=True, heard=now)
        self._changed(record.peer, entry)
        return True

    def identified(self, peer: str, said: Identification) -> None:
        """The peer itself told, over its own connection. A record in it is for `certified`."""
        if peer == self._own:
            return
        entry, now = self._entry(peer, ""), self._now()
        entry.protocols = said.protocols or entry.protocols
        entry.agent = said.agent or entry.agent
        entry.protocol_version = said.protocol_version or entry.protocol_version
        told = self._usable(peer, said.addresses)
        if told:
            entry.withdraw(lambda known: known.source == TOLD and known.address not in told)
        for address in told:
            old = entry.addresses.get(address) or KnownAddress(address, TOLD, False, now)
            entry.addresses[address] = replace(old, source=TOLD, heard=now)
        self._changed(peer, entry)

    def failed(self, peer: str, addresses: Iterable[Multiaddr] = ()) -> None:
        """The peer could not be reached at these addresses, at any of those known when none are named."""
        entry = self._entries.get(peer)
        if entry is None or entry.connected:
            return
        for address in [a.without_peer() for a in addresses] or list(entry.addresses):
            if (old := entry.addresses.get(address)) is not None:
                entry.addresses[address] = replace(old, failed=self._now(), failures=old.failures + 1)
        self._changed(peer, entry)

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        if peer == self._own:
            return
        entry, now = self._entry(peer, "inbound" if link.inbound else ""), self._now()
        entry.connected, entry.last_connected = True, now
        if not link.inbound:
            address = link.remote.without_peer()
            old = entry.addresses.get(address) or KnownAddress(address, DIALLED, False, now)
            entry.addresses[address] = replace(old, succeeded=now, failures=0)
        self._changed(peer, entry)

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        entry = self._entries.get(peer)
        if entry is not None:
            entry.connected, entry.last_connected = False, self._now()
            self._changed(peer, entry)

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Nothing to note."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Nothing to note: the host keeps round-trip times."""

    def _usable(self, peer: str, addresses: Iterable[Multiaddr]) -> tuple[Multiaddr, ...]:
        claims = own_addresses(peer, tuple(addresses)[:MAX_CLAIMS])
        ours = {address.without_peer() for address in self._ours()}
        return tuple(address for address in claims if is_dialable(address) and address not in ours)

    def _entry(self, peer: str, how: str) -> _Entry:
        entry = self._entries.get(peer)
        if entry is None:
            entry = self._entries[peer] = _Entry(peer, how, self._now())
        elif (entry.how in ("", "inbound") and how) or (how == "mdns" and entry.how in HEARSAY):
            # That it came to us says less than how we could find it, and hearsay less than the local network.
            entry.how = how
        return entry

    def _changed(self, peer: str, entry: _Entry) -> None:
        now = self._now()
        entry.addresses = {
            k.address: k for k in kept(entry.addresses.values(), now, connected=entry.connected)
        }
        if len(self._entries) > MAX_PEERS:
            for other in evicted(self.all_facts()):
                del self._entries[other]
        for listener in list(self._listeners):
            try:
                listener(peer)
            except Exception as error:
                # What others make of it must not keep the book from being kept.
                log.error("a listener to the peer book failed", peer=peer, exc_info=error)


class _Entry:
    """What is known of one peer."""

    __slots__ = (
        "addresses",
        "agent",
        "connected",
        "how",
        "last_connected",
        "peer",
        "protocol_version",
        "protocols",
        "record",
        "sequence",
        "since",
    )

    def __init__(self, peer: str, how: str, now: float) -> None:
        self.peer, self.how, self.since = peer, how, now
        self.connected = False
        self.last_connected: float | None = None
        self.addresses: dict[Multiaddr, KnownAddress] = {}
        self.protocols: tuple[str, ...] = ()
        self.agent = self.protocol_version = ""
        self.record, self.sequence = b"", -1

    def withdraw(self, which: Callable[[KnownAddress], bool]) -> None:
        """The peer no longer says so of these addresses; those that worked are kept."""
        for known in list(self.addresses.values()):
            if not which(known):
                continue
            if known.succeeded is None:
                del self.addresses[known.address]
            else:
                self.addresses[known.address] = replace(known, certified=False, source=DIALLED)

    def facts(self, now: float) -> PeerFacts:
        """The snapshot."""
        return PeerFacts(
            peer=self.peer,
            how=self.how,
            since=self.since,
            connected=self.connected,
            last_connected=now if self.connected else self.last_connected,
            addresses=tuple(
                known for known in self.addresses.values() if self.connected or known.expires > now
            ),
            protocols=self.protocols,
            agent=self.agent,
            protocol_version=self.protocol_version,
            record=self.record,
        )
