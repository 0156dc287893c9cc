"""Bulk data of the interoperability tests: blocks of 64 KiB that begin with their number, so that a block
lost, doubled or out of its place changes the checksum. js/streams.mjs writes the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

BLOCK_BYTES = 65536
NUMBER_BYTES = 8

ECHO, SINK, COUNT, SOURCE = "/echo/1", "/sink/1", "/count/1", "/source/1"

_BASE = bytes((i * 131 + (i >> 8) * 31) & 255 for i in range(BLOCK_BYTES))[NUMBER_BYTES:]


def pattern_blocks(total: int) -> Iterator[bytes]:
    """`total` bytes of it."""
    for number in range(-(-total // BLOCK_BYTES)):
        left = total - number * BLOCK_BYTES
        yield (number.to_bytes(NUMBER_BYTES, "big") + _BASE)[:left]


def pattern_sha256(total: int) -> str:
    """The checksum of `total` bytes of it."""
    hash_ = hashlib.sha256()
    for block in pattern_blocks(total):
        hash_.update(block)
    return hash_.hexdigest()
