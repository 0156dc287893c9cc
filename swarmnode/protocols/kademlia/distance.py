"""Distances: the SHA-256 of keys and of binary peer ids, and their XOR (libp2p specs, kad-dht)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Protocol

from swarmnode.values.peer_id import peer_id_bytes

ID_BITS = 256
#: Peer ids whose place is remembered in the process; working it out takes 20 microseconds.
MEMO_PEERS = 16_384
#: A key for a bucket is found by trying: with more leading bits in common it would take too long.
MAX_AIMED_PREFIX = 12
# A binary peer id of the hashed kind: the multihash code of SHA-256 and its length.
_SHA256_MULTIHASH = b"\x12\x20"


class Rng(Protocol):
    """The part of `random.Random` that is needed."""

    def random(self) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...


def place(key: bytes) -> int:
    """Where a key lies among the ids, 256 bits."""
    return int.from_bytes(hashlib.sha256(key).digest(), "big")


@lru_cache(maxsize=MEMO_PEERS)
def peer_place(peer: str) -> int:
    """Where a peer lies. Raises `Refused` for what is no peer id."""
    return place(peer_id_bytes(peer))


def common_prefix(one: int, other: int) -> int:
    """Leading bits that two places share, 0 to 256: the bucket of one in the other's table."""
    return ID_BITS - (one ^ other).bit_length()


def provider_key(content: bytes) -> bytes:
    """The SHA-256 multihash of some content or name. Provider keys ought to be multihashes: other
    implementations of the protocol refuse what is none."""
    return _SHA256_MULTIHASH + hashlib.sha256(content).digest()


def aimed_key(own: int, prefix: int, rng: Rng) -> bytes:
    """A random key, shaped as a binary peer id, whose place shares exactly `prefix` leading bits with `own`.

    Peers are asked by keys, not by places, so such a key can only be found by trying: `2 << prefix` times
    on average. prefix: at most `MAX_AIMED_PREFIX`; the self-lookup fills what is nearer.
    """
    prefix = min(prefix, MAX_AIMED_PREFIX)
    number = rng.getrandbits(ID_BITS)
    while True:
        key = _SHA256_MULTIHASH + number.to_bytes(ID_BITS // 8, "big")
        if common_prefix(place(key), own) == prefix:
            return key
        number = (number + 1) % (1 << ID_BITS)
