"""Writing to a TCP transport without copying first.

Twisted joins what is written, waits for its next turn and sends 128 KiB at a time: half of what sending in
bulk costs. Where nothing waits in the transport the kernel can have the pieces as they are, now; what it does
not take goes the usual way, so order, back-pressure and errors stay Twisted's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.tcp import Connection

Piece = bytes | bytearray | memoryview
#: Takes pieces, as `socket.sendmsg`: how many bytes of them went. Raises OSError.
Send = Callable[[Sequence[Piece]], int]

#: Less than this is not worth a call of its own: Twisted joins it with what comes later in the turn.
MIN_BYTES = 32 << 10
#: Pieces of one call; systems take 1,024 at least (POSIX: IOV_MAX, 16 at least).
MAX_PIECES = 512


def write_pieces(transport: Any, pieces: Sequence[Piece]) -> None:
    """Write all pieces, in order."""
    if sum(map(len, pieces)) >= MIN_BYTES and len(pieces) <= MAX_PIECES and _is_idle(transport):
        pieces = unsent(transport.socket.sendmsg, pieces)
    if pieces:
        transport.writeSequence(pieces)


def unsent(send: Send, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """What of the pieces `send` does not take in one call. An error is left to whoever sends the rest."""
    try:
        sent = send(pieces)
    except OSError:
        return pieces
    for index, piece in enumerate(pieces):
        if sent < len(piece):
            # Twisted wants `bytes`; a piece is small.
            return [bytes(piece[sent:]), *pieces[index + 1 :]]
        sent -= len(piece)
    return ()


def _is_idle(transport: Any) -> bool:
    """Whether it is a TCP socket of Twisted's with nothing to be sent. (Not what says so to a test or wraps
    one; and sockets of Windows have no `sendmsg`.)"""
    return (
        isinstance(transport, Connection)
        and not transport.TLS
        and bool(transport.connected)
        and not transport.disconnecting
        and not transport.dataBuffer
        and not transport._tempDataBuffer
        and hasattr(transport.socket, "sendmsg")
    )
