"""Kademlia's messages: the spec's field numbers, the bounds, and hostile bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.kademlia import messages as m
from swarmnode.values.errors import PeerFault
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id, peer_id_bytes

PEER = peer_id(bytes(range(32)))
RAW = peer_id_bytes(PEER)
ADDRESS = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
RAW_ADDRESS = bytes.fromhex("047f000001060fa1")  # From the multiaddr table: ip4 = 4, tcp = 6.


def field(number: int, data: bytes | int) -> bytes:
    """One protobuf field, small enough for one-byte lengths."""
    if isinstance(data, int):
        return bytes([number << 3, data])
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


#: Each message as the kad-dht spec numbers its fields, written by hand.
GOLDEN = {
    "find_node": (m.Message(m.Kind.FIND_NODE, RAW), field(1, 4) + field(2, RAW)),
    "ping": (m.Message(m.Kind.PING), field(1, 5)),
    "get_value": (m.Message(m.Kind.GET_VALUE, b"/pk/x"), field(1, 1) + field(2, b"/pk/x")),
    "put_value": (
        m.Message(m.Kind.PUT_VALUE, b"k", m.Record(b"k", b"v", "2026-01-02T03:04:05.000000000Z")),
        field(1, 0)
        + field(2, b"k")
        + field(3, field(1, b"k") + field(2, b"v") + field(5, b"2026-01-02T03:04:05.000000000Z")),
    ),
    "add_provider": (
        m.Message(m.Kind.ADD_PROVIDER, b"k", providers=(m.PeerEntry(PEER, (ADDRESS,)),)),
        field(1, 2) + field(2, b"k") + field(9, field(1, RAW) + field(2, RAW_ADDRESS)),
    ),
    "get_providers": (
        m.Message(
            m.Kind.GET_PROVIDERS,
            b"k",
            closer=(m.PeerEntry(PEER, (ADDRESS,), connected=True),),
            providers=(m.PeerEntry(PEER),),
        ),
        field(1, 3)
        + field(2, b"k")
        + field(8, field(1, RAW) + field(2, RAW_ADDRESS) + field(3, 1))
        + field(9, field(1, RAW)),
    ),
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_bytes_are_those_of_the_specification(name: str) -> None:
    message, data = GOLDEN[name]
    assert m.encode(message) == data
    assert m.decode(data) == message


def test_the_unused_cluster_level_is_passed_over() -> None:
    assert m.decode(field(1, 5) + field(10, 3)) == m.Message(m.Kind.PING)


def test_no_more_than_the_bounds_is_told() -> None:
    entry = m.PeerEntry(PEER, tuple(Multiaddr.parse(f"/ip4/10.0.0.{n}/tcp/1") for n in range(40)))
    crowded = m.Message(m.Kind.GET_PROVIDERS, b"k", closer=(entry,) * 50, providers=(entry,) * 50)
    read = m.decode(m.encode(crowded))
    assert (len(read.closer), len(read.providers)) == (m.MAX_CLOSER, m.MAX_PROVIDERS_TOLD)
    assert {len(e.addresses) for e in read.closer} == {m.MAX_ADDRESSES}


def test_the_largest_answer_fits_in_a_message() -> None:
    long = Multiaddr.parse("/dns4/" + "a" * 250 + "/tcp/1")
    entry = m.PeerEntry(PEER, (long,) * m.MAX_ADDRESSES)
    record = m.Record(b"k" * m.MAX_KEY_BYTES, b"v" * m.MAX_VALUE_BYTES)
    data = m.encode(m.Message(m.Kind.GET_VALUE, b"k" * m.MAX_KEY_BYTES, record, (entry,) * 99, (entry,) * 99))
    assert 40_000 < len(data) <= m.MAX_MESSAGE_BYTES
    assert m.decode(data).record == record


def test_more_peers_than_the_bound_are_cut_when_read() -> None:
    peer = field(8, field(1, RAW) + field(2, RAW_ADDRESS))
    assert len(m.decode(field(1, 4) + peer * 30).closer) == m.MAX_CLOSER
    addresses = b"".join(field(2, RAW_ADDRESS) for _ in range(3))
    assert len(m.decode(field(1, 4) + field(8, field(1, RAW) + addresses)).closer[0].addresses) == 3


def test_addresses_of_unknown_kinds_are_passed_over() -> None:
    odd = field(2, bytes.fromhex("ffff03aabb"))
    read = m.decode(field(1, 4) + field(8, field(1, RAW) + odd + field(2, RAW_ADDRESS)))
    assert read.closer[0].addresses == (ADDRESS,)


def test_addresses_lose_the_peer_id_at_their_end() -> None:
    entry = m.PeerEntry(PEER, (ADDRESS.with_peer(PEER),))
    assert m.decode(m.encode(m.Message(m.Kind.FIND_NODE, b"k", closer=(entry,)))).closer[0].addresses == (
        ADDRESS,
    )


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\x08\x63", "type 99"),
        (field(1, 4) + field(8, field(1, b"nobody")), "no peer id"),
        (field(1, 4) + field(8, b""), "no peer id"),
        (field(1, 4) + b"\x12\x81\x04" + b"k" * 513, "513 bytes"),
        (b"\x00" * (m.MAX_MESSAGE_BYTES + 1), "65537 bytes"),
        (b"\x12\x05ab", "well formed"),
        (field(1, 0) + b"\x1a\x84\x40\x12\x81\x40" + b"v" * 8193, "8193 of value"),
    ],
)
def test_what_is_out_of_bounds_is_named(data: bytes, word: str) -> None:
    with pytest.raises(PeerFault, match=word):
        m.decode(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    try:
        message = m.decode(data)
    except PeerFault as fault:
        assert fault.code in ("bad_message", "bad_dht_message")
    else:
        assert m.decode(m.encode(message)) == message


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_damaged_messages_are_read_or_refused_by_name(name: str, draw: st.DataObject) -> None:
    data = bytearray(GOLDEN[name][1])
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        m.decode(bytes(data[: draw.draw(st.integers(0, len(data)))]))
    except PeerFault as fault:
        assert fault.message
