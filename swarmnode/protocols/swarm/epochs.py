"""Gossip of a private network, closed to whoever only carries or watches it.

Every message is sealed with a key of the hour that follows from the network's name: ChaCha20-Poly1305 with a
random nonce, the topic bound to it. The key is as secret as the name. It is a curtain before the envelopes,
never a proof of who spoke: that is the signature inside.

    sealed := u8 version | u32 epoch | nonce (12) | ciphertext and tag
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from swarmnode.protocols.swarm.signed import MAX_AGE, MAX_AHEAD, invalid
from swarmnode.values.errors import PeerFault

#: Seconds that a key is used.
EPOCH = 3600
VERSION = 1
OVERHEAD = 5 + 12 + 16

_HEAD = struct.Struct(">BI")
_NONCE_BYTES = 12
_CONTEXT = "swarmnode gossip epoch key 1"


class EpochSealer:
    """Seals and opens what goes over the topics of one private network. entropy: n -> n random bytes."""

    def __init__(self, network: str, entropy: Callable[[int], bytes]) -> None:
        if not network:
            raise ValueError("the public network has no secret to seal with")
        self._entropy = entropy
        self._root = blake3(network.encode(), derive_key_context=_CONTEXT).digest()
        self._keys: dict[int, ChaCha20Poly1305] = {}

    def seal(self, topic: str, data: bytes, stamp: float) -> bytes:
        """The data, closed for the hour of `stamp` (Unix seconds)."""
        epoch = int(stamp) // EPOCH
        head = _HEAD.pack(VERSION, epoch)
        nonce = self._entropy(_NONCE_BYTES)
        return head + nonce + self._key(epoch).encrypt(nonce, data, head + topic.encode())

    def open(self, topic: str, sealed: bytes, stamp: float) -> bytes:
        """The inverse, for the hours that fresh messages can be of. Raises `PeerFault` (`invalid_gossip`,
        `stale`)."""
        if len(sealed) < OVERHEAD:
            raise invalid("it is too short to be sealed")
        version, epoch = _HEAD.unpack_from(sealed)
        if version != VERSION:
            raise invalid(f"it is sealed in the way {version}, which is not known")
        if not _epoch(stamp - MAX_AGE) <= epoch <= _epoch(stamp + MAX_AHEAD):
            raise PeerFault("A gossip message is sealed for another hour", code="stale")
        nonce = sealed[_HEAD.size : _HEAD.size + _NONCE_BYTES]
        try:
            return self._key(epoch).decrypt(
                nonce, sealed[_HEAD.size + _NONCE_BYTES :], sealed[: _HEAD.size] + topic.encode()
            )
        except InvalidTag as error:
            raise invalid("it is not sealed with the network's key") from error

    def _key(self, epoch: int) -> ChaCha20Poly1305:
        if epoch not in self._keys:
            if len(self._keys) >= 3:
                del self._keys[min(self._keys)]
            self._keys[epoch] = ChaCha20Poly1305(blake3(epoch.to_bytes(8, "big"), key=self._root).digest())
        return self._keys[epoch]


def _epoch(stamp: float) -> int:
    return max(0, int(stamp)) // EPOCH
