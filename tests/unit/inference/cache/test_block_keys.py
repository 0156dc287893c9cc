"""Names of blocks: chained, salted, and fixed for ever."""

from __future__ import annotations

import struct

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.inference.cache.block_keys import KEY_BYTES, block_keys, chain_salt

SALT = chain_salt(b"pool", "model", "profile")
IDS = list(range(1000, 1200))


def test_a_key_is_the_hash_of_the_key_before_and_the_block() -> None:
    first = blake3(SALT + struct.pack("<64i", *IDS[:64])).digest()
    second = blake3(first + struct.pack("<64i", *IDS[64:128])).digest()
    third = blake3(second + struct.pack("<64i", *IDS[128:192])).digest()
    assert block_keys(SALT, IDS) == [first, second, third]
    assert len(first) == KEY_BYTES


def test_keys_written_down_stay() -> None:
    """Nodes of different versions name blocks alike."""
    assert SALT.hex() == "39106f231e7e0941b8172b3b6aca8739a5281b9348182b5bc7195d22402d33d8"
    assert (
        block_keys(SALT, range(64))[0].hex()
        == "fcd9288d3e5a265906bdb77057f1b8831a187b03969d46afea7312ece5512afe"
    )


def test_only_full_blocks_have_keys() -> None:
    assert block_keys(SALT, IDS[:63]) == []
    assert len(block_keys(SALT, IDS[:64])) == len(block_keys(SALT, IDS[:127])) == 1


@given(st.integers(0, 191), st.integers(0, 1 << 30))
def test_another_token_changes_its_block_and_all_after_it(position: int, token: int) -> None:
    other = [*IDS[:position], token, *IDS[position + 1 :]]
    same = [
        mine == theirs for mine, theirs in zip(block_keys(SALT, IDS), block_keys(SALT, other), strict=True)
    ]
    changed = 3 if token == IDS[position] else position // 64
    assert same == [i < changed for i in range(3)]


def test_whatever_the_blocks_depend_on_changes_the_salt() -> None:
    salts = [
        chain_salt(b"pool", "model", "profile"),
        chain_salt(b"other", "model", "profile"),
        chain_salt(b"pool", "mode", "lprofile"),
        chain_salt(b"pool", "model", "other"),
        chain_salt(b"pool", "model"),
    ]
    assert len({block_keys(salt, IDS)[0] for salt in salts}) == len(salts)
