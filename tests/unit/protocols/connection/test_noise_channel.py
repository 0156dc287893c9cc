"""The Noise channel: any portions give the same bytes, frames are full, and nothing forged gets through."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.connection.noise_channel import MAX_FRAME_BYTES, MAX_PLAIN_BYTES, Channel
from swarmnode.values.errors import PeerFault

ONE, TWO = bytes(range(32)), bytes(range(32, 64))


def ends() -> tuple[Channel, Channel]:
    return Channel(ONE, TWO), Channel(TWO, ONE)


def frames_of(data: bytes) -> list[bytes]:
    out, position = [], 0
    while position < len(data):
        stop = position + 2 + int.from_bytes(data[position : position + 2], "big")
        out.append(data[position:stop])
        position = stop
    return out


def test_a_frame_is_what_the_specification_says() -> None:
    sender, _ = ends()
    sealed = b"".join(sender.seal([b"hello"])) + b"".join(sender.seal([b"again"]))
    cipher = ChaCha20Poly1305(ONE)
    first = cipher.encrypt(bytes(12), b"hello", None)
    second = cipher.encrypt(bytes(4) + b"\x01" + bytes(7), b"again", None)
    assert sealed == b"\x00\x15" + first + b"\x00\x15" + second


def test_small_chunks_share_a_frame_and_large_ones_fill_frames() -> None:
    sender, receiver = ends()
    data = bytes(range(256)) * 600
    sealed = b"".join(sender.seal([b"head", memoryview(data), bytearray(b"tail")]))
    frames = frames_of(sealed)
    assert [len(frame) - 18 for frame in frames] == [
        MAX_PLAIN_BYTES,
        MAX_PLAIN_BYTES,
        len(data) + 8 - 2 * MAX_PLAIN_BYTES,
    ]
    assert len(frames[0]) == MAX_FRAME_BYTES
    assert b"".join(receiver.open(sealed)) == b"head" + data + b"tail"


def test_no_bytes_make_no_frame() -> None:
    sender, _ = ends()
    assert sender.seal([]) == []
    assert sender.seal([b"", b""]) == []
    assert sender.seal([b""]) == []


def test_the_two_directions_have_keys_of_their_own() -> None:
    one, two = ends()
    with pytest.raises(PeerFault):
        one.open(b"".join(one.seal([b"mirrored"])))
    assert two.open(b"".join(one.seal([b"not first"]))[:0]) == []


@pytest.mark.parametrize("head", [b"\x00\x00", b"\x00\x0f", b"\x00\x10"])
def test_a_frame_that_holds_nothing_is_refused_as_soon_as_it_is_announced(head: bytes) -> None:
    for portions in ([head], [head[:1], head[1:]], [head + bytes(100)]):
        _, receiver = ends()
        with pytest.raises(PeerFault) as caught:
            for portion in portions:
                receiver.open(portion)
        assert caught.value.code == "bad_record"


def test_repeated_swapped_and_missing_frames_are_noticed() -> None:
    sender, _ = ends()
    first, second, third = (b"".join(sender.seal([text])) for text in (b"one", b"two", b"three"))
    for stream in (first + first, second + first, first + third, second):
        _, receiver = ends()
        with pytest.raises(PeerFault) as caught:
            receiver.open(stream)
        assert caught.value.code == "bad_record"


def test_the_opened_bytes_stay_when_the_buffer_is_used_again() -> None:
    sender, receiver = ends()
    buffer = bytearray(b"".join(sender.seal([b"first"])))
    opened = receiver.open(buffer)
    buffer[:] = bytes(len(buffer))
    assert opened == [b"first"]
    held = bytearray(b"".join(sender.seal([b"second"])))
    assert receiver.open(memoryview(held)[:5]) == []
    rest = bytes(held[5:])
    held.clear()  # raises BufferError while anything still looks into it
    assert receiver.open(rest) == [b"second"]


chunk = st.binary(max_size=80) | st.integers(0, 3 * MAX_PLAIN_BYTES).map(lambda size: b"\xa5" * size)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(chunk, max_size=4), max_size=4), st.data())
def test_any_portions_give_the_same_bytes_and_little_is_kept(
    writes: list[list[bytes]], data: st.DataObject
) -> None:
    sender, receiver = ends()
    stream = b"".join(piece for chunks in writes for piece in sender.seal(chunks))
    got, position = b"", 0
    while position < len(stream):
        size = data.draw(st.integers(1, 40) | st.integers(1, 2 * MAX_FRAME_BYTES))
        for opened in receiver.open(stream[position : position + size]):
            assert 0 < len(opened) <= MAX_PLAIN_BYTES
            got += opened
        position += size
        assert receiver.pending < MAX_FRAME_BYTES
    assert got == b"".join(part for chunks in writes for part in chunks)
    assert receiver.pending == 0


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.integers(0), st.integers(1, 255)
)
def test_a_changed_byte_never_reaches_the_other_side(texts: list[bytes], where: int, bits: int) -> None:
    sender, receiver = ends()
    stream = bytearray(b"".join(piece for text in texts for piece in sender.seal([text])))
    stream[where % len(stream)] ^= bits
    got: list[bytes] = []
    try:
        for byte in stream:
            got += receiver.open(bytes([byte]))
    except PeerFault as error:
        assert error.code == "bad_record"
    assert got == texts[: len(got)]
    assert len(got) < len(texts)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=100)))
def test_any_bytes_end_in_silence_or_a_named_error(portions: list[bytes]) -> None:
    _, receiver = ends()
    try:
        for portion in portions:
            assert receiver.open(portion) == []
            assert receiver.pending <= MAX_FRAME_BYTES
    except PeerFault as error:
        assert error.code == "bad_record"


def test_half_a_length_is_waited_for() -> None:
    sender, receiver = ends()
    sealed = b"".join(sender.seal([b"late"]))
    assert [receiver.open(portion) for portion in (sealed[:1], b"", sealed[1:])] == [[], [], [b"late"]]
