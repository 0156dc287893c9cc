"""Greetings: read back as written, tolerant of the future, bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.swarm.hello import (
    DIGEST_BYTES,
    MAX_ADDRESSES,
    MAX_HELLO_BYTES,
    MAX_NAME_CHARS,
    MAX_NAMES,
    Hello,
    decode_hello,
    digest_of,
    encode_hello,
    skew,
)
from swarmnode.protocols.wire.framing import Frames
from swarmnode.values.errors import PeerFault
from swarmnode.values.multiaddr import Multiaddr

ADDRESS = Multiaddr.parse("/ip4/192.168.1.5/tcp/8810")


def message(hello: Hello) -> bytes:
    (inside,) = Frames(MAX_HELLO_BYTES, "hello").feed(encode_hello(hello))
    return inside


names = st.text("abcdefghij_-", min_size=1, max_size=MAX_NAME_CHARS)


@given(
    st.builds(
        Hello,
        names,
        st.frozensets(names, max_size=MAX_NAMES),
        st.lists(names, max_size=MAX_NAMES, unique=True).map(tuple),
        st.integers(0, 2**63),
        st.lists(st.just(ADDRESS), max_size=MAX_ADDRESSES).map(tuple),
        st.sampled_from(["node", "client"]),
    )
)
def test_what_is_said_is_heard(hello: Hello) -> None:
    assert decode_hello(message(hello)) == hello


def test_the_future_is_passed_over() -> None:
    hello = Hello("swarmnode/9", frozenset({"telepathy"}))
    future = message(hello) + b"\xfa\x07\x03abc" + b"\x32\x02\xff\x01"
    assert decode_hello(future) == hello


def test_another_version_is_told_in_words() -> None:
    with pytest.raises(PeerFault) as caught:
        decode_hello(message(Hello("x", protocol_version=2)))
    assert caught.value.code == "other_version"
    assert "2" in caught.value.message
    assert caught.value.hint


def test_what_is_too_much_is_left_out() -> None:
    long = "x" * (MAX_NAME_CHARS + 1)
    said = Hello("x" * 500, frozenset([long, "ok"]), tuple(map(str, range(100))), addresses=(ADDRESS,) * 99)
    heard = decode_hello(message(said))
    assert heard.features == {"ok"}
    assert len(heard.software) == MAX_NAME_CHARS
    assert (len(heard.profiles), len(heard.addresses)) == (MAX_NAMES, MAX_ADDRESSES)


def test_names_that_cannot_be_shown_are_no_names() -> None:
    assert decode_hello(message(Hello("a\x1b[31mb", frozenset({"a\nb", ""})))) == Hello("a[31mb")


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_greeting_or_a_named_fault(data: bytes) -> None:
    try:
        decode_hello(data)
    except PeerFault as error:
        assert error.code in ("bad_message", "other_version")


@given(st.floats(-3600, 3600), st.floats(0, 2), st.floats(0, 1))
def test_skew_is_right_within_half_the_round_trip(ahead: float, rtt: float, share: float) -> None:
    """The peer writes its clock down after `share` of the round trip."""
    ours = 1_800_000_000.0
    stamp_ms = (ours + share * rtt + ahead) * 1000
    assert skew(round(stamp_ms), 5.0, 5.0 + rtt, ours + rtt) == pytest.approx(ahead, abs=rtt / 2 + 0.002)


def test_a_digest_changes_with_what_lasts_and_with_nothing_else() -> None:
    hello = Hello("swarmnode/1", frozenset({"a"}), ("cpu-1",), 1, (ADDRESS,))
    digest = digest_of(hello)
    assert len(digest) == DIGEST_BYTES
    assert digest_of(replace(hello, stamp_ms=2, addresses=())) == digest
    others = [
        replace(hello, software="swarmnode/2"),
        replace(hello, features=frozenset()),
        replace(hello, profiles=()),
        replace(hello, mode="client"),
    ]
    assert len({digest, *map(digest_of, others)}) == 5
