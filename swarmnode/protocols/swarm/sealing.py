"""Payloads that a third node carries, closed to it: sealed once, to a key of the recipient's.

The recipient has an X25519 key for ten minutes at a time and says so under its signature (`SealingKey`). A
sender draws an X25519 key of its own for each session, signs it, and seals with ChaCha20-Poly1305 under a key
made by HKDF-SHA256 (RFC 5869) of what the two have in common. Nonces are counters; the recipient takes each
once (`replay.py`). What is bound to every packet: kind, session, sender, recipient and both keys. Neither key
outlives the session, so what was recorded stays closed when an identity key is stolen later.

    packet := u8 version | key id (8) | ephemeral (32) | signature (64) | u64 counter | ciphertext and tag

Nothing that is not genuine changes anything: the signature and the tag are checked first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.frames import LIMITS, Tag
from swarmnode.protocols.swarm.replay import ReplayWindow, Seen
from swarmnode.protocols.swarm.sealing_key import SealingKey, key_id
from swarmnode.values.errors import PeerFault, Refused, Unavailable
from swarmnode.values.peer_id import public_key_of

#: A key is renewed after so many seconds, and the one before it opens for so many more.
KEY_SECONDS = 600.0
GRACE_SECONDS = 60.0
#: Sessions under one key. None is forgotten before its key, or its packets could be replayed; the next key
#: has room again.
MAX_SESSIONS = 8192
VERSION = 1
#: Bytes a packet has more than what is in it.
OVERHEAD = 1 + 8 + 32 + 64 + 8 + 16
MAX_PLAIN = LIMITS[Tag.SEALED] - OVERHEAD
#: The longest kind or session, characters.
MAX_LABEL = 128

_HEAD = struct.Struct(">B8s32s64sQ")
_CONTEXT = b"swarmnode sealing 1"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a packet is for. kind, session: names both sides know already. sender, recipient: peer ids."""

    kind: str
    session: str
    sender: str
    recipient: str

    def label(self, ephemeral: bytes, key: bytes) -> bytes:
        """The bytes that are signed, hashed and bound. ephemeral, key: both X25519 public keys."""
        parts = (self.kind, self.session, self.sender, self.recipient)
        encoded = [_CONTEXT, *(part.encode() for part in parts), ephemeral, key]
        return b"".join(len(part).to_bytes(2, "big") + part for part in encoded)


class Sealer:
    """The sender's end of one session. A new one is needed when `spent` says so."""

    def __init__(
        self, signer: Signer, key: SealingKey, binding: Binding, entropy: Callable[[int], bytes], now: float
    ) -> None:
        _check_binding(binding)
        if key.peer != binding.recipient:
            raise Refused("The sealing key is not the recipient's", code="wrong_recipient")
        private = X25519PrivateKey.from_private_bytes(entropy(32))
        self._ephemeral = private.public_key().public_bytes_raw()
        self._label = binding.label(self._ephemeral, key.public)
        self._signature = signer.sign(self._label)
        self._key_id = key_id(key.public)
        shared = _shared(private, key.public)
        if shared is None:
            raise PeerFault("The peer's sealing key is no good key", code="bad_sealing_key")
        self._cipher = _cipher(shared, self._label)
        self._until = now + key.seconds
        self._counter = 0

    def spent(self, now: float) -> bool:
        """Whether the recipient's key is about to be renewed: ask for the new one."""
        return now >= self._until

    def seal(self, plain: bytes, now: float) -> bytes:
        """A packet. Raises `Refused` when it is too long, `Unavailable` when the key is too old."""
        if len(plain) > MAX_PLAIN:
            raise Refused(f"{len(plain)} bytes to seal; {MAX_PLAIN} are allowed", code="message_too_large")
        if now >= self._until + GRACE_SECONDS / 2:
            raise Unavailable("The recipient has another sealing key by now", code="sealing_key_old")
        head = _HEAD.pack(VERSION, self._key_id, self._ephemeral, self._signature, self._counter)
        nonce = _nonce(self._counter)
        self._counter += 1
        return head + self._cipher.encrypt(nonce, plain, head + self._label)


