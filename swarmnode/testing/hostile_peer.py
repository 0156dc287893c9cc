"""A peer that breaks the rules on purpose, over a plain TCP socket: our own handshake, and then whatever
frames one likes. Blocking and single-threaded, for tests of real nodes from outside.

    with HostilePeer(port) as peer:
        peer.secure().frames(header(PING, SYN, 0, 1) * 10_000)
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Sequence

from nacl.signing import SigningKey

from swarmnode.protocols.connection.multistream import Offer
from swarmnode.protocols.connection.noise import Channel
from swarmnode.protocols.connection.securing import Securing
from swarmnode.protocols.connection.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameReader,
    Header,
    header,
)
from swarmnode.protocols.identity.handover import Signer
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.peer_id import peer_id

#: How long to wait for what the node has to say, seconds.
PATIENCE = 5.0
READ_BYTES = 1 << 16
#: What this end grants for each stream with its first frame, and what the node does before it says more.
WINDOW, START_ROOM = 1 << 20, 256 << 10


def make_signer(seed: bytes | None = None) -> Signer:
    """A new identity, or the one made of a seed of 32 bytes."""
    key = SigningKey(seed or os.urandom(32))
    return Signer(bytes(key.verify_key), lambda message: bytes(key.sign(message).signature))


class HostilePeer:
    """One connection to a node on this machine. identity: who it is; a new one by default.

    said: what came on each stream. reset: streams that the node reset. gone_away: the codes of the node's
    go-aways. arrived: streams that the node opened; they are reset unless `serves` names their protocol, in
    which case its bytes are sent and the stream is ended.
    """

    def __init__(self, port: int, identity: Signer | None = None) -> None:
        self.identity = identity or make_signer()
        self.peer_id = peer_id(self.identity.public_key)
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setblocking(False)
        self._channel: Channel | None = None
        self._reader = FrameReader()
        self._offers: dict[int, Offer] = {}
        self._answers: dict[int, bytearray] = {}
        self._room: dict[int, int] = {}
        self._data_for = 0
        self._next = 1
        self.serves: dict[str, bytes | Callable[[], bytes]] = {}
        self.said: dict[int, bytearray] = {}
        self.reset: set[int] = set()
        self.ended: set[int] = set()
        self.gone_away: list[int] = []
        self.arrived: list[int] = []
        self.pongs = 0
        self.is_closed = False
        self._unsent, self._is_sending, self._is_reading = bytearray(), False, False
        #: What came before the connection was secured.
        self.raw = b""

    def __enter__(self) -> HostilePeer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up without a word."""
        self._socket.close()
        self.is_closed = True

    # Bytes.

    def send(self, data: bytes, seconds: float = PATIENCE) -> bool:
        """Bytes for the pipe as they are, taking in what comes meanwhile; whether all of them went."""
        # What is answered while reading goes behind what is being written.
        self._unsent += data
        if self._is_sending:
            return True
        self._is_sending, end = True, time.monotonic() + seconds
        while self._unsent and not self.is_closed and time.monotonic() < end:
            readable, writable, _ = select.select([self._socket], [self._socket], [], 0.1)
            if readable and not self._is_reading:
                self._read()
            if writable and not self.is_closed:
                try:
                    del self._unsent[: self._socket.send(self._unsent[: 1 << 20])]
                except BlockingIOError:
                    continue
                except OSError:
                    self.is_closed = True
        self._is_sending = False
        return not self._unsent

    def send_blindly(self, data: bytes, seconds: float) -> int:
        """Bytes for the pipe without ever reading; how many of them went."""
        sent, end = 0, time.monotonic() + seconds
        while sent < len(data) and not self.is_closed and time.monotonic() < end:
            _, writable, _ = select.select([], [self._socket], [], 0.1)
            try:
                sent += self._socket.send(data[sent : sent + (1 << 20)]) if writable else 0
            except BlockingIOError:
                continue
            except OSError:
                self.is_closed = True
        return sent

    def pump(self, seconds: float, until: Callable[[], object] = lambda: False) -> None:
        """Take in what comes for so long, or until something is so."""
        end = time.monotonic() + seconds
        while not self.is_closed and not until() and (left := end - time.monotonic()) > 0:
            if select.select([self._socket], [], [], min(left, 0.1))[0]:
                self._read()

    def closed_within(self, seconds: float) -> bool:
        """Whether the node hangs up."""
        self.pump(seconds)
        return self.is_closed

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.is_closed = True
        elif self._channel is not None:
            self._is_reading = True
            self._plain(self._channel.open(data))
            self._is_reading = False
        else:
            self.raw += data

    # The handshake.

    def secure(self, securing: Securing | None = None) -> HostilePeer:
        """Shake hands; raises AssertionError when the node does not. securing: a bent one."""
        securing = securing or Securing(True, self.identity, os.urandom, None)
        self.send(securing.begin())
        while securing.done is None:
            self.pump(PATIENCE, lambda: self.raw)
            assert self.raw, "the node hung up during the handshake"
            data, self.raw = self.raw, b""
            for chunk in securing.feed(data):
                self.send(chunk)
        self._channel = securing.done.channel
        self._plain(securing.rest)
        return self

    def seal(self, plain: bytes) -> bytes:
        """Plaintext as it goes over the pipe now."""
        assert self._channel is not None
        return b"".join(self._channel.seal([plain]))

    # Frames.

    def frames(self, plain: bytes, seconds: float = PATIENCE) -> bool:
        """yamux frames, or what looks like them; whether they all went."""
        return self.send(self.seal(plain), seconds)

    def open(self, protocol: str, data: bytes = b"") -> int:
        """Open a stream for a protocol, with data behind the offer; its number. Does not wait."""
        number, self._next = self._next, self._next + 2
        offer = self._offers[number] = Offer((protocol,), lazy=True)
        self.said[number] = bytearray()
        self._room[number] = START_ROOM
        self.frames(header(WINDOW_UPDATE, SYN, number, WINDOW))
        self.write(number, offer.begin() + data)
        return number

    def new_stream(self) -> int:
        """The next number, for frames by hand."""
        number, self._next = self._next, self._next + 2
        self.said[number] = bytearray()
        return number

    def write(self, stream: int, data: bytes, seconds: float = PATIENCE) -> bool:
        """Data on a stream that was opened, as its window lets them go; whether all of them went."""
        view, end = memoryview(data), time.monotonic() + seconds
        while view and not self.is_closed and stream not in self.reset and time.monotonic() < end:
            if room := min(self._room[stream], len(view)):
                self._room[stream] -= room
                self.frames(header(DATA, 0, stream, room) + bytes(view[:room]))
                view = view[room:]
            else:
                self.pump(0.1, lambda: self._room[stream] or stream in self.reset)
        return not view

    def end(self, stream: int) -> None:
        """Send no more on a stream."""
        self.frames(header(DATA, FIN, stream, 0))

    def ask(self, protocol: str, data: bytes = b"", *, end: bool = False, seconds: float = PATIENCE) -> bytes:
        """What the node answers on a stream of its own, until it ends or resets the stream."""
        stream = self.open(protocol, data)
        if end:
            self.end(stream)
        self.pump(seconds, lambda: stream in self.reset or stream in self.ended)
        return bytes(self.said[stream])

    def ping(self, seconds: float = PATIENCE) -> bool:
        """Whether the node answers a ping of yamux."""
        before = self.pongs
        self.frames(header(PING, SYN, 0, 7))
        self.pump(seconds, lambda: self.pongs > before)
        return self.pongs > before

    def _plain(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            for item in self._reader.cut(chunk):
                if isinstance(item, bytes):
                    self._data(self._data_for, item)
                else:
                    self._frame(item)

    def _frame(self, head: Header) -> None:
        _, kind, flags, number, length = head
        if kind == PING and not flags & SYN:
            self.pongs += 1
        elif kind == PING:
            self.frames(header(PING, ACK, 0, length))
        elif kind == GO_AWAY:
            self.gone_away.append(length)
        else:
            self._stream_frame(kind, flags, number, length)

    def _stream_frame(self, kind: int, flags: int, number: int, length: int) -> None:
        if kind == DATA:
            self._data_for = number
        elif number in self._room:
            self._room[number] += length
        if flags & SYN and number % 2 == 0:
            self.arrived.append(number)
            self._answers[number] = bytearray()
            self.frames(header(WINDOW_UPDATE, ACK, number, WINDOW))
        if flags & RST:
            self.reset.add(number)
        if flags & FIN:
            self.ended.add(number)

    def _data(self, number: int, piece: bytes) -> None:
        if number in self._answers:
            self._serve(number, piece)
            return
        offer = self._offers.get(number)
        if offer is None:
            self.said.setdefault(number, bytearray()).extend(piece)
            return
        try:
            offer.feed(piece)
        except SwarmnodeError:
            self.reset.add(number)
            del self._offers[number]
            return
        if offer.agreed is not None:
            self.said[number] += offer.rest
            del self._offers[number]

    def _serve(self, number: int, piece: bytes) -> None:
        """What the node opens is offered in one go; the first line of it that is served is answered."""
        heard = self._answers[number]
        heard += piece
        for protocol, answer in self.serves.items():
            line = len(protocol) + 1
            if bytes([line]) + protocol.encode() + b"\n" in heard:
                del self._answers[number]
                data = answer() if callable(answer) else answer
                said = _GREETING + bytes([line]) + protocol.encode() + b"\n" + data
                self.frames(header(DATA, FIN, number, len(said)) + said)
                return
        if len(heard) > len(_GREETING) + 1:
            del self._answers[number]
            self.frames(header(WINDOW_UPDATE, RST, number, 0))


_GREETING = b"\x13/multistream/1.0.0\n"
