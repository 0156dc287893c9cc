"""Two connection machines back to back: handshake, streams, back-pressure, silence, faults."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.connection import connection as module
from swarmnode.protocols.connection.multistream import line
from swarmnode.protocols.connection.vocabulary import (
    Alive,
    Attend,
    Begin,
    BytesIn,
    BytesOut,
    Close,
    Closed,
    Consumed,
    DataIn,
    Drained,
    EndWrite,
    Flush,
    Lost,
    OpenStream,
    PipeFull,
    Quiet,
    ResetStream,
    Secured,
    Send,
    StreamEnded,
    StreamLost,
    StreamOpened,
)
from swarmnode.protocols.connection.yamux_frames import DATA, GO_AWAY, PING, SYN, WINDOW_UPDATE, header
from swarmnode.testing.connection_pair import ConnectionPair, End
from swarmnode.values.errors import PeerFault, Refused, Unavailable

TRACE = Path(__file__).parents[3] / "traces" / "connection_v1.json"


def pair(**options) -> ConnectionPair:
    return ConnectionPair(**options).begin()


def opened(both: ConnectionPair, protocol: str = "/echo/1", handle: int = 2) -> ConnectionPair:
    both.post(both.dialler, OpenStream(handle, (protocol,)))
    both.run()
    both.now += 1.0
    return both


def forged(both: ConnectionPair, *frames: bytes) -> None:
    """The listener hears what the dialler's machine would never say."""
    for chunk in both.dialler.machine._session._channel.seal(frames):
        both.post(both.listener, BytesIn(chunk))
    both.post(both.listener, Flush())


def passes(both: ConnectionPair, seconds: int) -> None:
    """Time passes for the listener, which hears of its peer but gets no answers."""
    for _ in range(seconds):
        both.now += 1.0
        both.post(both.listener, BytesIn(b""))
        both.post(both.listener, None)


# The handshake.


def test_both_ends_prove_who_they_are() -> None:
    both = pair()
    (dialler,), (listener,) = both.dialler.of(Secured), both.listener.of(Secured)
    assert dialler.peer == both.listener.peer_id and listener.peer == both.dialler.peer_id
    assert dialler.handshake_hash == listener.handshake_hash and len(dialler.handshake_hash) == 32
    assert dialler.muxer_early and listener.muxer_early


def test_the_round_trip_is_measured_at_once() -> None:
    both = pair()
    assert both.dialler.of(Alive) == [Alive(0.0)] == both.listener.of(Alive)


def test_peers_that_know_no_early_muxers_negotiate_in_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only one end's Noise payload lists muxers, as with py-libp2p.
    for quiet_end in (0, 1):
        both = ConnectionPair()
        both.ends[quiet_end].machine._securing._handshake._muxers = ()
        opened(both.begin())
        assert not both.dialler.of(Secured)[0].muxer_early
        assert both.dialler.of(StreamOpened) == [StreamOpened(2, "/echo/1", False)]


def test_the_wrong_peer_is_not_talked_to() -> None:
    both = pair(expected=ConnectionPair(seeds=(3, 4)).dialler.peer_id)
    assert both.closed[0].code == "wrong_peer" and not both.dialler.of(Secured)


def test_a_connection_to_oneself_is_refused() -> None:
    both = pair(seeds=(1, 1))
    assert isinstance(both.closed[0], Refused) and both.closed[0].code == "self_dial"


@pytest.mark.parametrize("said", [b"", b"\x13/multistream/1.0.0\n"])
def test_a_slow_handshake_is_given_up(said: bytes) -> None:
    machine = ConnectionPair().listener.machine
    machine.handle(Begin(), 0.0)
    machine.handle(BytesIn(said), 0.0)
    for second in range(1, 10):
        assert not any(isinstance(e, Closed) for e in machine.handle(BytesIn(b"") if said else None, second))
    assert machine.deadline == 10.0
    (closed,) = machine.handle(None, 10.0)
    assert closed.error.code == "handshake_timeout"
    assert machine.deadline is None and machine.handle(BytesIn(b"x"), 11.0) == []


def test_a_connection_that_nobody_attends_to_is_dropped() -> None:
    both = pair(attends=False)
    assert both.dialler.of(Secured) and both.closed == (False, False)
    both.wait(both.dialler, 11.0)
    assert both.closed[0].code == "not_attended"


