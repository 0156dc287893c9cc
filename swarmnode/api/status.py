"""Models, status and health: what a client may ask about the node."""

from __future__ import annotations

from typing import Any

from swarmnode.api.replies import reply_json
from swarmnode.api.routing import Router
from swarmnode.values.cards import ModelCard


class StatusRoutes:
    """core: `IResponseCore`; node: `INodeStatus`."""

    def __init__(self, core: Any, node: Any) -> None:
        self._core = core
        self._node = node

    def add_to(self, router: Router) -> None:
        """Add the routes."""
        router.add("GET", "/v1/models", self.models)
        router.add("GET", "/v1/models/<path:name>", self.model)
        router.add("GET", "/v1/status", self.status)
        router.add("GET", "/health", self.health)
        router.add("GET", "/health/ready", self.ready)

    def models(self, request: Any) -> bytes:
        """The models that can be asked for, the default first."""
        usable = [model_object(card) for card in self._core.cards() if not card.problem]
        return reply_json(request, {"object": "list", "data": usable})

    def model(self, request: Any, name: str) -> bytes:
        """One model; raises `Refused(code='model_not_found')`."""
        return reply_json(request, model_object(self._core.find(name)))

    def status(self, request: Any) -> bytes:
        """The node's own account of itself."""
        return reply_json(request, self._node.status())

    def health(self, request: Any) -> bytes:
        """Whether the process answers."""
        return reply_json(request, {"status": "ok"})

    def ready(self, request: Any) -> bytes:
        """Whether all parts of the node run: 200 or 503, as the seeds say."""
        subsystems = dict(self._node.readiness())
        ready = all(subsystems.values())
        return reply_json(request, {"ready": ready, "subsystems": subsystems}, 200 if ready else 503)


def model_object(card: ModelCard) -> dict[str, Any]:
    """A card as OpenAI's model object; both names of the context's length are left out when unknown."""
    value: dict[str, Any] = {
        "id": card.label,
        "object": "model",
        "created": card.created,
        "owned_by": card.owned_by,
    }
    context = card.context_length or (card.facts.context_length if card.facts else None)
    if context:
        value |= {"max_model_len": context, "context_length": context}
    return value
