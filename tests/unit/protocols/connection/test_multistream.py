"""multistream-select: both ends agree however the bytes are cut, and nothing hostile gets past an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.connection.multistream import (
    HEADER,
    MAX_LINE_BYTES,
    MAX_LISTING_BYTES,
    MAX_LISTINGS,
    MAX_PROPOSALS,
    Answer,
    Offer,
    line,
)
from swarmnode.values.errors import PeerFault, Refused

#: As js-libp2p and go-libp2p put them on the wire.
HEADER_BYTES = b"\x13/multistream/1.0.0\n"
NOISE_BYTES = b"\x07/noise\n"
NA_BYTES = b"\x03na\n"

names = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=40).map(
    lambda text: "/" + text
)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    out, position = [], 0
    for size in sizes:
        out.append(data[position : position + size])
        position += size
    return [*out, data[position:]]


def test_the_first_bytes_are_those_of_other_implementations() -> None:
    assert line(HEADER) == HEADER_BYTES
    assert Offer(("/noise",), lazy=True).begin() == HEADER_BYTES + NOISE_BYTES


def test_a_known_protocol_is_repeated() -> None:
    answer = Answer(lambda: ("/noise", "/tls/1.0.0"))
    assert answer.feed(HEADER_BYTES + NOISE_BYTES) == HEADER_BYTES + NOISE_BYTES
    assert answer.agreed == "/noise"
    assert answer.rest == b""


def test_a_peer_that_waits_for_the_header_gets_it_at_once() -> None:
    answer = Answer(lambda: ("/noise",))
    assert answer.feed(HEADER_BYTES) == HEADER_BYTES
    assert answer.agreed is None
    assert answer.feed(NOISE_BYTES) == NOISE_BYTES
    assert answer.agreed == "/noise"


@pytest.mark.parametrize(
    "portions",
    [
        [HEADER_BYTES, NOISE_BYTES],
        [HEADER_BYTES + NOISE_BYTES],
        [HEADER_BYTES[:5], HEADER_BYTES[5:] + NOISE_BYTES],
    ],
)
def test_a_header_may_come_early_or_with_the_answer(portions: list[bytes]) -> None:
    offer = Offer(("/noise",))
    offer.begin()
    for portion in portions:
        assert offer.feed(portion) == b""
    assert offer.agreed == "/noise"


def test_the_next_protocol_is_proposed_after_na() -> None:
    offer, answer = Offer(("/a", "/b", "/c")), Answer(lambda: ("/c",))
    to_answer, proposals = offer.begin(), 0
    while to_answer:
        to_answer = offer.feed(answer.feed(to_answer))
        proposals += 1
    assert (offer.agreed, answer.agreed, proposals) == ("/c", "/c", 3)


def test_a_peer_that_knows_none_is_said_so() -> None:
    offer = Offer(("/a", "/b"))
    offer.begin()
    assert offer.feed(HEADER_BYTES + NA_BYTES) == line("/b")
    with pytest.raises(Refused) as caught:
        offer.feed(NA_BYTES)
    assert caught.value.code == "protocol_unsupported"
    assert "/a, /b" in caught.value.message


def test_what_follows_the_negotiation_is_left_alone() -> None:
    payload = b"\x03na\n" + bytes(range(256))
    answer = Answer(lambda: ("/x",))
    answer.feed(HEADER_BYTES + line("/nothing") + line("/x") + payload)
    assert (answer.agreed, answer.rest) == ("/x", payload)
    offer = Offer(("/x",), lazy=True)
    offer.begin()
    offer.feed(HEADER_BYTES + line("/x") + payload)
    assert (offer.agreed, offer.rest) == ("/x", payload)


def test_what_is_served_is_asked_anew_for_each_proposal() -> None:
    served: set[str] = set()
    answer = Answer(lambda: served)
    assert answer.feed(HEADER_BYTES + line("/late")).endswith(NA_BYTES)
    served.add("/late")
    assert answer.feed(line("/late")) == line("/late")


def test_a_listing_is_one_message_with_a_line_for_each_protocol() -> None:
    answer = Answer(lambda: {"/b", "/a"})
    answer.feed(HEADER_BYTES)
    assert answer.feed(b"\x03ls\n") == b"\x09\x03/a\n\x03/b\n\n"
    assert answer.feed(line("/b")) == line("/b")


def test_a_listing_has_a_limit() -> None:
    answer = Answer(lambda: {f"/{number:0>500}" for number in range(200)})
    answer.feed(HEADER_BYTES)
    listing = answer.feed(b"\x03ls\n")
    assert MAX_LISTING_BYTES - 600 < len(listing) <= MAX_LISTING_BYTES + 3
    for _ in range(MAX_LISTINGS - 1):
        answer.feed(b"\x03ls\n")
    with pytest.raises(PeerFault) as caught:
        answer.feed(b"\x03ls\n")
    assert caught.value.code == "bad_negotiation"


def test_proposals_have_a_limit() -> None:
    answer = Answer(lambda: ("/x",))
    assert answer.feed(HEADER_BYTES + line("/y") * MAX_PROPOSALS) == HEADER_BYTES + NA_BYTES * MAX_PROPOSALS
    with pytest.raises(PeerFault):
        answer.feed(line("/x"))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x13/multistream/2.0.0\n",
        b"\x00",
        b"\xff\xff",
        b"\x80\x80",
        b"\x81\x08",
        b"\x04abcd",
        b"\x04\xff\xfe\xfd\n",
        HEADER_BYTES[:-1] + b" ",
    ],
)
def test_something_else_is_refused_by_name(data: bytes) -> None:
    for end in (Answer(lambda: ("/x",)), Offer(("/x",))):
        with pytest.raises(PeerFault) as caught:
            end.feed(data)
        assert caught.value.code == "bad_negotiation"


@pytest.mark.parametrize("data", [b"\x00", b"\xff\xff", b"\x81\x08", b"\x04abcd", b"\x04\xff\xfe\xfd\n"])
def test_a_bad_line_behind_the_header_is_refused_by_name(data: bytes) -> None:
    for end in (Answer(lambda: ("/x", "abc")), Offer(("abc",))):
        with pytest.raises(PeerFault) as caught:
            end.feed(HEADER_BYTES + data)
        assert caught.value.code == "bad_negotiation"


def test_an_answer_to_another_question_is_refused() -> None:
    offer = Offer(("/x",))
    offer.begin()
    with pytest.raises(PeerFault):
        offer.feed(HEADER_BYTES + line("/y"))


def test_a_line_of_the_full_length_is_taken_and_a_longer_one_is_not() -> None:
    longest = "/" + "x" * (MAX_LINE_BYTES - 2)
    answer = Answer(lambda: (longest,))
    answer.feed(HEADER_BYTES + line(longest))
    assert answer.agreed == longest
    with pytest.raises(PeerFault):
        Answer(lambda: ()).feed(HEADER_BYTES + line(longest + "x")[:2])


def test_a_lazy_offer_has_one_protocol() -> None:
    with pytest.raises(ValueError, match="lazy"):
        Offer(("/a", "/b"), lazy=True)
    with pytest.raises(ValueError, match="0 protocols"):
        Offer(())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(names, min_size=1, max_size=8, unique=True),
    st.sets(names, max_size=8),
    st.integers(0, 7),
    st.lists(st.integers(1, 30), max_size=20),
    st.binary(max_size=60),
)
def test_two_ends_agree_on_the_first_common_protocol_in_any_portions(
    offered: list[str], served: set[str], common: int, sizes: list[int], payload: bytes
) -> None:
    served = served | {offered[common % len(offered)]}
    offer, answer = Offer(offered), Answer(lambda: served)
    to_answer = offer.begin()
    while offer.agreed is None:
        to_offer = b"".join(answer.feed(portion) for portion in pieces(to_answer, sizes))
        assert to_offer, "the two ends wait for each other"
        if answer.agreed is not None:
            to_offer += payload
        to_answer = b"".join(offer.feed(portion) for portion in pieces(to_offer, sizes))
    wanted = next(name for name in offered if name in served)
    assert (offer.agreed, answer.agreed) == (wanted, wanted)
    assert offer.rest == payload


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([HEADER_BYTES, NA_BYTES, NOISE_BYTES, b"\x03ls\n"])))
def test_any_bytes_end_in_an_agreement_or_a_named_error(portions: list[bytes]) -> None:
    offer = Offer(("/noise", "/b"))
    offer.begin()
    for end in (offer, Answer(lambda: ("/noise",))):
        try:
            for portion in portions:
                end.feed(portion)
        except (PeerFault, Refused) as error:
            assert error.code in ("bad_negotiation", "protocol_unsupported")
        assert len(end._lines._buffer) <= MAX_LINE_BYTES + 2 + max((len(p) for p in portions), default=0)
