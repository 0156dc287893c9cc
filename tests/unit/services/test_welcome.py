"""What happens when the node is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmnode.services import welcome as module
from swarmnode.services.welcome import Greeting, welcome
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused
from swarmnode.values.settings import NodeSettings

PAGE = "http://127.0.0.1:8800"
BROKEN = ModelCard("broken", "numpy", problem="it is cut off")


class Stage:
    """The core, the pool and the log in one; records what they are told."""

    def __init__(self, *cards: ModelCard) -> None:
        self._cards = cards
        self.loaded: list[str] = []
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.greetings: list[Greeting] = []

    def cards(self) -> tuple[ModelCard, ...]:
        return self._cards

    def find(self, name: str) -> ModelCard:
        if not self._cards or self._cards[0].problem:
            raise Refused("There is no model", code="model_not_found")
        return self._cards[0]

    def preload(self, card: ModelCard) -> None:
        self.loaded.append(card.label)

    def __getattr__(self, level: str) -> Any:
        return lambda text, **fields: self.lines.append((level, text, fields))

    def run(self, **settings: Any) -> Stage:
        wanted = NodeSettings(**{"data_dir": Path("/data"), "open_browser": False, **settings})
        welcome(self, self, wanted, PAGE, self, self.greetings.append)
        return self


def test_the_user_is_told_the_page_and_the_model() -> None:
    card = ModelCard("guide", "numpy", owned_by="builtin")
    stage = Stage(card, BROKEN).run()
    assert stage.greetings == [Greeting(PAGE, Path("/data"), card)]
    assert stage.lines == [("info", "ready", {"page": PAGE, "models": 1, "default": "guide"})]


@pytest.mark.parametrize(
    ("card", "named", "loaded"),
    [
        (ModelCard("guide", "numpy", "/g", owned_by="builtin"), None, ["guide"]),
        (ModelCard("mine", "numpy", "/m.gguf"), Path("/m.gguf"), ["mine"]),
        (ModelCard("found", "numpy", "/models/f.gguf"), None, []),
        (ModelCard("found", "numpy", "/models/f.gguf"), Path("/m.gguf"), []),
    ],
)
def test_what_is_warmed_up(card: ModelCard, named: Path | None, loaded: list[str]) -> None:
    assert Stage(card).run(model_path=named).loaded == loaded


def test_a_node_without_a_model_says_so_and_is_ready_all_the_same() -> None:
    stage = Stage(BROKEN).run()
    assert [text for _, text, _ in stage.lines] == ["no model answers by default", "ready"]
    assert stage.greetings[0].model is None


def test_a_browser_that_fails_is_only_worth_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(page: str) -> None:
        raise OSError(f"no browser for {page}")

    stage = Stage()
    monkeypatch.setattr("webbrowser.open", fail)
    module._browse(PAGE, stage)
    assert stage.lines == [("debug", "no browser", {"reason": f"no browser for {PAGE}"})]
