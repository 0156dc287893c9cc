"""The log file: its bounds, its mode, and what happens when it cannot be written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from swarmnode.observability.outlets import RETRY_EVERY, FileOutlet, StreamOutlet
from swarmnode.values.errors import Refused


def test_size_and_count_are_bounded_and_no_line_is_torn(tmp_path: Path):
    path = tmp_path / "node.log"
    outlet = FileOutlet(path, max_bytes=100, kept=3)
    for number in range(100):
        outlet.write(f"line {number:04}")
    outlet.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["node.log", "node.log.1", "node.log.2", "node.log.3"]
    assert all(p.stat().st_size <= 100 for p in tmp_path.iterdir())
    kept = "".join((tmp_path / name).read_text() for name in reversed(names)).splitlines()
    assert kept == [f"line {number:04}" for number in range(100 - len(kept), 100)]
    assert len(kept) >= 30
    assert outlet.lost == 0


def test_a_line_longer_than_the_file_may_be_is_written_whole(tmp_path: Path):
    outlet = FileOutlet(tmp_path / "node.log", max_bytes=10, kept=1)
    outlet.write("x" * 50)
    outlet.write("y")
    outlet.close()
    assert (tmp_path / "node.log").read_text() == "y\n"
    assert (tmp_path / "node.log.1").read_text() == "x" * 50 + "\n"


def test_a_restart_appends(tmp_path: Path):
    for word in ("one", "two"):
        outlet = FileOutlet(tmp_path / "node.log")
        outlet.write(word)
        outlet.close()
        outlet.write("after the close")
    assert (tmp_path / "node.log").read_text() == "one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "node.log").stat().st_mode) == 0o600


def test_a_missing_directory_is_named(tmp_path: Path):
    with pytest.raises(Refused, match="nowhere") as caught:
        FileOutlet(tmp_path / "nowhere" / "node.log")
    assert caught.value.code == "log_directory_missing"


def test_a_directory_in_the_files_place_is_named(tmp_path: Path):
    with pytest.raises(Refused) as caught:
        FileOutlet(tmp_path)
    assert caught.value.code == "log_file_unusable"


def test_a_disk_that_fails_is_told_once_and_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "node.log"
    outlet = FileOutlet(path)
    outlet.write("before")
    broken = outlet._file
    assert broken
    os.close(broken.fileno())
    for _ in range(150):
        outlet.write("during")
    assert capsys.readouterr().err.count("cannot be written") == 1
    assert 1 <= outlet.lost <= 100
    outlet.write("after")
    assert path.read_text().splitlines()[-1] == "after"
    outlet.close()


def test_half_a_surrogate_pair_is_written_somehow(tmp_path: Path):
    outlet = FileOutlet(tmp_path / "node.log")
    outlet.write("\ud800")
    outlet.close()
    assert (tmp_path / "node.log").read_bytes() == b"\\ud800\n"


def test_no_standard_error_is_no_error(monkeypatch: pytest.MonkeyPatch):
    outlet = StreamOutlet()
    monkeypatch.setattr("sys.stderr", None)
    outlet.write("nobody")
    assert outlet.lost == 1


class _NearlyFull:
    """A file on a disk with room for so many bytes more."""

    def __init__(self, path: Path, room: int) -> None:
        self._file = path.open("ab", buffering=0)
        self.room = room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        part = data[: self.room]
        self.room -= len(part)
        return self._file.write(part)

    def close(self) -> None:
        self._file.close()


def test_a_line_that_a_full_disk_cut_is_counted_and_does_not_swallow_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "node.log"
    outlet = FileOutlet(path)
    monkeypatch.setattr(outlet, "_file", _NearlyFull(path, 6))
    outlet.write("one")
    outlet.write("two")
    assert outlet.lost == 1
    assert "No space left on device" in capsys.readouterr().err
    outlet.lost = RETRY_EVERY  # time to try again; now there is room
    outlet.write("three")
    outlet.close()
    assert path.read_text() == "one\ntw\nthree\n"
