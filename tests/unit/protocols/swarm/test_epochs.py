"""Gossip of a private network: members read it, for an hour with one key; nobody else does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.swarm.epochs import EPOCH, OVERHEAD, EpochSealer
from swarmnode.values.errors import PeerFault

NOW = 1_800_000_000 // EPOCH * EPOCH + 1800.0


def sealer(network: str = "our swarm") -> EpochSealer:
    drawn = iter(range(1 << 20))
    return EpochSealer(network, lambda count: hashlib.sha256(b"%d" % next(drawn)).digest()[:count])


@given(st.binary(max_size=300), st.floats(0, 2**31))
def test_members_read_what_members_seal(data: bytes, stamp: float) -> None:
    sealed = sealer().seal("t", data, stamp)
    assert sealer().open("t", sealed, stamp) == data
    assert len(sealed) == len(data) + OVERHEAD


def test_an_outsider_reads_nothing() -> None:
    sealed = sealer().seal("t", b"a secret of ours", NOW)
    assert b"secret" not in sealed
    with pytest.raises(PeerFault) as caught:
        sealer("their swarm").open("t", sealed, NOW)
    assert caught.value.code == "invalid_gossip"


def test_the_key_changes_every_hour() -> None:
    ours = sealer()
    first, second = ours.seal("t", b"x", EPOCH - 1), ours.seal("t", b"x", EPOCH)
    assert (first[1:5], second[1:5]) == (b"\0\0\0\0", b"\0\0\0\1")
    with pytest.raises(PeerFault) as caught:
        ours.open("t", b"\x01\0\0\0\1" + first[5:], EPOCH)
    assert caught.value.code == "invalid_gossip"


@pytest.mark.parametrize(
    ("sealed_at", "opened_at", "opens"),
    [(-1, 299, True), (-1, 300, False), (0, -30, True), (0, -31, False), (-1, 0, True)],
)
def test_an_hour_is_open_as_long_as_its_messages_are_fresh(
    sealed_at: int, opened_at: int, opens: bool
) -> None:
    """Times around the turn of an hour."""
    sealed = sealer().seal("t", b"x", 10 * EPOCH + sealed_at)
    if opens:
        assert sealer().open("t", sealed, 10 * EPOCH + opened_at) == b"x"
        return
    with pytest.raises(PeerFault) as caught:
        sealer().open("t", sealed, 10 * EPOCH + opened_at)
    assert caught.value.code == "stale"


def test_what_is_sealed_belongs_to_its_topic() -> None:
    with pytest.raises(PeerFault):
        sealer().open("other", sealer().seal("t", b"x", NOW), NOW)


def test_the_public_network_has_no_such_key() -> None:
    with pytest.raises(ValueError, match="secret"):
        EpochSealer("", lambda count: bytes(count))


@given(st.binary(max_size=100))
def test_whatever_comes_is_a_named_fault(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        sealer().open("t", data, NOW)
    assert caught.value.code in ("invalid_gossip", "stale")


@given(st.integers(0, 60), st.integers(1, 255))
def test_no_changed_byte_goes_unseen(at: int, change: int) -> None:
    sealed = bytearray(sealer().seal("t", b"x" * 28, NOW))
    sealed[at] ^= change
    with pytest.raises(PeerFault):
        sealer().open("t", bytes(sealed), NOW)
