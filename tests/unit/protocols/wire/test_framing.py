"""Length-prefixed messages: any portions give the same ones, and a lying length costs nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.values.errors import PeerFault

LIMIT = 300


def test_lengths_are_the_specifications_varints() -> None:
    """multiformats/unsigned-varint: 1, 127, 128, 255, 300."""
    heads = {1: "01", 127: "7f", 128: "8001", 255: "ff01", 300: "ac02"}
    for size, head in heads.items():
        assert framed(bytes(size))[: len(head) // 2].hex() == head


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=LIMIT), max_size=8), st.lists(st.integers(1, 200), max_size=20))
def test_any_portions_give_the_same_messages(messages: list[bytes], sizes: list[int]) -> None:
    stream, frames = b"".join(map(framed, messages)), Frames(LIMIT, "a test")
    got, position = [], 0
    for size in [*sizes, len(stream) + 1]:
        got += frames.feed(stream[position : position + size])
        position += size
        assert frames.pending <= LIMIT + 2
    assert got == messages
    assert frames.pending == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xad\x02", "301 bytes"),
        (b"\xff\xff\xff\xff\x7f", "announced"),
        (b"\x80" * 9, "no end"),
        (b"\x81\x00", "longer than needed"),
    ],
)
def test_a_bad_length_is_refused_as_soon_as_it_is_known(data: bytes, said: str) -> None:
    frames = Frames(LIMIT, "a test")
    with pytest.raises(PeerFault, match=said) as caught:
        frames.feed(data)
    assert caught.value.code == "bad_frame"
    assert caught.value.message.startswith("a test: ")


def test_a_message_of_the_full_size_is_taken() -> None:
    assert Frames(LIMIT, "a test").feed(framed(bytes(LIMIT))) == [bytes(LIMIT)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=50)))
def test_any_bytes_end_in_messages_or_a_named_error(portions: list[bytes]) -> None:
    frames = Frames(LIMIT, "a test")
    try:
        for portion in portions:
            for message in frames.feed(portion):
                assert len(message) <= LIMIT
            assert frames.pending <= LIMIT + 9
    except PeerFault as error:
        assert error.code == "bad_frame"
