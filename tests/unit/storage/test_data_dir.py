"""One node a directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from swarmnode.storage.data_dir import Holder, data_dir_holder, hold_data_dir
from swarmnode.values.errors import Refused


def no_wait(_seconds: float) -> None:
    """Tests do not sleep."""


def test_the_second_node_is_told_who_holds_the_directory(tmp_path: Path):
    lock = hold_data_dir(tmp_path / "node", 8800)
    with pytest.raises(Refused) as caught:
        hold_data_dir(tmp_path / "node", 8801, no_wait)
    assert caught.value.code == "data_dir_in_use"
    assert str(os.getpid()) in caught.value.message
    assert "8800" in caught.value.message
    assert data_dir_holder(tmp_path / "node") == Holder(os.getpid(), 8800)
    lock.release()


def test_after_the_release_it_is_free(tmp_path: Path):
    hold_data_dir(tmp_path, 8800).release()
    assert data_dir_holder(tmp_path) is None
    lock = hold_data_dir(tmp_path, 9000)
    assert data_dir_holder(tmp_path) == Holder(os.getpid(), 9000)
    lock.release()
    lock.release()


def test_the_directory_is_the_owners(tmp_path: Path):
    lock = hold_data_dir(tmp_path / "a" / "b", 8800)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    lock.release()


def test_looking_creates_nothing(tmp_path: Path):
    assert data_dir_holder(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()


def test_a_look_of_an_instant_turns_no_node_away(tmp_path: Path):
    lock = hold_data_dir(tmp_path, 8800)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        lock.release()

    hold_data_dir(tmp_path, 8801, wait).release()
    assert len(waits) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x", "port": 1}', b"\xff\xfe", b"[" * 4096])
def test_a_lock_file_with_nonsense_in_it_still_refuses(tmp_path: Path, content: bytes):
    lock = hold_data_dir(tmp_path, 8800)
    (tmp_path / "node.lock").write_bytes(content)
    with pytest.raises(Refused, match="another node"):
        hold_data_dir(tmp_path, 8801, no_wait)
    lock.release()


def test_a_file_in_the_way_is_named(tmp_path: Path):
    (tmp_path / "taken").write_text("not a directory")
    with pytest.raises(Refused, match="taken") as caught:
        hold_data_dir(tmp_path / "taken", 8800)
    assert caught.value.code == "data_dir_unusable"
