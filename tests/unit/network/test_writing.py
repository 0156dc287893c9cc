"""Writing pieces: all bytes arrive, in order, whatever the kernel takes at once."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport

from swarmnode.network.writing import MAX_PIECES, MIN_BYTES, unsent, write_pieces


class Socket:
    """Takes so many bytes of what it is given."""

    def __init__(self, room: int, error: OSError | None = None) -> None:
        self.room, self.error, self.taken, self.calls = room, error, b"", 0

    def sendmsg(self, pieces: Sequence[bytes]) -> int:
        self.calls += 1
        if self.error is not None:
            raise self.error
        went = b"".join(pieces)[: self.room]
        self.taken += went
        return len(went)


class Transport(Connection):
    """Twisted's transport with no reactor behind it."""

    def __init__(self, socket: Socket, **state: object) -> None:
        self.socket, self.connected, self.disconnecting = socket, True, False
        self.dataBuffer, self._tempDataBuffer, self.left = b"", [], b""
        self.__dict__.update(state)

    def writeSequence(self, pieces: Sequence[bytes]) -> None:
        assert all(type(piece) is bytes for piece in pieces)
        self.left += b"".join(pieces)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(0, 400))
def test_what_is_not_sent_is_the_rest(pieces: list[bytes], room: int) -> None:
    socket = Socket(room)
    rest = unsent(socket.sendmsg, pieces)
    assert socket.taken + b"".join(rest) == b"".join(pieces)
    assert all(rest)


def test_large_writes_go_to_the_socket() -> None:
    pieces = [b"a" * MIN_BYTES, b"b" * 10]
    transport = Transport(Socket(1 << 20))
    write_pieces(transport, pieces)
    assert (transport.socket.taken, transport.left) == (b"".join(pieces), b"")


def test_what_the_socket_does_not_take_goes_through_the_transport() -> None:
    transport = Transport(Socket(MIN_BYTES - 1))
    write_pieces(transport, [b"a" * MIN_BYTES, b"b" * 10])
    assert transport.socket.taken == b"a" * (MIN_BYTES - 1)
    assert transport.left == b"a" + b"b" * 10


def test_an_error_is_left_to_the_transport() -> None:
    for error in (BlockingIOError(11, "later"), BrokenPipeError(32, "gone")):
        transport = Transport(Socket(1 << 20, error))
        write_pieces(transport, [b"a" * MIN_BYTES])
        assert transport.left == b"a" * MIN_BYTES


def test_nothing_overtakes_what_waits() -> None:
    large = [b"a" * MIN_BYTES]
    for state in (
        {"dataBuffer": b"first"},
        {"_tempDataBuffer": [b"first"]},
        {"disconnecting": True},
        {"connected": False},
        {"TLS": True},
    ):
        transport = Transport(Socket(1 << 20), **state)
        write_pieces(transport, large)
        assert (transport.socket.calls, transport.left) == (0, large[0]), state


def test_little_or_splintered_goes_the_usual_way() -> None:
    for pieces in ([b"a" * (MIN_BYTES - 1)], [b"a" * MIN_BYTES] * (MAX_PIECES + 1)):
        transport = Transport(Socket(1 << 30))
        write_pieces(transport, pieces)
        assert (transport.socket.calls, transport.left) == (0, b"".join(pieces))


def test_other_transports_are_written_to_as_ever() -> None:
    transport = StringTransport()
    write_pieces(transport, [b"a" * MIN_BYTES, b"b"])
    assert transport.value() == b"a" * MIN_BYTES + b"b"
