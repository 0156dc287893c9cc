"""Frames: any portions give the same messages, urgent lanes overtake, and nothing hostile gets through."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.worker import frames
from swarmnode.protocols.worker.frames import MAX_FRAME, FrameDecoder, Outbox
from swarmnode.protocols.worker.messages import KINDS, LinkFault, Message

TRACE = Path(__file__).parents[3] / "traces" / "worker_link_v1.json"


def sent(*messages: Message) -> list[bytes]:
    outbox = Outbox()
    for message in messages:
        outbox.push(message)
    made = []
    while (frame := outbox.pop()) is not None:
        made.append(frame)
    return made


def plain(messages: list[Message]) -> list[tuple[str, dict, bytes]]:
    return [(m.kind, dict(m.header), bytes(m.payload)) for m in messages]


worker_kinds = st.sampled_from([k.name for k in KINDS.values() if "W" in k.senders and k.limit])
messages = st.builds(
    Message,
    worker_kinds,
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=4),
    st.binary(max_size=300) | st.integers(0, 3 * MAX_FRAME).map(bytes),
)


def small_enough(message: Message) -> bool:
    return len(message.payload) <= KINDS[message.kind].limit


@settings(max_examples=60, deadline=None)
@given(st.lists(messages.filter(small_enough), max_size=5), st.data())
def test_messages_survive_any_portions(wanted: list[Message], data: st.DataObject) -> None:
    stream = b"".join(sent(*wanted))
    decoder, got, position = FrameDecoder("W"), [], 0
    while position < len(stream):
        size = data.draw(st.integers(1, max(1, len(stream) // 3)))
        got += decoder.feed(stream[position : position + size])
        position += size
    by_lane = sorted(plain(wanted), key=lambda m: KINDS[m[0]].lane)
    assert plain(got) == by_lane


def test_frames_have_at_most_the_agreed_size() -> None:
    made = sent(Message("step", {"call": 1}, bytes(3 * MAX_FRAME)))
    assert [len(frame) for frame in made[:3]] == [MAX_FRAME] * 3
    assert all(len(frame) <= MAX_FRAME for frame in made)


def test_control_and_tokens_overtake_a_long_message_between_two_frames() -> None:
    outbox = Outbox()
    outbox.push(Message("step_result", {"call": 1}, bytes(3 * MAX_FRAME)))
    decoder = FrameDecoder("W")
    assert decoder.feed(outbox.pop() or b"") == []
    outbox.push(Message("events", {}, b"[]"))
    outbox.push(Message("stats", {"progress": 1}))
    order = []
    while (frame := outbox.pop()) is not None:
        order += [message.kind for message in decoder.feed(frame)]
    assert order == ["stats", "events", "step_result"]
    assert not outbox and outbox.queued_bytes == 0


def test_golden_frames_are_read_and_written_as_ever() -> None:
    trace = json.loads(TRACE.read_text())
    for entry in trace["frames"]:
        message = Message(entry["kind"], entry["header"], bytes.fromhex(entry["payload"]))
        assert b"".join(sent(message)).hex() == entry["bytes"], entry["kind"]
        assert plain(FrameDecoder(entry["sender"]).feed(bytes.fromhex(entry["bytes"]))) == plain([message])


def test_every_kind_has_a_golden_frame() -> None:
    assert {entry["kind"] for entry in json.loads(TRACE.read_text())["frames"]} == set(KINDS)


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (struct.pack(">IBB", 1 << 30, 0, 3), "a frame of 1073741824 bytes"),
        (struct.pack(">IBB", 0, 0, 3), "a frame of 0 bytes"),
        (struct.pack(">IBB", 2, 9, 3), "lane 9"),
        (struct.pack(">IBB", 2, 0, 7), "flags 7"),
        (struct.pack(">IBB", 2, 0, 0), "out of order"),
        (struct.pack(">IBB", 2, 0, 3), "too short"),
        (struct.pack(">IBBHI", 8, 0, 3, 60000, 0), "a header of 60000 bytes"),
        (struct.pack(">IBBHI", 10, 0, 3, 2, 0) + b"{]", "not JSON"),
        (struct.pack(">IBBHI", 13, 0, 3, 5, 0) + b"[1,2]", "unknown kind '1'"),
        (struct.pack(">IBBHI", 18, 0, 3, 10, 0) + b'["nope",0]', "unknown kind 'nope'"),
        (struct.pack(">IBBHI", 18, 1, 3, 10, 0) + b'["bye",{}]', "may not come this way"),
        (struct.pack(">IBBHI", 19, 0, 3, 11, 0) + b'["load",{}]', "may not come this way"),
        (struct.pack(">IBBHI", 20, 0, 1, 12, 9) + b'["hello",{}]', "at most 0"),
        (struct.pack(">IBBHI", 18, 0, 3, 10, 9) + b'["bye",{}]', "shorter than it said"),
        (struct.pack(">IBBHI", 19, 0, 3, 10, 0) + b'["bye",{}]!', "longer than it said"),
    ],
)
def test_a_bad_frame_is_refused_by_name(frame: bytes, fault: str) -> None:
    decoder = FrameDecoder("W")
    with pytest.raises(LinkFault, match=fault):
        decoder.feed(frame)
    with pytest.raises(LinkFault, match=fault):
        decoder.feed(b"")


def test_a_message_too_large_for_its_kind_is_refused_before_it_comes() -> None:
    limit = KINDS["bye"].limit
    header = b'["bye",{}]'
    first = struct.pack(">IBBHI", 8 + len(header), 0, 1, len(header), limit + 1) + header
    with pytest.raises(LinkFault, match=f"{limit + 1} bytes"):
        FrameDecoder("W").feed(first)


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=400))
def test_noise_gives_messages_or_a_link_fault(noise: bytes) -> None:
    try:
        FrameDecoder("W").feed(noise)
    except LinkFault:
        pass


@settings(max_examples=80, deadline=None)
@given(st.lists(messages.filter(small_enough), min_size=1, max_size=3), st.data())
def test_damaged_streams_give_messages_or_a_link_fault(wanted: list[Message], data: st.DataObject) -> None:
    stream = bytearray(b"".join(sent(*wanted))[:100_000])
    place = data.draw(st.integers(0, min(len(stream) - 1, 200)))
    stream[place] ^= data.draw(st.integers(1, 255))
    try:
        for message in FrameDecoder("W").feed(bytes(stream)):
            assert len(message.payload) <= KINDS[message.kind].limit
    except LinkFault:
        pass


def test_the_outbox_refuses_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox()
    with pytest.raises(LinkFault, match="at most 1048576"):
        outbox.push(Message("load", {}, bytes((1 << 20) + 1)))
    with pytest.raises(LinkFault, match="header of a bye message"):
        outbox.push(Message("bye", {"x": "y" * (1 << 15)}))
    monkeypatch.setattr(frames, "MAX_QUEUED_MESSAGES", 2)
    outbox.push(Message("bye"))
    outbox.push(Message("bye"))
    with pytest.raises(LinkFault, match="does not read"):
        outbox.push(Message("bye"))
    monkeypatch.setattr(frames, "MAX_QUEUED_MESSAGES", 100)
    monkeypatch.setattr(frames, "MAX_QUEUED_BYTES", 1000)
    with pytest.raises(LinkFault, match="does not read"):
        outbox.push(Message("step", {}, bytes(1000)))
