"""Asking for a bulk transfer whose time is to be measured: `protocol_id("bandwidth/1", network)`.

    request := direction (1 byte: 0 down, 1 up) | size (4 bytes, big-endian)

Down: the answering side sends so many bytes and ends. Up: they follow the request, and the asking side ends;
the answering side sends the number that came (4 bytes, big-endian) and ends. The bytes mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.errors import PeerFault

NAME = "bandwidth/1"
DOWN, UP = 0, 1
REQUEST_BYTES, COUNT_BYTES = 5, 4
#: Of one transfer.
MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Transfer:
    """What is asked for. upwards: from the asking side to the other. size: bytes."""

    upwards: bool
    size: int


def encode_transfer(transfer: Transfer) -> bytes:
    """The request."""
    return bytes([UP if transfer.upwards else DOWN]) + transfer.size.to_bytes(4, "big")


def decode_transfer(data: bytes) -> Transfer:
    """Of `REQUEST_BYTES` bytes. Raises `PeerFault`."""
    direction, size = data[0], int.from_bytes(data[1:REQUEST_BYTES], "big")
    if direction not in (DOWN, UP) or not 0 < size <= MAX_BYTES:
        raise PeerFault(
            f"A transfer of {size} bytes in direction {direction}; 1 to {MAX_BYTES} are allowed",
            code="bad_message",
        )
    return Transfer(direction == UP, size)
