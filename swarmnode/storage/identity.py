"""The node's identity: one Ed25519 key in `identity.key`, which never leaves this module.

The file holds libp2p's protobuf `PrivateKey` inside our container (`key_container`). Rotation writes
the next key, then the statement signed by both keys, then moves the next key into place; a node that
was killed in between finishes or forgets it at its next start. The old key is not kept: the statement
has its signature already, and whoever found the old key could sign another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nacl.signing import SigningKey

from swarmnode.protocols.identity.handover import HandOver, Signer, make_handover, verify_handover
from swarmnode.storage.data_dir import hold_data_dir
from swarmnode.storage.key_container import PassphraseCost, damaged, is_encrypted, pack_key, unpack_key
from swarmnode.storage.private_files import (
    create_private,
    make_private_directory,
    read_private,
    replace_private,
    sweep_leftovers,
)
from swarmnode.values.errors import Refused, SwarmnodeError
from swarmnode.values.peer_id import ED25519_KEY_BYTES, peer_id

IDENTITY_NAME = "identity.key"
NEXT_NAME = "identity.key.next"
HANDOVERS_NAME = "identity-handovers"
MAX_HANDOVERS = 10_000

# PrivateKey { Type = 1: Ed25519 (1); Data = 2: 64 bytes, the seed and the public key }
# (libp2p specs, peer-ids).
_PRIVATE_KEY_PREFIX = bytes([0x08, 0x01, 0x12, 2 * ED25519_KEY_BYTES])

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is. public_key: 32 bytes. The private key can be used, not read."""

    peer_id: str
    public_key: bytes
    _key: SigningKey = field(repr=False, compare=False)

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of the message, 64 bytes."""
        return bytes(self._key.sign(message).signature)


def load_or_create_identity(
    data_dir: Path, passphrase: str = "", cost: PassphraseCost | None = None
) -> Identity:
    """The identity in `data_dir`; a new one, mode 0600, where there is none.

    With a passphrase the file is encrypted: a new one at once, an old one in clear now. Raises
    `Refused` for a wrong or missing passphrase, `LocalFault` for a damaged or unreadable file.
    """
    make_private_directory(data_dir)
    cost = cost or PassphraseCost()
    _finish_rotation(data_dir, passphrase)
    path = data_dir / IDENTITY_NAME
    sweep_leftovers(path)
    stored = read_private(path)
    if stored is None:
        return _create(path, passphrase, cost)
    key = _parse(unpack_key(stored, passphrase))
    if passphrase and not is_encrypted(stored):
        replace_private(path, pack_key(_serialise(key), passphrase, cost))
        _log.info("%s is now encrypted with the passphrase", path)
    return _identity(key)


def change_passphrase(data_dir: Path, old: str, new: str, cost: PassphraseCost | None = None) -> None:
    """Encrypt the identity with another passphrase; an empty `new` stores it in clear.

    Raises `Refused` while a node uses the directory, or when `old` does not open the file.
    """
    lock = hold_data_dir(data_dir, 0)
    try:
        key = _load(data_dir / IDENTITY_NAME, old)
        replace_private(data_dir / IDENTITY_NAME, pack_key(_serialise(key), new, cost or PassphraseCost()))
    finally:
        lock.release()


def rotate_identity(
    data_dir: Path,
    passphrase: str = "",
    stamp: Callable[[], float] = time.time,
    cost: PassphraseCost | None = None,
) -> HandOver:
    """Take a new key, and keep the statement by which both keys say so.

    Returns the hand-over, which lies in `identity-handovers/<n>.bin`. The node must not run:
    `Refused(code='data_dir_in_use')`.
    """
    lock = hold_data_dir(data_dir, 0)
    try:
        _finish_rotation(data_dir, passphrase)
        return _rotate(data_dir, passphrase, int(stamp()), cost or PassphraseCost())
    finally:
        lock.release()


def read_handovers(data_dir: Path) -> tuple[HandOver, ...]:
    """All hand-overs of this node, the first one first. A damaged one is left out, with a warning."""
    found = []
    for path in _handover_files(data_dir):
        try:
            found.append(verify_handover(read_private(path) or b""))
        except SwarmnodeError as error:
            _log.warning("The hand-over %s is left out: %s", path, error.message)
    return tuple(found)


def _rotate(data_dir: Path, passphrase: str, stamp: int, cost: PassphraseCost) -> HandOver:
    path, next_path = data_dir / IDENTITY_NAME, data_dir / NEXT_NAME
    old, new = _load(path, passphrase), SigningKey.generate()
    files = _handover_files(data_dir)
    sequence = int(files[-1].stem) + 1 if files else 1
    if sequence > MAX_HANDOVERS:
        raise Refused(f"{MAX_HANDOVERS} rotations are enough for one node", code="too_many_rotations")
    handover = make_handover(_signer(old), _signer(new), sequence, stamp)
    container = pack_key(_serialise(new), passphrase, cost)
    replace_private(next_path, container)
    make_private_directory(data_dir / HANDOVERS_NAME)
    create_private(data_dir / HANDOVERS_NAME / f"{sequence}.bin", handover.statement)
    # Written again rather than moved: another command may have taken the next file for a leftover.
    replace_private(path, container)
    next_path.unlink(missing_ok=True)
    return handover


def _finish_rotation(data_dir: Path, passphrase: str) -> None:
    """Put a rotation that was cut short to its end, or away: the statement decides."""
    next_path = data_dir / NEXT_NAME
    stored = read_private(next_path)
    if stored is None:
        return
    handovers = read_handovers(data_dir)
    new_key = bytes(_parse(unpack_key(stored, passphrase)).verify_key)
    if handovers and handovers[-1].new_key == new_key:
        replace_private(data_dir / IDENTITY_NAME, stored)
    next_path.unlink(missing_ok=True)


def _handover_files(data_dir: Path) -> list[Path]:
    files = [p for p in (data_dir / HANDOVERS_NAME).glob("*.bin") if p.stem.isdecimal()]
    return sorted(files, key=lambda p: int(p.stem))[:MAX_HANDOVERS]


def _create(path: Path, passphrase: str, cost: PassphraseCost) -> Identity:
    key = SigningKey.generate()
    if create_private(path, pack_key(_serialise(key), passphrase, cost)):
        return _identity(key)
    return _identity(_load(path, passphrase))  # another process was quicker


def _load(path: Path, passphrase: str) -> SigningKey:
    stored = read_private(path)
    if stored is None:
        raise Refused(
            f"There is no identity in {path.parent}",
            code="no_identity",
            hint="Start the node once; it makes one.",
        )
    return _parse(unpack_key(stored, passphrase))


def _serialise(key: SigningKey) -> bytes:
    return _PRIVATE_KEY_PREFIX + bytes(key) + bytes(key.verify_key)


def _parse(encoded: bytes) -> SigningKey:
    length = len(_PRIVATE_KEY_PREFIX) + 2 * ED25519_KEY_BYTES
    if len(encoded) != length or not encoded.startswith(_PRIVATE_KEY_PREFIX):
        raise damaged("it holds no Ed25519 key")
    key = SigningKey(encoded[len(_PRIVATE_KEY_PREFIX) : -ED25519_KEY_BYTES])
    if bytes(key.verify_key) != encoded[-ED25519_KEY_BYTES:]:
        raise damaged("its two halves do not belong together")
    return key


def _identity(key: SigningKey) -> Identity:
    public = bytes(key.verify_key)
    return Identity(peer_id(public), public, key)


def _signer(key: SigningKey) -> Signer:
    return Signer(bytes(key.verify_key), lambda message: bytes(key.sign(message).signature))
