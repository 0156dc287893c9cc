"""The API key file and the comparison."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from swarmnode.interfaces.node import IKeyRing
from swarmnode.storage.api_key import KeyRing, load_or_create_api_key
from swarmnode.values.errors import LocalFault, Refused


def test_the_first_start_makes_a_key_that_stays(tmp_path: Path):
    ring = load_or_create_api_key(tmp_path)
    assert verifyObject(IKeyRing, ring)
    assert re.fullmatch("[0-9a-f]{64}", ring.api_key())
    assert load_or_create_api_key(tmp_path).api_key() == ring.api_key()
    assert stat.S_IMODE((tmp_path / "api_key").stat().st_mode) == 0o600


def test_two_nodes_have_two_keys(tmp_path: Path):
    keys = {load_or_create_api_key(tmp_path / name).api_key() for name in "ab"}
    assert len(keys) == 2


def test_the_configured_key_wins_and_no_file_is_made(tmp_path: Path):
    assert load_or_create_api_key(tmp_path, "configured-key").api_key() == "configured-key"
    assert list(tmp_path.iterdir()) == []


def test_only_the_key_itself_is_allowed():
    ring = KeyRing("abcdefgh")
    assert ring.allows("abcdefgh")
    for other in ("", "abcdefg", "abcdefgh ", "ABCDEFGH", "abcdefghi", "\N{SNOWMAN}", "\ud800", "abcdefg\0"):
        assert not ring.allows(other)
    assert "abcdefgh" not in repr(ring)


def test_a_file_edited_by_hand_may_end_in_newlines(tmp_path: Path):
    (tmp_path / "api_key").write_bytes(b"  my-own-key\r\n\r\n")
    assert load_or_create_api_key(tmp_path).api_key() == "my-own-key"


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"two words here", b"\xff" * 40, b"a" * 600])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "api_key").write_bytes(content)
    with pytest.raises(LocalFault, match="api_key") as caught:
        load_or_create_api_key(tmp_path)
    assert caught.value.code == "bad_api_key"


@pytest.mark.parametrize("key", ["short", "with a space", "k\xe9y-of-eight", "x" * 513])
def test_a_configured_key_that_no_header_carries_is_refused(tmp_path: Path, key: str):
    with pytest.raises(Refused):
        load_or_create_api_key(tmp_path, key)


def test_an_endless_file_is_not_read_whole(tmp_path: Path):
    (tmp_path / "api_key").write_bytes(b"a" * 200_000)
    with pytest.raises(LocalFault) as caught:
        load_or_create_api_key(tmp_path)
    assert caught.value.code == "private_file_unreadable"
