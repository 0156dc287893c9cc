"""Token ids as the link carries them: 32-bit little-endian integers, one after another."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable


def ids_bytes(ids: Iterable[int]) -> bytes:
    """Token ids as payload bytes."""
    packed = array("i", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def ids_from(payload: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """The inverse of `ids_bytes`."""
    packed = array("i")
    packed.frombytes(bytes(payload))
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)
