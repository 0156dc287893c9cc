"""Distances against hand-computed ones."""

from __future__ import annotations

import hashlib
import random

import pytest

from swarmnode.protocols.kademlia.distance import aimed_key, common_prefix, peer_place, place, provider_key
from swarmnode.values.peer_id import peer_id, peer_id_bytes, peer_id_text

PEER = peer_id(bytes(32))


def test_a_peer_lies_at_the_sha256_of_its_binary_id() -> None:
    assert peer_place(PEER) == place(peer_id_bytes(PEER))
    assert place(b"abc") == int("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 16)


def test_the_bucket_is_the_count_of_common_leading_bits() -> None:
    assert common_prefix(0, 1 << 255) == 0
    assert common_prefix(0b11 << 254, 0b10 << 254) == 1
    assert common_prefix(5, 4) == 255
    assert common_prefix(7, 7) == 256


@pytest.mark.parametrize("prefix", [0, 1, 5, 9])
def test_an_aimed_key_falls_into_its_bucket_and_looks_like_a_peer_id(prefix: int) -> None:
    key = aimed_key(peer_place(PEER), prefix, random.Random(prefix))
    assert common_prefix(place(key), peer_place(PEER)) == prefix
    assert peer_id_bytes(peer_id_text(key)) == key


def test_a_provider_key_is_a_sha256_multihash() -> None:
    assert provider_key(b"x") == b"\x12\x20" + hashlib.sha256(b"x").digest()
