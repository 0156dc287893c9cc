"""`GET /metrics` in the Prometheus text format, or in OpenMetrics for who asks for it."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from swarmnode.api.replies import header_text, reply
from swarmnode.api.routing import Router


class MetricsRoutes:
    """registry: the one that holds the node's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def add_to(self, router: Router) -> None:
        """Add the routes."""
        router.add("GET", "/metrics", self.metrics)

    def metrics(self, request: Any) -> bytes:
        """All metrics now."""
        encode, content_type = choose_encoder(header_text(request, b"accept"))
        return reply(request, encode(self._registry), content_type.encode("ascii"))
