"""Frames between a template renderer and its child: a length (4 bytes, big-endian), then JSON."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

MAX_FRAME_BYTES = 64 << 20
_LENGTH = struct.Struct(">I")


def read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """The next frame, or None where the stream ends, or holds something else."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length) if length <= MAX_FRAME_BYTES else b""
    return json.loads(body) if len(body) == length else None


def frame_bytes(frame: dict[str, Any]) -> bytes:
    """A frame as it is sent."""
    body = json.dumps(frame).encode()
    return _LENGTH.pack(len(body)) + body


def write_frame(stream: IO[bytes], frame: dict[str, Any]) -> None:
    """Send a frame now."""
    stream.write(frame_bytes(frame))
    stream.flush()
