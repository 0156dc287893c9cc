"""Model files by their digests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import execute

from swarmnode.services.know_models import KnowModels
from swarmnode.values.cards import ModelCard, ModelFacts

FACTS = ModelFacts("llama", 4, 64, 4, 4, 16, 256, 512, "F16", 4000)


class Bench:
    def __init__(self, folder: Path, *names: str) -> None:
        self.read: list[str] = []
        self.cards = [ModelCard("scripted", "scripted"), ModelCard("broken", "cpu", "/x", problem="broken")]
        for name in names:
            (folder / name).write_text(name)
            self.cards.append(ModelCard(name, "cpu", str(folder / name), facts=FACTS))
        self.models = KnowModels(lambda: self.cards, self.digest, execute)

    def digest(self, path: str) -> bytes:
        self.read.append(Path(path).name)
        return Path(path).read_bytes()

    def find(self, digest: bytes) -> Any:
        outcome: list[Any] = []
        self.models.find(digest).addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
        return outcome[0]


def test_a_model_is_found_by_its_digest_and_read_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a", "b")
    assert bench.find(b"b").label == "b"
    assert bench.find(b"a").label == "a"
    assert bench.read == ["a", "b"]


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a")
    bench.find(b"a")
    (tmp_path / "a").write_text("new")
    os.utime(tmp_path / "a", (1, 1))
    assert bench.find(b"a").code == "no_such_model"
    assert bench.find(b"new").label == "a"


def test_what_nobody_has_is_refused_with_a_way_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a")
    (tmp_path / "a").unlink()
    error = bench.find(b"a")
    assert error.code == "no_such_model" and error.hint


def test_a_model_without_a_file_has_no_digest(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for card in bench.cards:
        outcome: list[Any] = []
        bench.models.digest(card).addErrback(lambda failure, seen=outcome: seen.append(failure.value.code))
        assert outcome == ["no_model_file"]
