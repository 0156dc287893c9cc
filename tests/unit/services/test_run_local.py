"""What is refused before a worker hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from swarmnode.services.run_local import LocalModels
from swarmnode.values.cards import ModelCard
from swarmnode.values.generation import Failed, GenerationEvent, GenerationRequest, Prompt, RawText, TokenIds

CARDS = (
    ModelCard("good", "numpy", context_length=8),
    ModelCard("bad", "numpy", problem="/models/bad.gguf is cut short"),
    ModelCard("free", "scripted"),
)


class Catalog:
    def cards(self) -> tuple[ModelCard, ...]:
        return CARDS


class Pool:
    def __init__(self) -> None:
        self.ran: list[str] = []

    def generate(self, card: ModelCard, request: GenerationRequest, sink: Any) -> str:
        self.ran.append(card.label)
        return "running"


class Sink:
    def __init__(self) -> None:
        self.events: list[GenerationEvent] = []

    def event(self, event: GenerationEvent) -> None:
        self.events.append(event)


def generate(model: str, prompt: Prompt) -> tuple[Pool, Sink]:
    pool, sink = Pool(), Sink()
    LocalModels(Catalog(), pool).generate(GenerationRequest("r", model, prompt), sink)
    return pool, sink


@pytest.mark.parametrize(
    ("model", "prompt"),
    [("good", TokenIds((1,) * 7)), ("good", RawText("x" * 100)), ("free", TokenIds((1,) * 100))],
)
def test_what_may_fit_runs(model: str, prompt: Prompt) -> None:
    pool, sink = generate(model, prompt)
    assert (pool.ran, sink.events) == ([model], [])


@pytest.mark.parametrize(
    ("model", "prompt", "code", "says"),
    [
        ("good", TokenIds((1,) * 8), "context_length_exceeded", "8 tokens, but the context holds 8"),
        ("bad", RawText("x"), "model_unusable", "/models/bad.gguf is cut short"),
        ("gone", RawText("x"), "model_not_found", "'gone' is gone"),
    ],
)
def test_what_cannot_run_is_refused_by_name(model: str, prompt: Prompt, code: str, says: str) -> None:
    pool, sink = generate(model, prompt)
    assert pool.ran == []
    (event,) = sink.events
    assert isinstance(event, Failed)
    assert event.error.code == code
    assert says in event.error.message