class Opener:
    """The recipient's end, of all senders. entropy: n -> n random bytes; `now` is monotonic seconds."""

    def __init__(self, peer: str, entropy: Callable[[int], bytes], now: float) -> None:
        self._peer, self._entropy = peer, entropy
        self._keys: dict[bytes, _Key] = {}
        self._current = self._renew(now)

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called: the key is renewed, or an old one forgotten."""
        return min(key.until if key is self._current else key.forgotten for key in self._keys.values())

    def tick(self, now: float) -> bool:
        """Renew and forget what is due. Whether there is a new key, to be made known."""
        for identity, key in list(self._keys.items()):
            if now >= key.forgotten:
                del self._keys[identity]
        if now < self._current.until:
            return False
        self._current = self._renew(now)
        return True

    def key(self, now: float) -> SealingKey:
        """The key to be made known, and for how long it is good."""
        self.tick(now)
        return SealingKey(self._peer, self._current.public, max(0.0, self._current.until - now))

    def open(self, packet: bytes, kind: str, session: str, sender: str, now: float) -> bytes:
        """What is in a packet. Raises `PeerFault` (`bad_seal`, `bad_signature`, `replayed`) or `Unavailable`
        (`sealing_key_old`,
        `too_many_sessions`), and changes nothing then."""
        self.tick(now)
        if not OVERHEAD <= len(packet) <= LIMITS[Tag.SEALED]:
            raise _bad(f"it has {len(packet)} bytes")
        version, identity, ephemeral, signature, counter = _HEAD.unpack_from(packet)
        if version != VERSION:
            raise _bad(f"it is of version {version}")
        key = self._keys.get(identity)
        if key is None:
            raise Unavailable("A packet is sealed to a key that is gone", code="sealing_key_old")
        binding = Binding(kind, session, sender, self._peer)
        _check_binding(binding)
        return key.open(binding.label(ephemeral, key.public), ephemeral, signature, counter, packet, sender)

    def _renew(self, now: float) -> _Key:
        key = _Key(X25519PrivateKey.from_private_bytes(self._entropy(32)), now)
        self._keys[key_id(key.public)] = key
        return key


class _Key:
    """One of the recipient's keys, and the sessions sealed to it."""

    def __init__(self, private: X25519PrivateKey, now: float) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.until = now + KEY_SECONDS
        self.forgotten = self.until + GRACE_SECONDS
        self._sessions: dict[bytes, tuple[ChaCha20Poly1305, ReplayWindow]] = {}

    def open(
        self, label: bytes, ephemeral: bytes, signature: bytes, counter: int, packet: bytes, sender: str
    ) -> bytes:
        """What is in the packet; a session is kept once a packet of it has proven genuine."""
        known = self._sessions.get(label)
        cipher, window = known or (self._begin(label, ephemeral, signature, sender), ReplayWindow())
        head, body = packet[: _HEAD.size], packet[_HEAD.size :]
        try:
            plain = cipher.decrypt(_nonce(counter), body, head + label)
        except InvalidTag as error:
            raise _bad("it was changed, or sealed for something else") from error
        if window.take(counter) is not Seen.NEW:
            raise PeerFault("A sealed payload came twice, or much too late", code="replayed")
        self._sessions[label] = (cipher, window)
        return plain

    def _begin(self, label: bytes, ephemeral: bytes, signature: bytes, sender: str) -> ChaCha20Poly1305:
        if len(self._sessions) >= MAX_SESSIONS:
            raise Unavailable("Too many sealed sessions in ten minutes", code="too_many_sessions")
        try:
            VerifyKey(public_key_of(sender)).verify(label, signature)
        except (BadSignatureError, ValueError, Refused) as error:
            raise PeerFault("A sealed payload is not signed by its sender", code="bad_signature") from error
        shared = _shared(self._private, ephemeral)
        if shared is None:
            raise _bad("its key is no good key")
        return _cipher(shared, label)


def _shared(private: X25519PrivateKey, public: bytes) -> bytes | None:
    """What the two keys have in common; None for a point of low order (RFC 7748, section 6.1)."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return None


def _cipher(shared: bytes, label: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, None, label).derive(shared))


def _nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "big")


def _check_binding(binding: Binding) -> None:
    if not all(len(part.encode()) <= MAX_LABEL for part in (binding.kind, binding.session)):
        raise Refused(f"A name of a sealed session has more than {MAX_LABEL} bytes", code="bad_session")


def _bad(fault: str) -> PeerFault:
    return PeerFault(f"A sealed payload does not open: {fault}", code="bad_seal")
