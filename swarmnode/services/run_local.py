"""Running requests in this node's own worker processes."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from swarmnode.driving.steering import Steering
from swarmnode.interfaces.generation import IGenerator
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Failed, GenerationRequest, TokenIds


@implementer(IGenerator)
class LocalModels:
    """Joins the catalog (which models there are) and the worker pool (what runs them)."""

    name = "local"

    def __init__(self, catalog: Any, pool: Any) -> None:
        self._catalog = catalog
        self._pool = pool

    def cards(self) -> tuple[ModelCard, ...]:
        return tuple(self._catalog.cards())

    def generate(self, request: GenerationRequest, sink: Any) -> Any:
        card = next((card for card in self.cards() if card.label == request.model), None)
        if card is None:
            return _refuse(
                sink, _unusable(f"The model {request.model!r} is gone from this node", "model_not_found")
            )
        if card.problem:
            return _refuse(sink, _unusable(card.problem, "model_unusable"))
        # A million ids need not go to the worker to be counted.
        count = len(request.prompt.ids) if isinstance(request.prompt, TokenIds) else 0
        if card.context_length and count >= card.context_length:
            return _refuse(sink, _too_long(count, card.context_length))
        return self._pool.generate(card, request, sink)


def _refuse(sink: Any, error: Refused) -> Steering:
    sink.event(Failed(error))
    return Steering()  # of nothing: it is over


def _unusable(message: str, code: str) -> Refused:
    hint = "GET /v1/models lists the models that can be asked for."
    return Refused(message, code=code, hint=hint, param="model")


def _too_long(count: int, context: int) -> Refused:
    return Refused(
        f"The prompt has {count} tokens, but the context holds {context} with the answer",
        code="context_length_exceeded",
        hint="Send a shorter prompt, or use a model with a longer context.",
        param="prompt",
    )
