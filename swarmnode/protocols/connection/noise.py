"""Noise as libp2p speaks it: `Handshake` proves who is there, `Channel` keeps what follows secret."""

from __future__ import annotations

from swarmnode.protocols.connection.noise_channel import MAX_FRAME_BYTES, MAX_PLAIN_BYTES, Channel
from swarmnode.protocols.connection.noise_handshake import (
    MAX_HANDSHAKE_BYTES,
    PROTOCOL,
    Handshake,
    Identity,
    Secure,
)

__all__ = [
    "MAX_FRAME_BYTES",
    "MAX_HANDSHAKE_BYTES",
    "MAX_PLAIN_BYTES",
    "PROTOCOL",
    "Channel",
    "Handshake",
    "Identity",
    "Secure",
]
