"""What this node keeps for others: records and who provides what. Everything is bounded and ends.

A full store refuses the keys that are farthest from us, which are the concern of others, and makes room for
nearer ones by what has not been published again for longest.

The spec keeps provider records for 24 to 48 h because IPFS's providers number billions and stay. Shards of
models come and go with their nodes, and a provider that is gone costs whoever asks it a time-out: an
hour, renewed every 22 minutes, leaves room for two renewals that fail.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from swarmnode.protocols.kademlia.distance import Rng, place
from swarmnode.protocols.kademlia.messages import PeerEntry
from swarmnode.protocols.kademlia.records import RECORD_SECONDS, Checked, fresh
from swarmnode.values.errors import Unavailable
from swarmnode.values.multiaddr import Multiaddr

MAX_RECORDS = 1024
#: Records of one signer: nobody fills the store alone under one name.
MAX_RECORDS_PER_SIGNER = 256
MAX_PROVIDER_KEYS = 1024
MAX_PROVIDERS_PER_KEY = 64
#: Provider records over all keys, because 64 for each of 1024 keys, with addresses, is 50 MB.
MAX_PROVIDER_ENTRIES = 16_384
#: Keys that one peer may provide here.
MAX_KEYS_PER_PROVIDER = 512
#: Seconds for which a provider record is good.
PROVIDER_SECONDS = 3600.0


@dataclass(slots=True)
class Held:
    """A record kept. since: when it came last, by whoever; ends: not later than this (monotonic)."""

    key: bytes
    record: Checked
    since: float
    ends: float


class RecordStore:
    """Records by key. own: this node's place."""

    def __init__(self, own: int, limit: int = MAX_RECORDS) -> None:
        self._own, self._limit = own, limit
        # The one published last is at the end.
        self._held: OrderedDict[bytes, Held] = OrderedDict()
        self._signers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now: float, stamp: float) -> Checked | None:
        """The record under a key, unless its time is over."""
        held = self._held.get(key)
        if held is None:
            return None
        if held.ends <= now or not fresh(held.record, stamp):
            self._drop(key)
            return None
        return held.record

    def put(self, key: bytes, record: Checked, now: float, stamp: float) -> bool:
        """Keep a record that was checked; False when a better one is here. Raises `Unavailable` when it is
        none of ours to keep."""
        before = self.get(key, now, stamp)
        if before is not None and before.rank > record.rank:
            return False
        if before is not None and before.value == record.value and not record.stamp:
            return True  # `/pk/` cannot be told from an echo of itself, and is not prolonged by it.
        self._make_room(key, record.signer, before, now)
        self._drop(key)
        left = RECORD_SECONDS - max(0.0, stamp - record.stamp) if record.stamp else RECORD_SECONDS
        self._held[key] = Held(key, record, now, now + left)
        self._signers[record.signer] = self._signers.get(record.signer, 0) + 1
        return True

    def prune(self, now: float) -> None:
        """Let go of what has ended."""
        for key in [key for key, held in self._held.items() if held.ends <= now]:
            self._drop(key)

    def unrenewed(self, before: float, limit: int) -> list[Held]:
        """Records that nobody has published since a moment, the oldest first."""
        found: list[Held] = []
        for held in self._held.values():
            if held.since >= before or len(found) == limit:
                break
            if held.record.stamp:
                found.append(held)
        return found

    def renewed(self, key: bytes, now: float) -> None:
        """Somebody publishes the record now."""
        held = self._held.get(key)
        if held is not None:
            held.since = now
            self._held.move_to_end(key)

    def _make_room(self, key: bytes, signer: str, before: Checked | None, now: float) -> None:
        another = before is None or before.signer != signer
        if another and self._signers.get(signer, 0) >= MAX_RECORDS_PER_SIGNER:
            raise _full(f"{MAX_RECORDS_PER_SIGNER} records of one signer are kept")
        if before is not None or len(self._held) < self._limit:
            return
        self.prune(now)
        if len(self._held) < self._limit:
            return
        distance = place(key) ^ self._own
        if all(distance > place(other) ^ self._own for other in self._held):
            raise _full(f"{self._limit} records are kept, all of nearer keys")
        self._drop(next(iter(self._held)))

    def _drop(self, key: bytes) -> None:
        held = self._held.pop(key, None)
        if held is None:
            return
        signer = held.record.signer
        self._signers[signer] -= 1
        if not self._signers[signer]:
            del self._signers[signer]


