"""Connections over a Twisted transport: two of them in memory, on one clock."""

from __future__ import annotations

import logging

import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from swarmnode.interfaces.host import HIGH_WATER
from swarmnode.network.connection import CLOSING_SECONDS, PipedConnection, connect_protocol
from swarmnode.protocols.connection.connection import ConnectionMachine
from swarmnode.protocols.connection.streams import LINGER_SECONDS
from swarmnode.testing.connection_pair import entropy, signer
from swarmnode.values.errors import LocalFault, PeerFault, Refused, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

REMOTE, LOCAL = Multiaddr.parse("/ip4/10.0.0.1/tcp/8810"), Multiaddr.parse("/ip4/10.0.0.2/tcp/5")
#: What the pipe holds before it asks the writer to pause, as Twisted's TCP does.
PIPE_BYTES = 64 << 10


class Pipe:
    """One end's transport."""

    def __init__(self, protocol: PipedConnection) -> None:
        self.protocol, self.buffer, self.writes = protocol, bytearray(), 0
        self.paused = self.asked_to_wait = self.closing = self.aborted = self.stalled = False
        self.producer: object = None

    def registerProducer(self, producer: object, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def writeSequence(self, chunks: tuple[bytes, ...]) -> None:
        self.writes += 1
        self.buffer += b"".join(chunks)
        if len(self.buffer) > PIPE_BYTES and self.producer is not None and not self.asked_to_wait:
            self.asked_to_wait = True
            self.protocol.pauseProducing()

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.aborted = True


class Net:
    """Two ends and the clock that they share."""

    def __init__(self, expected: str | None = None, seeds: tuple[int, int] = (1, 2)) -> None:
        self.clock = Clock()
        self.owners = (Owner(), Owner())
        self.ends: list[PipedConnection] = []
        self.results: list[object] = [None, None]
        for index, seed in enumerate(seeds):
            protocol, secured = connect_protocol(
                index == 0,
                signer(seed),
                self.clock,
                entropy(index),
                expected if index == 0 else None,
                REMOTE,
                LOCAL,
                "tcp",
            )
            secured.addBoth(lambda result, index=index: self.results.__setitem__(index, result))
            protocol.transport = Pipe(protocol)
            self.ends.append(protocol)
        for end in self.ends:
            end.connectionMade()

    def run(self) -> Net:
        """Carry bytes, and make the calls that are due at once, until all is quiet."""
        for _ in range(10_000):
            self.clock.advance(0)
            busy = False
            for end, other in (self.ends, self.ends[::-1]):
                pipe, peer = end.transport, other.transport
                if pipe.buffer and not pipe.stalled and not peer.paused and not peer.aborted:
                    data, pipe.buffer = bytes(pipe.buffer), bytearray()
                    other.dataReceived(data)
                    busy = True
                if not pipe.buffer and pipe.asked_to_wait:
                    pipe.asked_to_wait = False
                    end.resumeProducing()
                    busy = True
            if not busy and not any(call.getTime() <= self.clock.seconds() for call in self.clock.calls):
                return self
        raise AssertionError("the ends do not stop talking")

    def attend(self) -> Net:
        self.run()
        for end, owner in zip(self.ends, self.owners, strict=True):
            end.attend(owner)
        return self.run()

    def drop(self, index: int = 0) -> None:
        self.ends[index].connectionLost(Failure(ConnectionLost()))


class Receiver:
    """Notes what it is told; `stream` is set for inbound ones."""

    def __init__(self) -> None:
        self.data, self.told, self.stream = bytearray(), [], None

    def received(self, data: bytes) -> None:
        self.data += data

    def ended(self) -> None:
        self.told.append("ended")

    def lost(self, error: Exception | None) -> None:
        self.told.append(getattr(error, "code", "over"))

    def drained(self) -> None:
        self.told.append("drained")


class Echo(Receiver):
    def received(self, data: bytes) -> None:
        super().received(data)
        self.stream.write(data)

    def ended(self) -> None:
        super().ended()
        self.stream.end()


class Owner:
    def __init__(self) -> None:
        self.inbound: list = []
        self.closed_with: list = []
        self.rtts: list[float] = []
        self.silences: list[float] = []
        self.refuses: Exception | None = None
        self.receiver: type[Receiver] = Echo

    def serves(self) -> tuple[str, ...]:
        return ("/echo/1",)

    def stream_opened(self, connection: PipedConnection, stream) -> Receiver:
        if self.refuses is not None:
            raise self.refuses
        receiver = self.receiver()
        receiver.stream = stream
        self.inbound.append(receiver)
        return receiver

    def alive(self, connection: PipedConnection, rtt: float) -> None:
        self.rtts.append(rtt)

    def quiet(self, connection: PipedConnection, seconds: float) -> None:
        self.silences.append(seconds)

    def closed(self, connection: PipedConnection, error: Exception | None) -> None:
        self.closed_with.append(error)


def nothing() -> None:
    pass


def opened(net: Net) -> tuple:
    receiver = Receiver()
    stream = net.ends[0].open(("/echo/1",), receiver, lambda: receiver.told.append("opened"))
    return stream, receiver


def test_both_ends_are_told_of_the_secured_connection() -> None:
    net = Net().attend()
    for index, end in enumerate(net.ends):
        assert net.results[index] is end
        info = end.info
        assert info.peer == peer_id(signer(2 - index).public_key)
        assert (info.remote, info.local, info.transport) == (REMOTE, LOCAL, "tcp")
        assert info.inbound is bool(index)
    assert net.ends[0].info.handshake_hash == net.ends[1].info.handshake_hash
    assert net.ends[0].info.number != net.ends[1].info.number
    assert net.owners[0].rtts == [0.0]


def test_the_pipe_is_not_read_until_somebody_attends() -> None:
    net = Net().run()
    assert net.ends[0].transport.paused and net.ends[1].transport.paused
    net.attend()
    assert not net.ends[0].transport.paused
    net.clock.advance(0.5)
    stream, receiver = opened(net)
    stream.write(b"hi")
    net.run()
    assert receiver.data == b"hi"


def test_a_stream_asks_and_is_answered() -> None:
    net = Net().attend()
    stream, receiver = opened(net)
    assert (stream.peer, stream.protocol, stream.link) == (
        net.ends[0].info.peer,
        "/echo/1",
        net.ends[0].info,
    )
    stream.write(b"one ")
    stream.write(b"two")
    assert stream.waiting >= 7
    stream.end()
    stream.write(b"ignored")
    net.run()
    net.clock.advance(LINGER_SECONDS)
    net.run()
    assert receiver.data == b"one two" and receiver.told == ["opened", "ended", "over"]
    assert net.owners[1].inbound[0].told == ["ended", "over"]
    assert stream.waiting == 0 and stream.is_over


def test_what_is_written_in_one_turn_leaves_in_one_write() -> None:
    net = Net().attend()
    stream, receiver = opened(net)
    net.run()
    before = net.ends[0].transport.writes
    for _ in range(5000):  # more than the driver's inbox holds
        stream.write(b"x")
    other, _ = opened(net)
    other.write(b"y")
    net.clock.advance(0)
    assert net.ends[0].transport.writes == before + 1
    net.run()
    assert receiver.data == b"x" * 5000


def test_a_receiver_may_write_more_than_the_inbox_holds_while_it_is_called() -> None:
    class Chatty(Receiver):
        def received(self, data: bytes) -> None:
            for _ in range(6000):
                self.stream.write(b"z")

    net = Net().attend()
    net.owners[1].receiver = Chatty
    stream, receiver = opened(net)
    stream.write(b"go")
    net.run()
    assert receiver.data == b"z" * 6000 and not net.owners[1].closed_with


def test_back_pressure_reaches_from_a_paused_reader_to_the_writer() -> None:
    net = Net().attend()
    net.owners[1].receiver = Receiver
    stream, receiver = opened(net)
    net.run()
    reader = net.owners[1].inbound[0]
    reader.stream.pause()
    written = 0
    while stream.waiting <= HIGH_WATER:
        stream.write(bytes(100_000))
        written += 100_000
        net.run()
    assert len(reader.data) < written and "drained" not in receiver.told
    taken = len(reader.data)
    net.run()
    assert len(reader.data) == taken, "nothing moves while the reader is paused"
    reader.stream.resume()
    net.run()
    assert len(reader.data) == written and receiver.told.count("drained") == 1


def test_a_pipe_that_takes_nothing_keeps_what_is_written() -> None:
    net = Net().attend()
    stream, receiver = opened(net)
    net.run()
    net.ends[0].transport.stalled = True
    stream.write(bytes(3 << 20))
    net.run()
    assert len(net.ends[0].transport.buffer) < 512 << 10 and stream.waiting > 2 << 20
    net.ends[0].transport.stalled = False
    net.run()
    assert len(receiver.data) == 3 << 20


def test_many_streams_share_the_connection() -> None:
    net = Net().attend()
    pairs = [opened(net) for _ in range(300)]
    for index, (stream, _) in enumerate(pairs):
        stream.write(bytes([index % 256]) * 5000)
        stream.end()
    net.run()
    net.clock.advance(LINGER_SECONDS)
    net.run()
    assert all(
        receiver.data == bytes([index % 256]) * 5000 and receiver.told == ["opened", "ended", "over"]
        for index, (_, receiver) in enumerate(pairs)
    )


def test_a_reset_is_told_to_both() -> None:
    net = Net().attend()
    stream, receiver = opened(net)
    net.run()
    stream.write(b"never sent")
    stream.reset()
    net.run()
    assert receiver.told == ["opened", "stream_given_up"]
    assert net.owners[1].inbound[0].told == ["stream_reset"] and not net.owners[1].inbound[0].data
    stream.reset()
    stream.write(b"x")
    stream.end()
    net.run()
    assert net.owners[0].closed_with == []


@pytest.mark.parametrize("error", [Refused("full", code="full"), RuntimeError("a bug")])
def test_an_owner_may_refuse_a_stream(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    net = Net().attend()
    net.owners[1].refuses = error
    _, receiver = opened(net)
    net.run()
    assert receiver.told[-1] == "stream_reset" and not net.owners[0].closed_with
    assert bool(caplog.records) is isinstance(error, RuntimeError)


def test_a_receiver_that_fails_loses_its_stream_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Receiver):
        def received(self, data: bytes) -> None:
            raise RuntimeError("a bug")

    net = Net().attend()
    healthy, unharmed = opened(net)
    net.run()
    net.owners[1].receiver = Broken
    stream, receiver = opened(net)
    stream.write(b"x")
    net.run()
    assert receiver.told == ["stream_reset"] and "a bug" in caplog.text
    healthy.write(b"still here")
    net.run()
    assert unharmed.data == b"still here" and not net.owners[1].closed_with


def test_a_protocol_that_nobody_serves() -> None:
    net = Net().attend()
    receiver = Receiver()
    net.ends[0].open(("/nobody/1",), receiver, nothing)
    net.run()
    assert receiver.told == ["protocol_unsupported"]


def test_the_wrong_peer_fails_the_dial() -> None:
    net = Net(expected=peer_id(signer(9).public_key)).run()
    failure = net.results[0]
    assert isinstance(failure, Failure) and failure.value.code == "wrong_peer"
    assert isinstance(failure.value, PeerFault)
    net.drop(1)
    assert net.results[1].value.code == "connection_lost"


def test_cancelling_drops_the_pipe() -> None:
    net = Net()
    net.ends[0].secured.cancel()
    assert net.ends[0].transport.aborted and isinstance(net.results[0].value, Unavailable)


def test_a_slow_handshake_fails_and_leaves_no_timer() -> None:
    net = Net()
    net.ends[1].transport.stalled = True
    net.run()
    net.clock.advance(10.0)
    assert net.results[0].value.code == "handshake_timeout" and net.ends[0].transport.closing
    net.clock.advance(CLOSING_SECONDS)
    assert net.ends[0].transport.aborted
    net.drop(0)
    net.drop(1)
    assert net.clock.calls == []


def test_closing_writes_what_was_written_and_tells_everybody_once() -> None:
    net = Net().attend()
    stream, receiver = opened(net)
    stream.write(b"last words")
    net.ends[0].close(None)
    assert receiver.told == ["connection_closed"] and net.owners[0].closed_with == [None]
    assert net.ends[0].transport.closing and not net.ends[0].transport.aborted
    net.run()
    assert net.owners[1].inbound[0].data == b"last words"
    net.drop(0)
    net.drop(1)
    assert net.owners[0].closed_with == [None] == net.owners[1].closed_with
    assert net.owners[1].inbound[0].told == ["connection_lost"]
    assert net.clock.calls == []
    late = Receiver()
    net.ends[0].open(("/echo/1",), late, nothing).write(b"x")
    net.clock.advance(0)
    assert late.told == ["connection_closed"]


def test_an_abort_is_at_once() -> None:
    net = Net().attend()
    _, receiver = opened(net)
    net.ends[0].abort()
    assert receiver.told == ["connection_lost"] and net.ends[0].transport.aborted
    assert [error.code for error in net.owners[0].closed_with] == ["connection_lost"]
    net.drop(0)
    net.drop(1)
    assert net.clock.calls == []


def test_a_dead_peer_is_noticed_within_ten_seconds() -> None:
    net = Net().attend()
    _, receiver = opened(net)
    net.run()
    net.clock.pump([0.25] * 48)
    assert net.owners[0].silences == [4.25, 5.25, 6.25, 7.25, 8.25, 9.25]
    assert [error.code for error in net.owners[0].closed_with] == ["peer_silent"]
    assert receiver.told[-1] == "peer_silent" and net.ends[0].transport.aborted


def test_an_idle_connection_costs_few_messages() -> None:
    net = Net().attend()
    before = sum(end.transport.writes for end in net.ends)
    for _ in range(300):
        net.clock.advance(0.2)
        net.run()
    assert sum(end.transport.writes for end in net.ends) - before <= 2 * 2 * 60 / 3
    assert not net.owners[0].closed_with


def test_attending_to_what_is_closed_tells_so() -> None:
    net = Net().run()
    net.drop(0)
    owner = Owner()
    net.ends[0].attend(owner)
    assert [error.code for error in owner.closed_with] == ["connection_lost"]


def test_a_failing_machine_takes_the_connection_with_it_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    net = Net().attend()
    _, receiver = opened(net)
    net.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConnectionMachine, "handle", lambda machine, event, now: 1 / 0)
        net.ends[0].dataReceived(b"x")
    assert receiver.told[-1] == "machine_failed" and net.ends[0].transport.aborted
    assert isinstance(net.owners[0].closed_with[0], LocalFault)
    assert caplog.records and caplog.records[0].levelno == logging.ERROR
