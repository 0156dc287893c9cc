"""RPCs: bytes written down by hand, and bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.gossipsub.parameters import (
    MAX_BACKOFF,
    MAX_ENTRIES,
    MAX_EXCHANGED,
    MAX_IHAVE_ENTRIES,
    MAX_IWANT_ENTRIES,
    MAX_RECORD_BYTES,
    MAX_RPC_BYTES,
)
from swarmnode.protocols.gossipsub.rpc import (
    Exchanged,
    Prune,
    control_rpc,
    publish_field,
    read_rpc,
)
from swarmnode.protocols.identity.fields import encode_fields
from swarmnode.values.errors import PeerFault
from swarmnode.values.peer_id import peer_id, peer_id_bytes

PEER = peer_id(bytes(range(32)))


def control(*fields: tuple[int, bytes]) -> bytes:
    return encode_fields([(3, encode_fields([(number, value)])) for number, value in fields])


def test_every_part_of_an_rpc_is_written_as_in_the_specification() -> None:
    known = Exchanged(PEER, b"record")
    data = control_rpc(
        subscriptions=[("a", True), ("b", False)],
        ihave=[("t", [b"1", b"2"])],
        iwant=[b"3"],
        graft=["g"],
        prune=[Prune("p", (known,), 60.0), Prune("q")],
    )
    info = encode_fields([(1, peer_id_bytes(PEER)), (2, b"record")])
    expected = encode_fields(
        [
            (1, encode_fields([(1, 1), (2, b"a")])),
            (1, encode_fields([(1, 0), (2, b"b")])),
            (
                3,
                encode_fields(
                    [
                        (1, encode_fields([(1, b"t"), (2, b"1"), (2, b"2")])),
                        (2, encode_fields([(1, b"3")])),
                        (3, encode_fields([(1, b"g")])),
                        (4, encode_fields([(1, b"p"), (2, info), (3, 60)])),
                        (4, encode_fields([(1, b"q")])),
                    ]
                ),
            ),
        ]
    )
    assert data == expected
    rpc = read_rpc(data)
    assert rpc.subscriptions == (("a", True), ("b", False))
    assert rpc.ihave == (("t", (b"1", b"2")),)
    assert rpc.iwant == ((b"3",),)
    assert rpc.graft == ("g",)
    assert rpc.prune == (Prune("p", (known,), 60.0), Prune("q", (), None))


def test_messages_after_each_other_are_one_rpc() -> None:
    one, two = encode_fields([(4, b"t")]), encode_fields([(4, b"u")])
    rpc = read_rpc(publish_field(one) + publish_field(two))
    assert [m.topic for m in rpc.messages] == ["t", "u"]


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\xff\x01", b"\xff" * 20, b"\x0a\x03\x12\x01\xff"])
def test_what_is_no_rpc_is_refused(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        read_rpc(data)
    assert caught.value.code == "bad_message"


def test_an_rpc_has_a_largest_size() -> None:
    filler = encode_fields([(99, bytes(MAX_RPC_BYTES))])[: MAX_RPC_BYTES + 1]
    with pytest.raises(PeerFault, match=str(MAX_RPC_BYTES)):
        read_rpc(filler)


@pytest.mark.parametrize(
    "entry",
    [
        encode_fields([(1, b"")]),
        encode_fields([(2, b"")]),
        control((3, b"")),
        control((4, b"")),
    ],
)
def test_an_rpc_has_a_largest_number_of_entries(entry: bytes) -> None:
    read_rpc(entry * MAX_ENTRIES)
    with pytest.raises(PeerFault) as caught:
        read_rpc(entry * (MAX_ENTRIES + 1))
    assert caught.value.code == "too_many"


def test_what_nobody_needs_is_passed_over() -> None:
    ihave = control((1, encode_fields([(1, b"t"), (2, b""), (2, b"x" * 129), (2, b"y")])))
    iwant = control((2, encode_fields([(1, b"i")])))
    rpc = read_rpc(ihave * (MAX_IHAVE_ENTRIES + 3) + iwant * (MAX_IWANT_ENTRIES + 3))
    assert rpc.ihave == (("t", (b"y",)),) * MAX_IHAVE_ENTRIES
    assert rpc.iwant == ((b"i",),) * MAX_IWANT_ENTRIES
    nameless = encode_fields([(1, encode_fields([(1, 1)]))]) + control((3, b""), (4, b""), (1, b""))
    empty = read_rpc(nameless)
    assert not (empty.subscriptions or empty.graft or empty.prune or empty.ihave)
    long = encode_fields([(1, encode_fields([(1, 1), (2, b"t" * 257)]))])
    assert read_rpc(long).subscriptions == ()


def test_a_prune_is_read_within_bounds() -> None:
    infos = [
        encode_fields([(1, peer_id_bytes(PEER)), (2, bytes(MAX_RECORD_BYTES + 1))]),
        encode_fields([(1, b"nobody"), (2, b"record")]),
        encode_fields([(1, peer_id_bytes(PEER))]),
        *[encode_fields([(1, peer_id_bytes(PEER)), (2, b"r")])] * MAX_EXCHANGED,
    ]
    entry = encode_fields([(1, b"t"), *((2, info) for info in infos), (3, 1 << 62)])
    (prune,) = read_rpc(control((4, entry))).prune
    assert prune.backoff == MAX_BACKOFF
    assert len(prune.exchanged) == MAX_EXCHANGED - 1
    assert prune.exchanged[:3] == (Exchanged(PEER, None), Exchanged(PEER, None), Exchanged(PEER, b"r"))


@given(st.binary(max_size=200))
def test_bytes_at_random_are_read_or_refused(data: bytes) -> None:
    try:
        read_rpc(data)
    except PeerFault as error:
        assert error.code in ("bad_message", "too_many")
