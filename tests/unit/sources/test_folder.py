"""The folder source: what counts as a model file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from swarmnode.interfaces.model_source import IModelShelf
from swarmnode.sources import folder
from swarmnode.sources.folder import FolderShelf


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_and_one_level_of_folders_in_a_fixed_order(tmp_path: Path):
    expected = [put(tmp_path / n) for n in ("b.gguf", "z.GGUF", "a/one.gguf", "c/x.gguf", "c/y.gguf")]
    for name in (
        "notes.txt",
        ".hidden.gguf",
        "a/deeper/no.gguf",
        "c/mmproj-x.gguf",
        ".cache/no.gguf",
        "x.gguf.part",
    ):
        put(tmp_path / name)
    shelf = FolderShelf([tmp_path, tmp_path / "absent", tmp_path / "b.gguf"])
    assert verifyObject(IModelShelf, shelf)
    assert shelf.paths() == tuple(expected)


def test_later_parts_of_a_split_file_are_left_out(tmp_path: Path):
    first = put(tmp_path / "m-00001-of-00003.gguf")
    put(tmp_path / "m-00002-of-00003.gguf")
    put(tmp_path / "m-00003-of-00003.gguf")
    assert FolderShelf([tmp_path]).paths() == (first,)


def test_links_are_followed_once_and_never_into_nothing(tmp_path: Path):
    blob = put(tmp_path / "blobs" / "0123abcd")
    models = tmp_path / "models"
    models.mkdir()
    (models / "a.gguf").symlink_to(blob)
    (models / "b.gguf").symlink_to(models / "a.gguf")
    (models / "broken.gguf").symlink_to(tmp_path / "nowhere")
    (models / "loop.gguf").symlink_to(models / "loop.gguf")
    (models / "around").symlink_to(models, target_is_directory=True)
    (models / "dir.gguf").mkdir()
    os.mkfifo(models / "pipe.gguf")
    assert FolderShelf([models, models]).paths() == (models / "a.gguf",)


def test_the_count_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folder, "MAX_FILES", 3)
    for number in range(10):
        put(tmp_path / f"{number}.gguf")
    assert len(FolderShelf([tmp_path]).paths()) == 3
    monkeypatch.setattr(folder, "MAX_NAMES_READ", 2)
    assert len(FolderShelf([tmp_path]).paths()) == 2


def test_a_file_that_comes_later_is_seen(tmp_path: Path):
    shelf = FolderShelf([tmp_path / "models"])
    assert shelf.paths() == ()
    new = put(tmp_path / "models" / "new.gguf")
    assert shelf.paths() == (new,)
