"""The server's side: what is answered to the requests of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from swarmnode.protocols.kademlia.distance import Rng, place
from swarmnode.protocols.kademlia.messages import (
    MAX_ADDRESSES,
    MAX_CLOSER,
    MAX_PROVIDERS_TOLD,
    Kind,
    Message,
    PeerEntry,
    Record,
    bounded_addresses,
    peer_of_key,
)
from swarmnode.protocols.kademlia.records import Checked, check_key, check_record
from swarmnode.protocols.kademlia.routing_table import RoutingTable
from swarmnode.protocols.kademlia.store import ProviderStore, RecordStore
from swarmnode.values.errors import PeerFault, Refused, Unavailable
from swarmnode.values.multiaddr import Multiaddr

#: Requests of one peer that are answered in a while, and the while, seconds. A lookup of an honest peer asks
#: each node once; a node that publishes a thousand keys asks a near one a few thousand times an hour.
MAX_REQUESTS = 400
WINDOW_SECONDS = 10.0
#: Peers counted in one while.
MAX_COUNTED = 4096

AddressesOf = Callable[[str], Sequence[Multiaddr]]
Stamp = Callable[[], float]


class Server:
    """own: this node's peer id. addresses_of: what is known of a peer, or of this node, likeliest first."""

    def __init__(
        self, own: str, table: RoutingTable, addresses_of: AddressesOf, rng: Rng, stamp: Stamp
    ) -> None:
        self.own, self._table, self._addresses_of = own, table, addresses_of
        self._rng, self._stamp = rng, stamp
        self.records = RecordStore(table.place)
        self.providers = ProviderStore(table.place)
        self._window = 0.0
        self._counts: dict[str, int] = {}

    def entry(self, peer: str) -> PeerEntry:
        """A peer with what is known of its addresses."""
        known = self._table.get(peer)
        connected = known is not None and known.connected
        return PeerEntry(peer, tuple(self._addresses_of(peer))[:MAX_ADDRESSES], connected)

    def check(self, key: bytes, value: bytes) -> Checked:
        """What a record says by this node's clock. Raises `PeerFault`."""
        return check_record(key, value, self._stamp())

    def local(self, key: bytes, now: float) -> Checked | None:
        """The record that this node keeps."""
        return self.records.get(key, now, self._stamp())

    def dated(self, message: Message) -> Message:
        """The message, its record with the time that js-libp2p refuses a record without."""
        if message.record is None:
            return message
        return replace(message, record=replace(message.record, received=_rfc3339(self._stamp())))

    def keep_record(self, key: bytes, value: bytes, now: float) -> None:
        """Keep a record of our own, if there is room."""
        try:
            self.records.put(key, self.check(key, value), now, self._stamp())
        except Unavailable:
            pass  # Others are nearer to the key, and keep it.

    def keep_provider(self, key: bytes, own: PeerEntry, now: float) -> None:
        """Note that this node provides a key, if there is room."""
        try:
            self.providers.add(key, own.peer, own.addresses, now)
        except Unavailable:
            pass

    def known_providers(self, key: bytes, limit: int, now: float) -> tuple[PeerEntry, ...]:
        """The providers that this node knows of."""
        found = self.providers.find(key, now, limit, self._rng)
        return tuple(entry if entry.addresses else self.entry(entry.peer) for entry in found)

    def count(self, peer: str, now: float) -> None:
        """One more request of a peer. Raises `Unavailable` when it asks too often."""
        if now >= self._window + WINDOW_SECONDS or len(self._counts) > MAX_COUNTED:
            self._window, self._counts = now, {}
        self._counts[peer] = self._counts.get(peer, 0) + 1
        if self._counts[peer] > MAX_REQUESTS:
            raise Unavailable(
                f"{peer} asks the DHT more than {MAX_REQUESTS} times in {WINDOW_SECONDS:.0f} s",
                code="dht_too_fast",
                hint="Ask less often.",
            )

    def answer(self, peer: str, message: Message, now: float) -> Message | None:
        """The answer to a peer's request; None where the protocol has none. Raises `PeerFault` for what
        must not be asked, `Unavailable` for what this node cannot keep."""
        match message.kind:
            case Kind.PING:
                return Message(Kind.PING)
            case Kind.FIND_NODE:
                return self._find_node(peer, message)
            case Kind.GET_VALUE:
                return self._get_value(peer, message, now)
            case Kind.PUT_VALUE:
                return self._put_value(message, now)
            case Kind.GET_PROVIDERS:
                return self._get_providers(peer, message, now)
            case Kind.ADD_PROVIDER:
                self._add_provider(peer, message, now)
                return None

    def _closer(self, peer: str, key: bytes) -> list[PeerEntry]:
        entries = [self.entry(e.peer) for e in self._table.closest(place(key), MAX_CLOSER, leave_out=(peer,))]
        return [entry for entry in entries if entry.addresses]

    def _find_node(self, peer: str, message: Message) -> Message:
        _needs_key(message)
        closer = self._closer(peer, message.key)
        try:
            wanted = peer_of_key(message.key)
        except Refused:
            wanted = ""
        # Whoever is looked for is told even if it is no server of the DHT and so in nobody's table.
        if wanted not in ("", peer) and all(entry.peer != wanted for entry in closer):
            entry = self.entry(wanted)
            if entry.addresses:
                closer = [entry, *closer[: MAX_CLOSER - 1]]
        return Message(Kind.FIND_NODE, message.key, closer=tuple(closer))

    def _get_value(self, peer: str, message: Message, now: float) -> Message:
        _checked(message.key)
        held = self.local(message.key, now)
        record = None if held is None else Record(message.key, held.value)
        answer = Message(Kind.GET_VALUE, message.key, record, closer=tuple(self._closer(peer, message.key)))
        return self.dated(answer)

    def _put_value(self, message: Message, now: float) -> Message:
        if message.record is None or message.record.key != message.key:
            raise PeerFault("A DHT record was put under another key than its own", code="bad_record")
        record = self.check(message.key, message.record.value)
        self.records.put(message.key, record, now, self._stamp())
        return Message(Kind.PUT_VALUE, message.key, message.record)

    def _get_providers(self, peer: str, message: Message, now: float) -> Message:
        _needs_key(message)
        providers = self.known_providers(message.key, MAX_PROVIDERS_TOLD, now)
        closer = tuple(self._closer(peer, message.key))
        return Message(Kind.GET_PROVIDERS, message.key, closer=closer, providers=providers)

    def _add_provider(self, peer: str, message: Message, now: float) -> None:
        """Only what the sender says of itself counts; others that it names are passed over in silence, as
        the spec has it."""
        _needs_key(message)
        for entry in message.providers:
            if entry.peer == peer:
                self.providers.add(message.key, peer, bounded_addresses(entry.addresses), now)
                return


def _needs_key(message: Message) -> None:
    if not message.key:
        raise PeerFault(f"A DHT request {message.kind.name} has no key", code="bad_dht_message")


def _checked(key: bytes) -> None:
    try:
        check_key(key)
    except Refused as error:
        raise PeerFault(error.message, code=error.code) from error


def _rfc3339(stamp: float) -> str:
    """A time as js-libp2p reads it, which wants the fraction of the second too."""
    return datetime.fromtimestamp(int(stamp), UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")