def test_what_comes_before_somebody_attends_is_kept_and_bounded() -> None:
    both = pair(attends=False)
    both.post(both.dialler, Attend())
    opened(both)
    both.post(both.dialler, Send(2, b"early"))
    both.run()
    assert not both.listener.of(StreamOpened)
    both.post(both.listener, Attend())
    both.run()
    assert both.listener.received == {1: bytearray(b"early")}
    late = pair(attends=False)
    late.post(late.listener, BytesIn(bytes(module.MAX_HELD + 1)))
    assert late.closed[1].code == "not_attended"


def test_a_pipe_that_breaks_early_is_told() -> None:
    both = ConnectionPair()
    both.post(both.dialler, Begin())
    both.post(both.dialler, Lost("reset by peer"))
    assert both.closed[0].code == "connection_lost" and "reset by peer" in both.closed[0].message


# Streams.


def test_what_is_sent_goes_with_the_offer_and_comes_back() -> None:
    both = pair()
    both.post(both.dialler, OpenStream(2, ("/echo/1",)))
    both.post(both.dialler, Send(2, b"hello"))
    both.post(both.dialler, Flush())
    both.post(both.listener, BytesIn(bytes(both.dialler.wire)))
    both.dialler.wire.clear()
    assert both.listener.told[-2:] == [StreamOpened(1, "/echo/1", True), DataIn(1, b"hello")]
    both.post(both.listener, Send(1, b"world"))
    both.run()
    assert both.dialler.told[-2:] == [StreamOpened(2, "/echo/1", False), DataIn(2, b"world")]


def test_both_ends_may_open_streams() -> None:
    both = opened(pair())
    both.post(both.listener, OpenStream(2, ("/echo/1",)))
    both.run()
    assert both.dialler.protocols == {2: "/echo/1", 1: "/echo/1"} == both.listener.protocols


def test_the_first_protocol_that_the_peer_speaks_is_taken_and_data_wait_for_it() -> None:
    both = pair(serves=("/echo/2", "/echo/1"))
    both.post(both.dialler, OpenStream(2, ("/echo/3", "/echo/2", "/echo/1")))
    both.post(both.dialler, Send(2, b"da"))
    both.post(both.dialler, Send(2, b"ta"))
    assert both.dialler.machine.waiting(2) >= 4
    both.post(both.dialler, EndWrite(2))
    both.run()
    assert both.dialler.of(StreamOpened) == [StreamOpened(2, "/echo/2", False)]
    assert both.listener.received == {1: bytearray(b"data")} and both.listener.of(StreamEnded)


@pytest.mark.parametrize("protocols", [("/nobody/1",), ("/nobody/1", "/nobody/2")])
def test_protocols_that_the_peer_does_not_speak(protocols: tuple[str, ...]) -> None:
    both = pair()
    both.post(both.dialler, OpenStream(2, protocols))
    both.run()
    (lost,) = both.dialler.of(StreamLost)
    assert lost.error.code == "protocol_unsupported" and both.closed == (False, False)
    assert both.listener.of(StreamOpened) == [] == both.listener.of(StreamLost)
    assert not both.listener.machine._session._streams._by_handle


def test_a_stream_is_closed_by_halves() -> None:
    both = opened(pair())
    both.post(both.dialler, Send(2, b"question"))
    both.post(both.dialler, EndWrite(2))
    both.post(both.dialler, Send(2, b"ignored"))
    both.run()
    assert both.listener.of(StreamEnded) == [StreamEnded(1)] and not both.listener.of(StreamLost)
    both.post(both.listener, Send(1, b"answer"))
    both.post(both.listener, EndWrite(1))
    both.run()
    assert both.dialler.received == {2: bytearray(b"answer")}
    assert both.dialler.told[-2:] == [StreamEnded(2), StreamLost(2, None)]
    assert both.listener.told[-1] == StreamLost(1, None)


def test_the_end_does_not_come_together_with_the_answer_to_the_offer() -> None:
    # js-libp2p (3.3) does not notice it then.
    both = pair()
    both.post(both.dialler, OpenStream(2, ("/echo/1",)))
    both.post(both.dialler, EndWrite(2))
    both.run()
    assert both.dialler.protocols and both.listener.of(StreamEnded) == [StreamEnded(1)]
    both.post(both.listener, Send(1, b"all"))
    both.post(both.listener, EndWrite(1))
    both.post(both.listener, Send(1, b"ignored"))
    both.run()
    assert both.dialler.received == {2: bytearray(b"all")} and not both.dialler.of(StreamEnded)
    both.advance(0.05, step=0.05)
    assert both.dialler.told[-2:] == [StreamEnded(2), StreamLost(2, None)]
    assert both.listener.told[-1] == StreamLost(1, None)


