from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmnode.services.keep_catalog import GUIDE_LABEL, ModelCatalog
from swarmnode.values.cards import ModelCard, ModelFacts
from swarmnode.values.errors import Refused


class Shelf:
    def __init__(self, *paths: Path) -> None:
        self.found = paths

    def paths(self) -> tuple[Path, ...]:
        return self.found


class Now:
    """A Deferred that has fired."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def addCallback(self, function: Any) -> Now:
        return Now(function(self.value))


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str, **fields: Any) -> None:
        self.lines.append(f"{text} {fields.get('model')}")

    warning = info


def facts(path: Path) -> ModelFacts:
    if "bad" in path.name:
        raise Refused(f"{path.name}: is not a GGUF", code="bad_model_file")
    return ModelFacts("llama", 2, 8, 2, 1, 4, 16, 128, "F32", 1000)


def catalog(**changes: Any) -> tuple[ModelCatalog, Log]:
    log = Log()
    settings: dict[str, Any] = {
        "first": (),
        "shelves": (),
        "guide": None,
        "facts": facts,
        "defer": lambda f: Now(f()),
        "backend": "numpy",
        "log": log,
    }
    return ModelCatalog(**(settings | changes)), log


@pytest.fixture
def files(tmp_path: Path) -> Any:
    def make(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        return path

    return make


def labels(models: ModelCatalog) -> list[str]:
    return [card.label for card in models.cards()]


def test_named_files_come_first_and_the_guide_last(files: Any) -> None:
    models, _ = catalog(
        first=[files("Mine.gguf")], shelves=[Shelf(files("shelf/A.gguf"))], guide=files("guide/guide.gguf")
    )
    models.rescan()
    assert labels(models) == ["mine", "a", GUIDE_LABEL]
    assert models.cards()[2].owned_by == "builtin"
    assert models.cards()[0].context_length == 128


def test_scripted_models_need_no_file_and_come_last(files: Any) -> None:
    models, _ = catalog(fixed=[ModelCard("echo", "scripted")], guide=files("guide.gguf"))
    assert labels(models) == ["echo"]
    models.rescan()
    assert labels(models) == [GUIDE_LABEL, "echo"]


def test_a_broken_file_is_listed_with_its_problem_and_never_the_default(files: Any) -> None:
    models, _ = catalog(first=[files("bad.gguf")], guide=files("guide.gguf"))
    models.rescan()
    assert labels(models) == [GUIDE_LABEL, "bad"]
    assert models.cards()[1].problem == "bad.gguf: is not a GGUF"


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    models, _ = catalog(first=[tmp_path / "nowhere.gguf"])
    models.rescan()
    assert "No such file" in models.cards()[0].problem


def test_the_log_tells_models_from_files_that_are_none(files: Any) -> None:
    models, log = catalog(first=[files("good.gguf"), files("bad.gguf")])
    models.rescan()
    models.rescan()
    assert log.lines == ["model found good", "model cannot be used bad"]


def test_copies_and_left_overs_are_not_models(files: Any) -> None:
    models, _ = catalog(shelves=[Shelf(files("a.bak.gguf"), files("b copy.gguf"))])
    models.rescan()
    assert labels(models) == []


def test_two_files_with_one_name_are_told_apart_in_the_log(files: Any) -> None:
    models, log = catalog(shelves=[Shelf(files("one/a.gguf"), files("two/a.gguf"))])
    models.rescan()
    assert labels(models) == ["a"]
    assert any("two files have one name" in line for line in log.lines)


def test_the_same_file_named_twice_is_no_conflict(files: Any) -> None:
    path = files("a.gguf")
    models, log = catalog(first=[path], shelves=[Shelf(path)])
    models.rescan()
    assert labels(models) == ["a"]
    assert not any("two files" in line for line in log.lines)


def test_a_rescan_reads_only_what_changed(files: Any) -> None:
    read: list[str] = []

    def counting(path: Path) -> ModelFacts:
        read.append(path.name)
        return facts(path)

    models, _ = catalog(first=[files("a.gguf")], facts=counting)
    models.rescan()
    models.rescan()
    assert read == ["a.gguf"]
