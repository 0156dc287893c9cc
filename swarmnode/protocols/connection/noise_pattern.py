"""Noise_XX_25519_ChaChaPoly_SHA256: the messages of the handshake and what they mix (The Noise Protocol
Framework, revision 34, sections 5 and 7.5). What the payloads say is `noise_handshake`'s affair.

    -> e
    <- e, ee, s, es
    -> s, se
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from swarmnode.values.errors import PeerFault

NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
KEY_BYTES = 32
TAG_BYTES = 16
MAX_MESSAGE_BYTES = 65535

#: 32 zero bits and a 64-bit counter, little-endian (section 12.3).
NONCE = struct.Struct("<4xQ")

_PATTERN = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


class _Symmetric:
    """The symmetric state (section 5.2): a chaining key, a hash of all that was said, and a cipher."""

    def __init__(self, prologue: bytes) -> None:
        # The name is as long as a hash, and so stands for itself.
        self.hash = self._chaining_key = NAME
        self._cipher: ChaCha20Poly1305 | None = None
        self._nonce = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self._chaining_key, key = _derive_two(self._chaining_key, material)
        self._cipher, self._nonce = ChaCha20Poly1305(key), 0

    def encrypt(self, plain: bytes) -> bytes:
        sealed = plain
        if self._cipher is not None:
            sealed = self._cipher.encrypt(NONCE.pack(self._nonce), plain, self.hash)
            self._nonce += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        plain = sealed
        if self._cipher is not None:
            plain = self._cipher.decrypt(NONCE.pack(self._nonce), sealed, self.hash)
            self._nonce += 1
        self.mix_hash(sealed)
        return plain

    @property
    def overhead(self) -> int:
        """Bytes that encryption adds."""
        return TAG_BYTES if self._cipher is not None else 0

    def split(self) -> tuple[bytes, bytes]:
        return _derive_two(self._chaining_key, b"")


class NoiseXX:
    """One end of a handshake. ephemeral, static: private X25519 keys, 32 bytes each; the ephemeral one must
    never be used again. prologue: what both ends know already, and prove to have seen alike."""

    def __init__(self, initiator: bool, ephemeral: bytes, static: bytes, prologue: bytes = b"") -> None:
        self._initiator = initiator
        self._own = {"e": X25519PrivateKey.from_private_bytes(ephemeral)}
        self._own["s"] = X25519PrivateKey.from_private_bytes(static)
        self._theirs: dict[str, bytes] = {}
        self._symmetric = _Symmetric(prologue)
        self._message = 0

    @property
    def writes(self) -> bool:
        """Whether the next message is ours to write."""
        return not self.finished and (self._message % 2 == 0) == self._initiator

    @property
    def finished(self) -> bool:
        """Whether all three messages have been exchanged."""
        return self._message == len(_PATTERN)

    @property
    def hash(self) -> bytes:
        """The hash of the handshake so far, 32 bytes; at its end the same at both ends and nowhere else."""
        return self._symmetric.hash

    @property
    def static_public(self) -> bytes:
        """Our static public key, 32 bytes."""
        return self._own["s"].public_key().public_bytes_raw()

    @property
    def remote_static(self) -> bytes:
        """The peer's static public key; known after the message that brings it."""
        return self._theirs["s"]

    def write(self, payload: bytes) -> bytes:
        """The next message, ours to write. Raises `PeerFault` when the peer sent a key of no use."""
        out = b""
        for word in self._tokens(writing=True):
            if word == "e":
                public = self._own["e"].public_key().public_bytes_raw()
                self._symmetric.mix_hash(public)
                out += public
            elif word == "s":
                out += self._symmetric.encrypt(self.static_public)
            else:
                self._mix(word)
        return out + self._symmetric.encrypt(payload)

    def read(self, message: bytes) -> bytes:
        """The payload of the next message, the peer's. Raises `PeerFault(code='bad_handshake')`."""
        try:
            for word in self._tokens(writing=False):
                if word in ("e", "s"):
                    message = self._take_key(word, message)
                else:
                    self._mix(word)
            return self._symmetric.decrypt(message)
        except (InvalidTag, ValueError) as error:
            raise self._damaged() from error

    def split(self) -> tuple[bytes, bytes]:
        """The keys for what follows, 32 bytes each: ours for sending, ours for receiving."""
        first, second = self._symmetric.split()
        return (first, second) if self._initiator else (second, first)

    def _tokens(self, writing: bool) -> tuple[str, ...]:
        if self.finished or self.writes != writing:
            raise RuntimeError(f"the Noise handshake is not at a message to {'write' if writing else 'read'}")
        self._message += 1
        return _PATTERN[self._message - 1]

    def _take_key(self, word: str, message: bytes) -> bytes:
        size = KEY_BYTES + (self._symmetric.overhead if word == "s" else 0)
        if len(message) < size:
            raise ValueError("it ends too early")
        if word == "s":
            self._theirs["s"] = self._symmetric.decrypt(message[:size])
        else:
            self._theirs["e"] = message[:size]
            self._symmetric.mix_hash(message[:size])
        return message[size:]

    def _mix(self, word: str) -> None:
        """Mix in the Diffie-Hellman of the initiator's key and the responder's that the word names."""
        own, theirs = (word[0], word[1]) if self._initiator else (word[1], word[0])
        public = X25519PublicKey.from_public_bytes(self._theirs[theirs])
        try:
            secret = self._own[own].exchange(public)
        except ValueError as error:  # the secret is zero: a key of low order (RFC 7748, section 6.1)
            raise self._damaged() from error
        self._symmetric.mix_key(secret)

    def _damaged(self) -> PeerFault:
        return PeerFault(
            f"Message {self._message} of the Noise handshake is damaged or forged",
            code="bad_handshake",
            hint="Something between the two nodes may change what they send.",
        )


def _derive_two(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs (section 4.3)."""
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")
