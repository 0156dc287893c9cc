"""Measuring bandwidth, with peers that keep to the rules and peers that do not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from swarmnode.protocols.swarm.bandwidth import (
    MAX_BYTES,
    REQUEST_BYTES,
    Transfer,
    decode_transfer,
    encode_transfer,
)
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.services.measure_bandwidth import (
    ALL_A_MINUTE,
    MAX_SERVING,
    SECONDS,
    SERVE_SECONDS,
    TRANSFERS_A_MINUTE,
    MeasureBandwidth,
)
from swarmnode.testing.fake_host import DELAY, FakeNetwork, FakeStream
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable

PROTOCOL = protocol_id("bandwidth/1", "")


class Told:
    """A receiver that keeps all it is told."""

    def __init__(self) -> None:
        self.data, self.ends, self.lost_with = b"", 0, []  # type: ignore[var-annotated]

    def received(self, data: bytes) -> None:
        self.data += data

    def ended(self) -> None:
        self.ends += 1

    def lost(self, error: SwarmnodeError | None) -> None:
        self.lost_with.append(error)

    def drained(self) -> None:
        pass


class Pair:
    def __init__(self) -> None:
        self.clock = Clock()
        network = FakeNetwork(self.clock)
        self.ours, self.theirs = (network.host(f"/ip4/10.0.0.{n}/tcp/1") for n in (1, 2))
        network.join(self.ours, self.theirs, self.theirs.listening[0])
        self.faults: list[SwarmnodeError] = []
        self.asking = MeasureBandwidth(self.ours, self.clock)
        self.serving = MeasureBandwidth(
            self.theirs, self.clock, "", lambda peer, error: self.faults.append(error)
        )
        self.serving.start()

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / DELAY) + 1):
            self.clock.advance(DELAY)

    def outcome(self, deferred: Deferred[Any], seconds: float = 2 * SECONDS) -> Any:
        ends: list[Any] = []
        deferred.addBoth(ends.append)
        self.run(seconds)
        assert len(ends) == 1
        return ends[0]

    def open(self) -> tuple[FakeStream, Told]:
        told, opened = Told(), []  # type: ignore[var-annotated]
        self.ours.open(self.theirs.peer_id, (PROTOCOL,), told).addCallback(opened.append)
        self.run(DELAY)
        return opened[0], told


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_both_ways_are_measured(pair: Pair) -> None:
    measured = pair.outcome(pair.asking.measure(pair.theirs.peer_id, 1000))
    # Down: the request goes there and the bytes come back; up: the bytes go and their number comes back. What
    # waits for the stream to open on the other side takes its time too.
    assert measured.down == pytest.approx(1000 / (2 * DELAY), rel=0.6)
    assert measured.up == pytest.approx(1000 / (2 * DELAY), rel=0.6)
    assert pair.ours.streams == [] and pair.theirs.streams == [] and pair.faults == []


def test_a_peer_without_the_protocol_is_an_error(pair: Pair) -> None:
    pair.serving.stop()
    assert pair.outcome(pair.asking.measure(pair.theirs.peer_id)).value.code == "protocol_unsupported"


def test_who_says_nothing_is_given_up(pair: Pair) -> None:
    pair.theirs.serve(PROTOCOL, lambda stream: Told())
    failure = pair.outcome(pair.asking.measure(pair.theirs.peer_id))
    assert isinstance(failure.value, Unavailable) and failure.value.code == "timeout"
    assert pair.ours.streams == []


def test_a_slow_link_is_measured_by_what_got_through(pair: Pair) -> None:
    def half(stream: Any) -> Told:
        stream.write(bytes(500))
        return Told()

    pair.theirs.serve(PROTOCOL, half)
    ends: list[Any] = []
    pair.asking._ask(pair.theirs.peer_id, Transfer(False, 1000)).addBoth(ends.append)
    pair.run(SECONDS + 1)
    assert ends == [pytest.approx(500 / SECONDS, rel=0.1)]


def test_a_transfer_that_ends_too_early_is_an_error(pair: Pair) -> None:
    def short(stream: Any) -> Told:
        stream.write(bytes(10))
        stream.end()
        return Told()

    pair.theirs.serve(PROTOCOL, short)
    assert pair.outcome(pair.asking.measure(pair.theirs.peer_id)).value.code == "stream_ended"


def test_a_peer_that_counts_wrong_is_told_so(pair: Pair) -> None:
    def liar(stream: Any) -> Told:
        stream.write((999).to_bytes(4, "big"))
        return Told()

    pair.theirs.serve(PROTOCOL, liar)
    ends: list[Any] = []
    pair.asking._ask(pair.theirs.peer_id, Transfer(True, 1000)).addBoth(ends.append)
    pair.run(1)
    assert isinstance(ends[0].value, PeerFault)


def test_giving_up_ends_the_stream(pair: Pair) -> None:
    measuring = pair.asking.measure(pair.theirs.peer_id, 1 << 20)
    measuring.addErrback(lambda why: None)
    pair.run(DELAY)
    measuring.cancel()
    pair.run(1)
    assert pair.ours.streams == [] and pair.theirs.streams == []


# Hostile askers.


@pytest.mark.parametrize(
    "request_",
    [b"\x02\0\0\0\x01", b"\0\0\0\0\0", b"\0" + (MAX_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\0\x05xx"],
    ids=["direction", "nothing", "too-much", "more-than-announced"],
)
def test_who_breaks_the_rules_is_reset_and_penalised(pair: Pair, request_: bytes) -> None:
    stream, told = pair.open()
    stream.write(request_)
    pair.run(1)
    assert told.lost_with and [error.code for error in pair.faults] == ["bad_message"]


def test_more_bytes_than_announced_upwards_are_a_fault(pair: Pair) -> None:
    stream, _ = pair.open()
    stream.write(encode_transfer(Transfer(True, 4)) + b"12345")
    pair.run(1)
    assert [error.code for error in pair.faults] == ["bad_message"]


def test_an_asker_that_dawdles_is_cut_off(pair: Pair) -> None:
    stream, told = pair.open()
    stream.write(b"\0")
    pair.run(SERVE_SECONDS + 1)
    assert len(told.lost_with) == 1 and pair.theirs.streams == []


def test_there_is_room_for_so_many_at_once(pair: Pair) -> None:
    opened = [pair.open() for _ in range(MAX_SERVING + 1)]
    pair.run(1)
    assert [bool(told.lost_with) for _, told in opened] == [False] * MAX_SERVING + [True]


def test_nobody_may_ask_all_the_time(pair: Pair) -> None:
    ends: list[Any] = []
    for _ in range(TRANSFERS_A_MINUTE + 1):
        pair.asking._ask(pair.theirs.peer_id, Transfer(False, 10)).addBoth(ends.append)
        pair.run(0.1)
    assert [isinstance(end, float) for end in ends] == [True] * TRANSFERS_A_MINUTE + [False]


def test_many_together_may_not_ask_for_more_either() -> None:
    clock = Clock()
    network = FakeNetwork(clock)
    server = network.host("/ip4/10.0.0.1/tcp/1")
    MeasureBandwidth(server, clock).start()
    ends: list[Any] = []
    for number in range(ALL_A_MINUTE // TRANSFERS_A_MINUTE + 1):
        asker = network.host(f"/ip4/10.0.1.{number}/tcp/1")
        network.join(asker, server, server.listening[0])
        for _ in range(TRANSFERS_A_MINUTE):
            MeasureBandwidth(asker, clock)._ask(server.peer_id, Transfer(False, 10)).addBoth(ends.append)
            for _ in range(6):
                clock.advance(DELAY)
    served = sum(isinstance(end, float) for end in ends)
    assert ALL_A_MINUTE <= served <= ALL_A_MINUTE + 2 < len(ends)


@given(st.binary(min_size=REQUEST_BYTES, max_size=REQUEST_BYTES))
def test_any_request_is_read_or_is_the_peers_fault(data: bytes) -> None:
    try:
        transfer = decode_transfer(data)
    except PeerFault:
        return
    assert encode_transfer(transfer) == data and 0 < transfer.size <= MAX_BYTES


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_in_any_pieces_do_no_harm(pieces: list[bytes]) -> None:
    pair = Pair()
    stream, _ = pair.open()
    for piece in pieces:
        stream.write(piece)
    stream.end()
    pair.run(SERVE_SECONDS + 1)
    assert pair.theirs.streams == []
    assert all(isinstance(error, PeerFault) for error in pair.faults)
