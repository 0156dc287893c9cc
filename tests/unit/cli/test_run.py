"""What `swarmnode run` tells somebody at a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from swarmnode.cli.run import greet
from swarmnode.services.welcome import Greeting
from swarmnode.values.cards import ModelCard


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, model: ModelCard | None, as_json: bool = False) -> str:
    greeting = Greeting("http://127.0.0.1:8800", Path("/data"), model)
    greet(greeting, stream=stream, as_json=as_json)
    return stream.getvalue()


def test_page_key_model_and_how_to_stop() -> None:
    lines = told(Terminal(), ModelCard("guide", "numpy", owned_by="builtin")).split("\n")
    assert lines[1].startswith("  swarmnode ")
    assert lines[3:8] == [
        "  page   http://127.0.0.1:8800",
        "  API    http://127.0.0.1:8800/v1, key in /data/api_key",
        "  model  guide (the built-in guide; for a real one: --model FILE.gguf)",
        "  data   /data",
        "  stop   Ctrl-C",
    ]


@pytest.mark.parametrize(
    ("model", "line"), [(ModelCard("big", "numpy"), "  model  big"), (None, "  model  none")]
)
def test_other_models(model: ModelCard | None, line: str) -> None:
    assert line in told(Terminal(), model).split("\n")


def test_nothing_for_programs() -> None:
    assert told(io.StringIO(), None) == ""
    assert told(Terminal(), None, as_json=True) == ""