@dataclass(slots=True)
class _Provider:
    ends: float
    addresses: tuple[Multiaddr, ...]


@dataclass(slots=True)
class _Providers:
    """Of one key; who came last is at the end."""

    entries: OrderedDict[str, _Provider] = field(default_factory=OrderedDict)


class ProviderStore:
    """Who provides which key. own: this node's place."""

    def __init__(self, own: int, limit: int = MAX_PROVIDER_KEYS) -> None:
        self._own, self._limit = own, limit
        self._keys: OrderedDict[bytes, _Providers] = OrderedDict()
        self._per_peer: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def entries(self) -> int:
        """Provider records over all keys."""
        return self._count

    def add(self, key: bytes, peer: str, addresses: tuple[Multiaddr, ...], now: float) -> None:
        """The peer says that it provides the key. Raises `Unavailable` when that is none of ours to keep."""
        providers = self._keys.get(key)
        if providers is None or peer not in providers.entries:
            if self._per_peer.get(peer, 0) >= MAX_KEYS_PER_PROVIDER:
                raise _full(f"{MAX_KEYS_PER_PROVIDER} keys of one provider are kept")
            providers = self._room(key, now)
            self._count += 1
            self._per_peer[peer] = self._per_peer.get(peer, 0) + 1
        providers.entries[peer] = _Provider(now + PROVIDER_SECONDS, addresses)
        providers.entries.move_to_end(peer)
        self._keys.move_to_end(key)

    def find(self, key: bytes, now: float, limit: int, rng: Rng) -> tuple[PeerEntry, ...]:
        """Up to `limit` providers; any of them when there are more, so that several holders together
        tell more than one."""
        self._prune_key(key, now)
        providers = self._keys.get(key)
        if providers is None:
            return ()
        entries = list(providers.entries.items())
        while len(entries) > limit:
            del entries[int(rng.random() * len(entries))]
        return tuple(PeerEntry(peer, provider.addresses) for peer, provider in entries)

    def remove(self, key: bytes, peer: str) -> None:
        """The peer provides the key no more."""
        providers = self._keys.get(key)
        if providers is not None and peer in providers.entries:
            self._forget(key, peer)

    def prune(self, now: float) -> None:
        """Let go of what has ended."""
        for key in list(self._keys):
            self._prune_key(key, now)

    def _room(self, key: bytes, now: float) -> _Providers:
        if self._count >= MAX_PROVIDER_ENTRIES or (key not in self._keys and len(self._keys) >= self._limit):
            self.prune(now)
        if key not in self._keys:
            self._room_for_key(key)
        providers = self._keys.setdefault(key, _Providers())
        if len(providers.entries) >= MAX_PROVIDERS_PER_KEY:
            self._forget(key, next(iter(providers.entries)), keep_key=True)
        elif self._count >= MAX_PROVIDER_ENTRIES:
            if not providers.entries:
                del self._keys[key]
            raise _full(f"{MAX_PROVIDER_ENTRIES} providers are kept")
        return providers

    def _room_for_key(self, key: bytes) -> None:
        if len(self._keys) < self._limit:
            return
        distance = place(key) ^ self._own
        if all(distance > place(other) ^ self._own for other in self._keys):
            raise _full(f"the providers of {self._limit} keys are kept, all of them nearer")
        oldest = next(iter(self._keys))
        for peer in list(self._keys[oldest].entries):
            self._forget(oldest, peer)

    def _prune_key(self, key: bytes, now: float) -> None:
        providers = self._keys.get(key)
        while providers is not None and providers.entries:
            peer, provider = next(iter(providers.entries.items()))
            if provider.ends > now:
                break
            self._forget(key, peer)

    def _forget(self, key: bytes, peer: str, *, keep_key: bool = False) -> None:
        entries = self._keys[key].entries
        del entries[peer]
        self._count -= 1
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]
        if not entries and not keep_key:
            del self._keys[key]


def _full(what: str) -> Unavailable:
    return Unavailable(
        f"The DHT store of this node is full: {what}",
        code="dht_store_full",
        hint="Other nodes near the key may keep it.",
    )