def test_a_reset_reaches_the_other_end() -> None:
    both = opened(pair())
    both.post(both.dialler, Send(2, bytes(1 << 20)))
    both.post(both.dialler, ResetStream(2))
    both.run()
    assert both.dialler.of(StreamLost)[0].error.code == "stream_given_up"
    assert both.listener.of(StreamLost)[0].error.code == "stream_reset"
    assert both.listener.received == {}
    for event in (Send(2, b"x"), EndWrite(2), ResetStream(2), Consumed(2, 5)):
        both.post(both.dialler, event)
    assert len(both.dialler.of(StreamLost)) == 1 and both.closed == (False, False)


def test_a_writer_is_told_when_little_waits_again() -> None:
    both = opened(pair())
    both.listener.consumes = False
    both.post(both.dialler, Send(2, bytes(3 << 20)))
    both.run()
    assert both.dialler.machine.waiting(2) > 2 << 20 and not both.dialler.of(Drained)
    both.listener.consumes = True
    both.post(both.listener, Consumed(1, len(both.listener.received[1])))
    both.run()
    assert both.dialler.of(Drained) == [Drained(2)] and both.dialler.machine.waiting(2) == 0
    assert len(both.listener.received[1]) == 3 << 20


def test_a_full_pipe_is_not_written_to() -> None:
    both = opened(pair())
    both.post(both.dialler, PipeFull(True))
    both.post(both.dialler, Send(2, bytes(100_000)))
    both.post(both.dialler, Flush())
    assert not both.dialler.wire and both.dialler.machine.waiting(2) == 100_000
    both.post(both.dialler, PipeFull(False))
    assert len(both.dialler.wire) > 100_000


def test_a_large_write_leaves_in_batches() -> None:
    both = opened(pair())
    both.post(both.dialler, Send(2, bytes(900_000)))
    both.post(both.dialler, Flush())
    first = len(both.dialler.wire)
    assert first < 400_000 and both.dialler.machine.deadline == 0.0
    both.run()
    assert len(both.listener.received[1]) == 900_000
    assert both.dialler.machine.deadline > both.now


def test_an_inbound_stream_has_to_say_what_it_is_for_in_time() -> None:
    both = pair()
    forged(both, header(WINDOW_UPDATE, SYN, 1, 0))
    forged(both, header(DATA, 0, 1, 20) + line("/multistream/1.0.0"))
    assert len(both.listener.machine._session._streams) == 1
    passes(both, 9)
    assert len(both.listener.machine._session._streams) == 1
    passes(both, 1)
    assert len(both.listener.machine._session._streams) == 0 and both.closed == (False, False)


def test_an_offer_that_is_never_answered_fails() -> None:
    both = pair()
    both.post(both.dialler, OpenStream(2, ("/echo/1",)))
    both.post(both.dialler, Flush())
    both.dialler.wire.clear()
    for _ in range(31):
        both.now += 1.0
        both.post(both.dialler, BytesIn(b""))  # the peer is there: it only says nothing about this stream
        both.post(both.dialler, None)
    assert both.dialler.of(StreamLost)[0].error.code == "negotiation_timeout"


def test_garbage_on_a_stream_costs_that_stream_only() -> None:
    both = opened(pair())
    forged(both, header(DATA, SYN, 9, 14) + b"GET / HTTP/1.1")
    assert both.closed == (False, False) and len(both.listener.machine._session._streams) == 1


# Signs of life.


def test_an_idle_connection_stays_up() -> None:
    both = pair()
    both.advance(120.0)
    assert both.closed == (False, False)
    assert not both.dialler.of(Quiet) and not both.listener.of(Quiet)
    assert 35 <= len(both.dialler.of(Alive)) + len(both.listener.of(Alive)) <= 85


def test_a_dead_peer_is_noticed() -> None:
    both = opened(pair())
    both.wait(both.dialler, 20.0)
    assert [quiet.seconds for quiet in both.dialler.of(Quiet)] == [4.25, 5.25, 6.25, 7.25, 8.25, 9.25]
    assert both.closed[0].code == "peer_silent" and isinstance(both.closed[0], Unavailable)
    assert both.dialler.told[-2:] == [StreamLost(2, both.closed[0]), Closed(both.closed[0])]


