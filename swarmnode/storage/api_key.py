"""The API key: who may call this node. One key, in `<data_dir>/api_key`, mode 0600."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from zope.interface import implementer

from swarmnode.interfaces.node import IKeyRing
from swarmnode.storage.private_files import (
    create_private,
    make_private_directory,
    read_private,
    sweep_leftovers,
)
from swarmnode.values.errors import LocalFault, Refused

API_KEY_NAME = "api_key"
KEY_BYTES = 32
MIN_KEY_CHARS = 8
MAX_KEY_CHARS = 512


@implementer(IKeyRing)
class KeyRing:
    """Holds the node's one key."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._digest = _digest(key)

    def allows(self, key: str) -> bool:
        # Digests have one length, so the comparison tells neither the key nor how long it is.
        return hmac.compare_digest(_digest(key), self._digest)

    def api_key(self) -> str:
        return self._key

    def __repr__(self) -> str:
        return "<KeyRing of one key>"


def load_or_create_api_key(data_dir: Path, configured: str = "") -> KeyRing:
    """The key ring of the node: the configured key, else the one in the file, else a new one there.

    Raises `Refused` for a configured key that cannot be sent in a header, `LocalFault` for a file
    that holds no key.
    """
    if configured:
        return KeyRing(_checked(configured, Refused, "The configured API key (api.api_key)"))
    make_private_directory(data_dir)
    path = data_dir / API_KEY_NAME
    sweep_leftovers(path)
    stored = read_private(path)
    if stored is None:
        create_private(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")
        stored = read_private(path) or b""
    return KeyRing(_checked(stored.decode("ascii", "replace").strip(), LocalFault, f"The key in {path}"))


def _checked(key: str, fault: type[Refused] | type[LocalFault], what: str) -> str:
    printable = key.isascii() and key.isprintable() and " " not in key
    if printable and MIN_KEY_CHARS <= len(key) <= MAX_KEY_CHARS:
        return key
    raise fault(
        f"{what} is not usable: it needs {MIN_KEY_CHARS} to {MAX_KEY_CHARS} visible ASCII characters",
        code="bad_api_key",
        hint="Remove it (the setting or the file) and the node makes a good one at its next start.",
    )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
