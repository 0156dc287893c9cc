"""Machine code on disk: kept whole, believed only when nobody else could have written it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from swarmnode.inference.kernels import code_files
from swarmnode.inference.kernels.code_files import STALE_SECONDS, CodeFiles

CODE = b"\x7fELF" + bytes(range(200))
POSIX = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners and modes here")


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_was_written_is_read_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "kernels"
    CodeFiles(folder, "v1").write("a", CODE)
    later = CodeFiles(folder, "v1")
    assert later.read("a") == CODE
    assert later.read("b") is None
    assert CodeFiles(folder, "v2").read("a") is None
    later.write("a", b"new")
    assert later.read("a") == b"new" and len(list(folder.iterdir())) == 1


@POSIX
def test_the_folder_and_its_files_are_the_users_alone(tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    CodeFiles(folder, "v").write("a", CODE)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only(folder).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cut", [0, 5, 31, 32, 40, -1])
def test_a_truncated_file_is_not_believed(tmp_path: Path, cut: int) -> None:
    files = CodeFiles(tmp_path, "v")
    files.write("a", CODE)
    path = only(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    assert files.read("a") is None
    files.write("a", CODE)
    assert files.read("a") == CODE


@pytest.mark.parametrize("place", [0, 31, 32, 100, -1])
def test_an_altered_file_is_not_believed(tmp_path: Path, place: int) -> None:
    files = CodeFiles(tmp_path, "v")
    files.write("a", CODE)
    path = only(tmp_path)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert files.read("a") is None


@POSIX
def test_what_others_could_write_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = CodeFiles(tmp_path, "v")
    files.write("a", CODE)
    for path in (only(tmp_path), tmp_path):
        mode = path.stat().st_mode
        path.chmod(mode | 0o020)
        assert files.read("a") is None
        path.chmod(mode)
    assert files.read("a") == CODE
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert files.read("a") is None
    files.write("b", CODE)  # nor is anything put where somebody else rules
    assert only(tmp_path)


def test_where_there_are_no_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getuid", raising=False)
    files = CodeFiles(tmp_path, "v")
    files.write("a", CODE)
    assert files.read("a") == CODE


def test_a_folder_that_cannot_be_made_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    files = CodeFiles(tmp_path / "file" / "kernels", "v")
    files.write("a", CODE)
    assert files.read("a") is None


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(code_files.os, "replace", full)
    files = CodeFiles(tmp_path, "v")
    files.write("a", CODE)
    assert files.read("a") is None and not list(tmp_path.iterdir())


def test_no_folder() -> None:
    files = CodeFiles(None, "v")
    files.write("a", CODE)
    assert files.read("a") is None


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_files, "MAX_FILE_BYTES", 300)
    files = CodeFiles(tmp_path, "v")
    files.write("big", bytes(301))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(code_files, "MAX_FILES", 3)
    for number in range(5):
        files.write(str(number), bytes(100))
        for path in tmp_path.iterdir():  # older by the second, as far as the file system knows
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert [files.read(str(number)) is not None for number in range(5)] == [False, False, True, True, True]
    monkeypatch.setattr(code_files, "MAX_BYTES", 300)
    files.write("5", bytes(100))
    assert [files.read(str(number)) is not None for number in range(6)] == [False] * 4 + [True, True]


def test_other_versions_and_forgotten_parts_are_removed(tmp_path: Path) -> None:
    CodeFiles(tmp_path, "old").write("a", CODE)
    recent, forgotten, stranger = (tmp_path / name for name in ("x.part", "y.part", "notes.txt"))
    for path in (recent, forgotten, stranger):
        path.write_bytes(b"")
    os.utime(forgotten, (recent.stat().st_mtime - STALE_SECONDS - 1,) * 2)
    CodeFiles(tmp_path, "new").write("a", CODE)
    assert CodeFiles(tmp_path, "old").read("a") is None
    assert CodeFiles(tmp_path, "new").read("a") == CODE
    assert recent.exists() and stranger.exists() and not forgotten.exists()


def test_several_writers_at_once(tmp_path: Path) -> None:
    """A reader sees one of the whole files, or none."""
    contents = [bytes([number]) * 50_000 for number in range(4)]
    seen: set[bytes | None] = set()

    def write(content: bytes) -> None:
        files = CodeFiles(tmp_path, "v")
        for _ in range(20):
            files.write("a", content)
            seen.add(files.read("a"))

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= {None, *contents}
    assert CodeFiles(tmp_path, "v").read("a") in contents
    assert only(tmp_path).suffix == ".code"