# The end.


def test_an_orderly_end_writes_what_has_gathered() -> None:
    both = opened(pair())
    both.post(both.dialler, Send(2, b"last words"))
    both.post(both.dialler, Close())
    both.run()
    assert both.listener.received == {1: bytearray(b"last words")}
    assert both.dialler.told[-2].error.code == "connection_closed" and both.closed[0] is None
    assert both.closed[1] is False, "a stream goes on until the pipe is gone, or for ten seconds"
    both.post(both.listener, Lost("closed"))
    assert both.closed[1] is None and both.listener.of(StreamLost)[0].error.code == "connection_lost"


def test_a_peer_that_goes_away_is_let_go() -> None:
    both = pair()
    both.post(both.dialler, Close())
    both.run()
    assert both.closed == (None, None)
    lingering = opened(pair())
    lingering.post(lingering.dialler, Close())
    lingering.run()
    passes(lingering, 9)
    assert lingering.closed[1] is False
    passes(lingering, 1)
    assert lingering.closed[1] is None


def test_a_fault_of_the_peer_ends_the_connection_and_both_learn_why() -> None:
    both = opened(pair())
    forged(both, header(DATA, 0, 1, 64 << 20))
    both.run()
    assert isinstance(both.closed[1], PeerFault) and both.closed[1].code == "window_overrun"
    assert both.listener.told[-2:] == [StreamLost(1, both.closed[1]), Closed(both.closed[1])]
    assert both.closed[0].code == "peer_protocol_error"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (header(GO_AWAY, 0, 0, 2), "peer_internal_error"),
        (header(GO_AWAY, 0, 0, 77), "peer_internal_error"),
        (header(PING, SYN, 0, 1) * 500, "ping_flood"),
    ],
)
def test_other_ends(frame: bytes, code: str) -> None:
    both = pair()
    forged(both, frame)
    assert both.closed[1].code == code


def test_a_damaged_record_ends_the_connection() -> None:
    both = opened(pair())
    both.post(both.dialler, Send(2, b"secret"))
    both.post(both.dialler, Flush())
    both.dialler.wire[-1] ^= 1
    both.run()
    assert both.closed[1].code == "bad_record"


# Arbitrary cuts, many streams, noise.


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_cuts_of_the_bytes_and_many_streams(seed: int) -> None:
    rng = random.Random(seed)
    both = ConnectionPair(serves=("/a", "/b"))
    for end in both.ends:
        both.post(end, Begin())
    sizes = (rng.choice((1, 7, 100, 5000, 70_000)) for _ in itertools.count())
    both.run(sizes)
    sent: dict[tuple[End, int], bytes] = {}
    for index in range(rng.randrange(1, 12)):
        end, handle = rng.choice(both.ends), 2 * index + 2
        both.post(end, OpenStream(handle, rng.choice((("/a",), ("/x", "/b")))))
        sent[end, handle] = b"".join(
            rng.randbytes(rng.choice((1, 100, 70_000))) for _ in range(rng.randrange(5))
        )
        for start in range(0, len(sent[end, handle]), 40_000):
            both.post(end, Send(handle, sent[end, handle][start : start + 40_000]))
        both.post(end, EndWrite(handle))
    both.run(sizes)
    for end in both.ends:
        wanted = sorted(data for (opener, _), data in sent.items() if opener is not end)
        inbound = {handle for handle in end.protocols if handle % 2}
        assert sorted(bytes(end.received.get(handle, b"")) for handle in inbound) == wanted
        assert len(end.of(StreamEnded)) == len(wanted)
        for handle in inbound:
            both.post(end, EndWrite(handle))
    both.now += 1.0
    both.run(sizes)
    for end, other in (both.ends, both.ends[::-1]):
        lost = end.of(StreamLost)
        assert len(lost) == len(sent) and all(loss.error is None for loss in lost)
        assert len(end.machine._session._streams) == 0 == end.machine._session._yamux.unread
        assert other.machine._session._yamux.waiting == 0


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.booleans(), st.integers(1, 50))
def test_noise_instead_of_a_handshake(noise: bytes, dials: bool, cut: int) -> None:
    both = ConnectionPair()
    end = both.ends[0 if dials else 1]
    both.post(end, Begin())
    for start in range(0, len(noise), cut):
        both.post(end, BytesIn(noise[start : start + cut]))
    assert len(end.of(Closed)) <= 1 and not end.of(Secured)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 15), st.integers(0, 4), st.binary(max_size=80))))
