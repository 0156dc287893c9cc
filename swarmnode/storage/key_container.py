"""How a private key lies on the disk: our own small container, in clear or under a passphrase.

Layout: `SWARMKEY`, version (1 byte), protection (1 byte), then
protection 0: the key's bytes;
protection 1: Argon2id operations (4 bytes, big-endian), memory in bytes (4), salt (16), then
XChaCha20-Poly1305 nonce, ciphertext and tag; everything before the nonce is authenticated with it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nacl import pwhash, secret, utils
from nacl.exceptions import CryptoError

from swarmnode.values.errors import LocalFault, Refused

MAGIC = b"SWARMKEY"
VERSION = 1
MAX_OPERATIONS = 16
MAX_MEMORY_BYTES = 1 << 30

_CLEAR, _PASSPHRASE = 0, 1
_HEADER = struct.Struct(">8sBB")
_COST = struct.Struct(">II16s")


@dataclass(frozen=True, slots=True)
class PassphraseCost:
    """What one guess at the passphrase costs: Argon2id passes and bytes of memory.

    The default takes about 0.2 s on an ordinary computer, once at each start.
    """

    operations: int = 3
    memory_bytes: int = 64 << 20


def is_encrypted(container: bytes) -> bool:
    """Whether a passphrase is needed to open the container."""
    return _protection(container) == _PASSPHRASE


def pack_key(key: bytes, passphrase: str, cost: PassphraseCost) -> bytes:
    """A container with the key in it, encrypted when the passphrase is not empty."""
    if not passphrase:
        return _HEADER.pack(MAGIC, VERSION, _CLEAR) + key
    salt = utils.random(16)
    head = _HEADER.pack(MAGIC, VERSION, _PASSPHRASE) + _COST.pack(cost.operations, cost.memory_bytes, salt)
    box = secret.Aead(_stretch(passphrase, salt, cost))
    return head + bytes(box.encrypt(key, aad=head))


def unpack_key(container: bytes, passphrase: str) -> bytes:
    """The key. Raises `Refused` for a missing or wrong passphrase, `LocalFault` for a damaged file."""
    if _protection(container) == _CLEAR:
        return container[_HEADER.size :]
    if not passphrase:
        raise Refused(
            "The identity key is encrypted, and no passphrase is set",
            code="identity_passphrase_missing",
            hint="Set the passphrase that the key was encrypted with, as the environment variable "
            "SWARMNODE_IDENTITY_PASSPHRASE or as identity.passphrase in config.toml.",
        )
    return _decrypt(container, passphrase)


def _decrypt(container: bytes, passphrase: str) -> bytes:
    start = _HEADER.size + _COST.size
    if len(container) < start:
        raise damaged("it ends in the middle")
    operations, memory, salt = _COST.unpack_from(container, _HEADER.size)
    if not (1 <= operations <= MAX_OPERATIONS and 8192 <= memory <= MAX_MEMORY_BYTES):
        raise damaged("its numbers make no sense")
    box = secret.Aead(_stretch(passphrase, salt, PassphraseCost(operations, memory)))
    try:
        return bytes(box.decrypt(container[start:], aad=container[:start]))
    except (CryptoError, ValueError) as error:
        raise Refused(
            "The passphrase does not open the identity key (or the file is damaged)",
            code="identity_passphrase_wrong",
            hint="Set the passphrase that the key was encrypted with. Without it the key is lost; "
            "moving identity.key away makes the node start with a new identity.",
        ) from error


def _protection(container: bytes) -> int:
    if len(container) < _HEADER.size:
        raise damaged("it ends in the middle")
    magic, version, protection = _HEADER.unpack_from(container)
    if magic != MAGIC:
        raise damaged("it does not begin as one")
    if version != VERSION or protection not in (_CLEAR, _PASSPHRASE):
        raise Refused(
            f"The identity key has format {version}.{protection}, which this version does not know",
            code="identity_newer",
            hint="It was written by a newer swarmnode; install that version.",
        )
    return int(protection)


def _stretch(passphrase: str, salt: bytes, cost: PassphraseCost) -> bytes:
    return bytes(
        pwhash.argon2id.kdf(
            secret.Aead.KEY_SIZE,
            passphrase.encode("utf-8", "surrogatepass"),
            salt,
            opslimit=cost.operations,
            memlimit=cost.memory_bytes,
        )
    )


def damaged(fault: str) -> LocalFault:
    """The error for a file that is not a key container, or no longer."""
    return LocalFault(
        f"The identity key file is not usable: {fault}",
        code="identity_damaged",
        hint="Restore identity.key from a backup, or move it away: the node then starts with a new identity, "
        "as a stranger to the others.",
    )
