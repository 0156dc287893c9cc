"""Frames: any cuts give the same parts, and what is announced costs nothing before it comes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.swarm.frames import LIMITS, STEP, FramePart, FrameReader, Tag, frame, head
from swarmnode.values.errors import PeerFault

bodies = st.tuples(st.sampled_from(list(Tag)), st.binary(max_size=300))


def whole(parts: list[FramePart]) -> list[tuple[Tag, bytes]]:
    """Frames out of parts that must be consecutive."""
    frames, body = [], b""
    for part in parts:
        assert part.offset == len(body)
        body += part.data
        if part.last:
            assert len(body) == part.size
            frames.append((part.tag, body))
            body = b""
    assert not body
    return frames


@given(st.lists(bodies, max_size=6), st.data())
def test_any_cuts_give_the_same_frames(wanted: list[tuple[Tag, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(tag, body) for tag, body in wanted)
    reader, parts, position = FrameReader(), [], 0
    while position < len(stream):
        size = data.draw(st.integers(1, 1 + len(stream) // 2))
        parts += reader.feed(stream[position : position + size])
        position += size
    assert whole(parts) == wanted
    assert reader.at_boundary


@given(st.binary(max_size=2000), st.integers(1, 64))
def test_whatever_comes_ends_in_parts_or_a_named_fault(data: bytes, step: int) -> None:
    reader, kept = FrameReader(), 0
    try:
        for position in range(0, len(data), step):
            kept += sum(len(part.data) for part in reader.feed(data[position : position + step]))
    except PeerFault as error:
        assert error.code in ("bad_frame", "frame_too_large")
    assert kept <= len(data)


def test_parts_have_at_most_a_mebibyte() -> None:
    parts = FrameReader().feed(frame(Tag.TENSOR, bytes(5 * STEP // 2)))
    assert [len(part.data) for part in parts] == [STEP, STEP, STEP // 2]


@pytest.mark.parametrize("tag", list(Tag))
def test_each_tag_has_its_cap(tag: Tag) -> None:
    FrameReader().feed(head(tag, LIMITS[tag]))
    with pytest.raises(PeerFault) as caught:
        FrameReader().feed(struct.pack(">IB", LIMITS[tag] + 2, tag))
    assert caught.value.code == "frame_too_large"
    with pytest.raises(ValueError, match="allowed"):
        head(tag, LIMITS[tag] + 1)


@pytest.mark.parametrize("data", [b"\0\0\0\0\0", b"\0\0\0\1\x7f"], ids=["no length", "unknown tag"])
def test_what_is_no_frame_is_refused_by_its_head(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        FrameReader().feed(data)
    assert caught.value.code == "bad_frame"


def test_only_the_tags_that_belong_here_are_read() -> None:
    reader = FrameReader({Tag.CONTROL: 10})
    with pytest.raises(PeerFault):
        reader.feed(head(Tag.BULK, 1))
    with pytest.raises(PeerFault):
        FrameReader({Tag.CONTROL: 10}).feed(head(Tag.CONTROL, 11))


def test_an_incomplete_frame_is_no_boundary() -> None:
    reader = FrameReader()
    reader.feed(b"\0\0")
    assert not reader.at_boundary
    reader.feed(b"\0\2\0")
    assert not reader.at_boundary
    assert reader.feed(b"x")[0].last
    assert reader.at_boundary