def test_noise_within_the_channel(frames: list[tuple[int, int, int, bytes]]) -> None:
    both = opened(pair())
    channel = both.dialler.machine._session._channel
    for kind, flags, number, body in frames:
        data = header(kind, flags, number, len(body)) + (body if kind == DATA else b"")
        for chunk in channel.seal([data]):
            both.post(both.listener, BytesIn(chunk))
        both.post(both.listener, Flush())
    told = both.listener.told
    closed = [index for index, effect in enumerate(told) if isinstance(effect, Closed)]
    assert closed in ([], [len(told) - 1]), "nothing comes after the end"
    lost = [effect.stream for effect in told if isinstance(effect, StreamLost)]
    assert len(lost) == len(set(lost))
    for stream in lost:
        last = max(i for i, effect in enumerate(told) if getattr(effect, "stream", None) == stream)
        assert isinstance(told[last], StreamLost)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_on_the_wire_never_passes(data: st.DataObject) -> None:
    both = opened(pair())
    payload = bytes(range(256)) * 8
    both.post(both.dialler, Send(2, payload))
    both.post(both.dialler, Flush())
    wire = both.dialler.wire
    kind = data.draw(st.sampled_from(["flip", "cut", "twice"]))
    at = data.draw(st.integers(0, len(wire) - 1))
    if kind == "flip":
        wire[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del wire[at : at + data.draw(st.integers(1, 20))]
    else:
        wire.extend(bytes(wire))
    both.run()
    got = bytes(both.listener.received.get(1, b""))
    assert got == payload[: len(got)]
    if kind == "twice":
        assert both.closed[1].code == "bad_record"


# Golden bytes.


def conversation() -> tuple[ConnectionPair, list[dict[str, str]]]:
    """What both ends put on the wire, from fixed keys: handshake, a stream each way, its end, go-away."""
    both = ConnectionPair(seeds=(1, 2))
    trace: list[dict[str, str]] = []
    original = both._execute

    def execute(end: End, effect: object) -> None:
        if isinstance(effect, BytesOut):
            said = b"".join(effect.chunks)
            trace.append({"end": "dialler" if end is both.dialler else "listener", "bytes": said.hex()})
        original(end, effect)

    both._execute = execute  # type: ignore[method-assign]
    both.begin()
    both.post(both.dialler, OpenStream(2, ("/echo/1",)))
    both.post(both.dialler, Send(2, b"question"))
    both.post(both.dialler, EndWrite(2))
    both.run()
    both.post(both.listener, Send(1, b"answer"))
    both.post(both.listener, EndWrite(1))
    both.run()
    both.now += 1.0
    both.run()
    both.post(both.dialler, Close())
    both.run()
    return both, trace


def test_golden_bytes_are_said_as_ever() -> None:
    both, trace = conversation()
    golden = json.loads(TRACE.read_text())
    assert both.dialler.of(Secured)[0].handshake_hash.hex() == golden["handshake_hash"]
    assert trace == golden["said"]


def test_golden_bytes_are_understood_as_ever() -> None:
    golden = json.loads(TRACE.read_text())
    for index, name in enumerate(("dialler", "listener")):
        both = ConnectionPair(seeds=(1, 2))
        end = both.ends[index]
        both.post(end, Begin())
        answers = {1: b"answer"} if name == "listener" else {}
        for entry in golden["said"]:
            both.now += 0.5
            both.post(end, None)
            if entry["end"] != name:
                both.post(end, BytesIn(bytes.fromhex(entry["bytes"])))
                for stream, answer in list(answers.items()):
                    if end.of(StreamEnded):
                        both.post(end, Send(stream, answer))
                        both.post(end, EndWrite(stream))
                        del answers[stream]
                both.post(end, Flush())
                if name == "dialler" and end.of(Secured) and 2 not in end.protocols:
                    both.post(end, OpenStream(2, ("/echo/1",)))
                    both.post(end, EndWrite(2))
                    both.post(end, Flush())
        wanted = {2: b"answer"} if name == "dialler" else {1: b"question"}
        assert {stream: bytes(data) for stream, data in end.received.items()} == wanted
        assert both.closed[index] is None
