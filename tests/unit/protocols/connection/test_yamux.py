"""yamux: the specification's frames, windows that are kept by both ends, and peers that break the rules."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.connection import yamux as receiving
from swarmnode.protocols.connection import yamux_sending as sending
from swarmnode.protocols.connection.yamux import MAX_INBOUND_STREAMS, MAX_UNREAD, Yamux
from swarmnode.protocols.connection.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Arrived,
    Finished,
    FrameReader,
    Gone,
    Ponged,
    Received,
    WentAway,
    header,
)
from swarmnode.protocols.connection.yamux_sending import (
    MAX_STREAMS,
    MAX_UNACKNOWLEDGED,
    MAX_WINDOW,
    START_WINDOW,
    WINDOW_BUDGET,
)
from swarmnode.protocols.connection.yamux_stream import INITIAL_WINDOW, MAX_FRAME_DATA
from swarmnode.values.errors import LocalFault, PeerFault, Unavailable

ALL = 1 << 40


def taken(session: Yamux, limit: int = ALL) -> bytes:
    control, data, _, _ = session.take(limit)
    return b"".join(control) + b"".join(data)


def frames(data: bytes) -> list[tuple[int, int, int, int]]:
    """type, flags, stream, length of each frame."""
    return [item[1:] for item in FrameReader().cut(data) if isinstance(item, tuple)]


def accepted(session: Yamux, number: int = 1) -> Yamux:
    """With a stream that the peer opened."""
    assert session.receive([header(WINDOW_UPDATE, SYN, number, 0)], 0.0) == [Arrived(number)]
    session.accept(number)
    taken(session)
    return session


class Wire:
    """Two sessions; data are checked against the windows that were announced, seen from outside."""

    def __init__(self) -> None:
        self.ends = (Yamux(True), Yamux(False))
        self.readers = (FrameReader(), FrameReader())
        self.windows: list[dict[int, int]] = [{}, {}]  # what each end may still send
        self.events: list[list] = [[], []]
        self.consumes = True

    def move(self, index: int, now: float, limit: int = ALL) -> bool:
        data = taken(self.ends[index], limit)
        for item in self.readers[index].cut(data):
            if isinstance(item, tuple):
                _, kind, flags, number, length = item
                if kind == WINDOW_UPDATE:
                    theirs = self.windows[1 - index]
                    theirs[number] = theirs.get(number, INITIAL_WINDOW) + length
                elif kind == DATA:
                    left = self.windows[index].get(number, INITIAL_WINDOW) - length
                    assert left >= 0, "more than the window in flight"
                    self.windows[index][number] = left
        other = self.ends[1 - index]
        for event in other.receive([data] if data else [], now):
            self.events[1 - index].append(event)
            if isinstance(event, Arrived):
                other.accept(event.stream)
            elif isinstance(event, Received) and self.consumes:
                other.consumed(event.stream, len(event.data), now)
        return bool(data)

    def settle(self, now: float = 0.0, limit: int = ALL) -> None:
        while any([self.move(0, now, limit), self.move(1, now, limit)]):
            pass

    def data(self, index: int, stream: int) -> bytes:
        got = [e.data for e in self.events[index] if isinstance(e, Received) and e.stream == stream]
        return b"".join(got)


def test_headers_are_those_of_the_specification() -> None:
    assert header(DATA, FIN, 3, 5).hex() == "000000040000000300000005"
    assert header(WINDOW_UPDATE, SYN, 1, 0).hex() == "000100010000000100000000"
    assert header(PING, ACK, 0, 0xDEADBEEF).hex() == "0002000200000000deadbeef"
    assert header(GO_AWAY, 0, 0, 1).hex() == "000300000000000000000001"


@given(
    st.lists(st.tuples(st.sampled_from([WINDOW_UPDATE, DATA]), st.binary(max_size=50)), max_size=8), st.data()
)
def test_any_cuts_give_the_same_frames(wanted: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(
        header(kind, 0, 1, len(body)) + (body if kind == DATA else b"") for kind, body in wanted
    )
    reader, headers, bodies, position = FrameReader(), [], b"", 0
    while position < len(stream):
        size = data.draw(st.integers(1, 30))
        for item in reader.cut(stream[position : position + size]):
            if isinstance(item, bytes):
                bodies += item
            else:
                headers.append((item[1], item[4]))
        position += size
    assert headers == [(kind, len(body)) for kind, body in wanted]
    assert bodies == b"".join(body for kind, body in wanted if kind == DATA)


def test_a_stream_goes_both_ways_and_ends_in_order() -> None:
    wire = Wire()
    number = wire.ends[0].open(0.0)
    wire.ends[0].send(number, b"ask")
    wire.settle()
    wire.ends[0].finish(number)
    wire.settle()
    assert wire.events[1] == [Arrived(1), Received(1, b"ask"), Finished(1)]
    wire.ends[1].send(1, b"answer")
    wire.ends[1].finish(1)
    control, data, _, over = wire.ends[1].take(ALL)
    assert over == [1]
    assert wire.ends[0].receive([b"".join([*control, *data])], 0.0) == [
        Received(1, b"answer"),
        Finished(1),
        Gone(1, None),
    ]


def test_the_opener_takes_odd_numbers_and_the_other_even_ones() -> None:
    assert [Yamux(True).open(0.0), Yamux(False).open(0.0)] == [1, 2]


def test_both_ends_announce_their_wider_window_with_their_first_frame() -> None:
    opener, other = Yamux(True), Yamux(False)
    opener.open(0.0)
    first = taken(opener)
    assert frames(first) == [(WINDOW_UPDATE, SYN, 1, START_WINDOW - INITIAL_WINDOW)]
    other.receive([first], 0.0)
    other.accept(1)
    assert frames(taken(other)) == [(WINDOW_UPDATE, ACK, 1, START_WINDOW - INITIAL_WINDOW)]


@pytest.mark.parametrize("sender", [0, 1])
def test_far_more_than_a_window_arrives_whichever_end_sends(sender: int) -> None:
    wire = Wire()
    wire.ends[0].open(0.0)
    wire.settle()
    payload = random.Random(5).randbytes(5 << 20)
    wire.ends[sender].send(1, payload)
    wire.settle(limit=256 << 10)
    assert wire.data(1 - sender, 1) == payload
    assert wire.ends[sender].waiting == 0 and wire.ends[1 - sender].unread == 0


def test_a_reader_that_does_not_consume_stops_the_sender_at_its_window() -> None:
    wire = Wire()
    wire.consumes = False
    wire.ends[0].open(0.0)
    wire.settle()
    wire.ends[0].send(1, bytes(4 << 20))
    wire.settle()
    assert len(wire.data(1, 1)) == START_WINDOW == wire.ends[1].unread
    assert wire.ends[0].queued(1) == (4 << 20) - START_WINDOW
    wire.consumes = True
    wire.ends[1].consumed(1, START_WINDOW, 1.0)
    wire.settle(1.0)
    assert len(wire.data(1, 1)) == 4 << 20


def test_windows_grow_for_fast_streams_only() -> None:
    grown = []
    for pace in (0.001, 10.0):
        session, now, left = accepted(Yamux(False)), 0.0, START_WINDOW
        for _ in range(200):
            now += pace
            session.receive([header(DATA, 0, 1, left // 2) + bytes(left // 2)], now)
            session.consumed(1, left // 2, now)
            left -= left // 2
            left += sum(length for kind, _, _, length in frames(taken(session)) if kind == WINDOW_UPDATE)
        grown.append(left)
    assert grown[0] >= MAX_WINDOW // 2 and grown[1] <= START_WINDOW


def test_the_windows_of_all_streams_stay_within_their_budget() -> None:
    session, windows = Yamux(False), {}
    for number in range(1, 201, 2):
        accepted(session, number)
        windows[number] = INITIAL_WINDOW
    for _ in range(12):
        for number in windows:
            size = INITIAL_WINDOW // 2
            session.receive([header(DATA, 0, number, size) + bytes(size)], 0.0)
            session.consumed(number, size, 0.0)
    assert session._windows <= WINDOW_BUDGET
    for number in windows:
        session.reset(number, 0.0)
    assert session._windows == 0 == session.unread


def test_streams_take_turns() -> None:
    session = Yamux(True)
    numbers = [session.open(0.0) for _ in range(3)]
    taken(session)
    for number in numbers:
        session.send(number, bytes(3 * MAX_FRAME_DATA))
    order = [number for _, _, number, _ in frames(taken(session, 6 * MAX_FRAME_DATA))]
    assert order == numbers * 2


def test_a_large_write_fills_messages_of_the_channel() -> None:
    session = Yamux(True)
    number = session.open(0.0)
    taken(session)
    session.send(number, bytes(200_000))
    assert [length for *_, length in frames(taken(session))] == [65507, 65507, 65507, 3479]


def test_the_end_is_said_in_a_frame_of_its_own() -> None:
    # js-libp2p drops data that come in a frame with the flag.
    session = Yamux(True)
    number = session.open(0.0)
    taken(session)
    session.send(number, b"data")
    session.finish(number)
    assert frames(taken(session)) == [(DATA, 0, number, 4), (WINDOW_UPDATE, FIN, number, 0)]
    session.send(number, b"more")
    session.finish(number)
    assert taken(session) == b""


def test_data_that_come_with_the_end_are_taken() -> None:
    session = accepted(Yamux(False))
    assert session.receive([header(DATA, FIN, 1, 4) + b"da"], 0.0) == [Received(1, b"da")]
    assert session.receive([b"ta"], 0.0) == [Received(1, b"ta"), Finished(1)]


def test_the_backlog_of_unacknowledged_streams_is_kept_and_later_worked_off() -> None:
    session = Yamux(True)
    numbers = [session.open(0.0) for _ in range(MAX_UNACKNOWLEDGED + 3)]
    session.send(numbers[-1], b"last")
    opened = [number for _, flags, number, _ in frames(taken(session)) if flags & SYN]
    assert opened == numbers[:MAX_UNACKNOWLEDGED]
    session.receive([header(WINDOW_UPDATE, ACK, 1, 0), header(WINDOW_UPDATE, RST, 3, 0)], 0.0)
    assert [number for _, _, number, _ in frames(taken(session))] == numbers[-3:-1]
    session.reset(numbers[-1], 0.0)
    session.receive([header(WINDOW_UPDATE, ACK, 5, 0)], 0.0)
    assert taken(session) == b""


def test_a_peer_may_open_so_many_streams_and_no_more() -> None:
    session = Yamux(False)
    for number in range(1, 2 * MAX_INBOUND_STREAMS, 2):
        accepted(session, number)
    assert session.receive([header(WINDOW_UPDATE, SYN, 2 * MAX_INBOUND_STREAMS + 1, 0)], 0.0) == []
    assert frames(taken(session)) == [(WINDOW_UPDATE, RST, 2 * MAX_INBOUND_STREAMS + 1, 0)]


def test_at_most_256_streams_of_the_peer_are_kept_unacknowledged() -> None:
    session = Yamux(False)
    opened = b"".join(header(WINDOW_UPDATE, SYN, number, 0) for number in range(1, 521, 2))
    assert len(session.receive([opened], 0.0)) == MAX_UNACKNOWLEDGED
    assert len(frames(taken(session))) == 260 - MAX_UNACKNOWLEDGED


def test_this_end_may_not_open_more_than_its_streams_either() -> None:
    session = Yamux(True)
    for _ in range(MAX_STREAMS):
        session.open(0.0)
    with pytest.raises(Unavailable, match="1024 streams"):
        session.open(0.0)


def test_pings_are_answered_and_only_the_right_answer_counts() -> None:
    session = Yamux(True)
    assert session.receive([header(PING, SYN, 0, 77)], 0.0) == []
    assert frames(taken(session)) == [(PING, ACK, 0, 77)]
    session.ping(5)
    assert session.receive([header(PING, ACK, 0, 4)], 0.0) == []
    assert session.receive([header(PING, ACK, 0, 5), header(PING, ACK, 0, 5)], 0.0) == [Ponged()]


def test_after_a_go_away_nothing_is_opened() -> None:
    session = Yamux(True)
    assert session.receive([header(GO_AWAY, 0, 0, 0)], 0.0) == [WentAway(0)]
    with pytest.raises(Unavailable, match="no more streams"):
        session.open(0.0)


def test_too_much_waiting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_WAITING", 1000)
    session = Yamux(True)
    number = session.open(0.0)
    session.send(number, bytes(600))
    with pytest.raises(LocalFault) as fault:
        session.send(number, bytes(500))
    assert fault.value.code == "too_much_waiting"


def test_too_much_unread_costs_the_stream_and_not_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MAX_UNREAD", 1000)
    session = accepted(Yamux(False))
    session.receive([header(DATA, 0, 1, 800) + bytes(800)], 0.0)
    events = session.receive([header(DATA, 0, 1, 300) + bytes(100)], 0.0)
    assert [type(event) for event in events] == [Gone] and events[0].error.code == "too_much_unread"
    assert frames(taken(session)) == [(WINDOW_UPDATE, RST, 1, 0)]
    assert session.receive([bytes(200) + header(PING, SYN, 0, 1)], 0.0) == []
    assert frames(taken(session)) == [(PING, ACK, 0, 1)], "the rest of the frame was skipped"


def test_what_was_on_its_way_to_a_stream_that_is_reset_is_dropped_and_no_more() -> None:
    session = accepted(Yamux(False))
    session.reset(1, 0.0)
    late = header(DATA, 0, 1, INITIAL_WINDOW) + bytes(INITIAL_WINDOW)
    windows = START_WINDOW // INITIAL_WINDOW
    assert session.receive([late] * windows, 0.0) == []
    with pytest.raises(PeerFault) as fault:
        session.receive([header(DATA, 0, 1, 1)], 0.0)
    assert fault.value.code == "data_on_closed_stream"


BREACHES = {
    "bad_frame": [bytes([1]) + header(DATA, 0, 1, 0)[1:]],
    "bad_frame ": [header(4, 0, 1, 0)],
    "bad_frame  ": [header(DATA, SYN, 0, 0)],
    "bad_frame   ": [header(PING, SYN, 1, 0)],
    "bad_stream_id": [header(DATA, SYN, 2, 0)],
    "bad_stream_id ": [header(DATA, SYN, 1, 0)],
    "bad_stream_id  ": [header(DATA, 0, 3, 1)],
    "bad_stream_id   ": [header(WINDOW_UPDATE, 0, 2, 1)],
    "window_overrun": [header(DATA, 0, 1, START_WINDOW + 1)],
    "data_after_fin": [header(DATA, FIN, 1, 0), header(DATA, 0, 1, 1)],
    "bad_window": [header(WINDOW_UPDATE, 0, 1, (1 << 32) - 1)] * 2,
    "ping_flood": [header(PING, SYN, 0, 1)] * 200,
    "go_away_storm": [header(GO_AWAY, 0, 0, 0)] * 10,
    "empty_frame_flood": [header(DATA, 0, 1, 0)] * 3000,
    "empty_frame_flood ": [header(WINDOW_UPDATE, 0, 1, 0)] * 3000,
    "empty_frame_flood  ": [header(PING, ACK, 0, 9)] * 3000,
    "empty_frame_flood   ": [header(WINDOW_UPDATE, 0, 1, 1 << 20)] + [header(WINDOW_UPDATE, 0, 1, 1)] * 3000,
    "reset_flood": [
        frame
        for number in range(3, 5003, 2)
        for frame in (header(DATA, SYN, number, 0), header(DATA, RST, number, 0))
    ],
    "reset_flood ": [header(DATA, SYN, number, 0) for number in range(3, 5003, 2)],
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_peer_that_breaks_the_rules_is_told_by_name(name: str) -> None:
    session = accepted(Yamux(False))
    with pytest.raises(PeerFault) as fault:
        session.receive(BREACHES[name], 0.0)
    assert fault.value.code == name.strip()


def test_pings_at_an_ordinary_pace_are_no_flood() -> None:
    session = Yamux(False)
    for second in range(1000):
        session.receive([header(PING, SYN, 0, second)] * 5, float(second))
        assert len(frames(taken(session))) == 5


def test_a_peer_that_does_not_read_its_answers_is_cut_off() -> None:
    session = Yamux(False)
    with pytest.raises(PeerFault) as fault:
        for second in range(1000):
            session.receive([header(PING, SYN, 0, second)] * 5, float(second))
    assert fault.value.code == "peer_not_reading"


actions = st.lists(
    st.tuples(
        st.sampled_from(["open", "send", "finish", "reset", "move", "settle"]),
        st.integers(0, 1),
        st.integers(0, 5),
        st.integers(0, 300_000),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(actions)
def test_whatever_the_ends_do_they_agree_on_what_was_said(steps: list[tuple[str, int, int, int]]) -> None:
    wire, sent, spoilt, known = Wire(), {}, set(), [[], []]
    for action, index, which, size in steps:
        end, numbers = wire.ends[index], known[index]
        known[1 - index] += [e.stream for e in wire.events[1 - index] if isinstance(e, Arrived)]
        number = numbers[which % len(numbers)] if numbers else 0
        if action == "open":
            numbers.append(end.open(0.0))
        elif action == "send" and number in end._streams and not end._streams[number].fin_wanted:
            end.send(number, bytes([which]) * size)
            sent[index, number] = sent.get((index, number), b"") + bytes([which]) * size
        elif action == "finish":
            end.finish(number)
        elif action == "reset":
            end.reset(number, 0.0)
            spoilt.add(number)
        elif action == "move":
            wire.move(index, 0.0, size)
        elif action == "settle":
            wire.settle(0.0, max(1, size))
    wire.settle()
    for (index, number), data in sent.items():
        got = wire.data(1 - index, number)
        assert data.startswith(got) if number in spoilt else got == data
    for end in wire.ends:
        assert end.waiting == sum(stream.queued for stream in end._streams.values())
        assert end.unread == 0 and end._windows == sum(s.window for s in end._streams.values())


hostile = st.lists(
    st.one_of(
        st.builds(
            lambda kind, flags, number, length: header(kind, flags, number, length) + bytes(length % 64),
            st.integers(0, 5),
            st.integers(0, 15),
            st.integers(0, 6),
            st.one_of(st.integers(0, 40), st.integers(0, (1 << 32) - 1)),
        ),
        st.binary(max_size=60),
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(hostile, st.booleans())
def test_noise_gives_events_or_a_named_fault(chunks: list[bytes], initiator: bool) -> None:
    session = Yamux(initiator)
    try:
        session.open(0.0)
        for chunk in chunks:
            for event in session.receive([chunk], 0.0):
                if isinstance(event, Arrived):
                    session.accept(event.stream)
        taken(session)
    except PeerFault as fault:
        assert fault.code and fault.message
    assert 0 <= session.unread <= MAX_UNREAD
    assert len(session._streams) <= MAX_STREAMS
