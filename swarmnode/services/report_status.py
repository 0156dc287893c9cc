"""Telling how the node is: the facts behind `/v1/status`, `/health/ready` and the admin statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from swarmnode.interfaces.host import Host
from swarmnode.interfaces.node import INodeStatus
from swarmnode.services.request_record import RequestSummary
from swarmnode.values.errors import Refused

MAX_LATENCIES = 1000


class RequestTally:
    """Counts and latencies of finished requests; an observer of the response core."""

    def __init__(self) -> None:
        self.finished = 0
        self.failed = 0
        self.tokens = 0
        self._latencies: deque[float] = deque(maxlen=MAX_LATENCIES)

    def requests_changed(self, running: int, waiting: int) -> None:
        """Nothing to count."""

    def request_finished(self, summary: RequestSummary) -> None:
        self.finished += 1
        self.tokens += summary.tokens or 0
        if summary.outcome == "ok":
            self._latencies.append(summary.total_ms)
        elif summary.outcome == "error":
            self.failed += 1

    def latencies(self) -> dict[str, Any]:
        """The `inference` object of the statistics; figures that were not measured are left out."""
        ordered = sorted(self._latencies)
        figures: dict[str, Any] = {"total_requests": self.finished, "samples": len(ordered)}
        if ordered:
            figures |= {
                "avg_latency_ms": round(sum(ordered) / len(ordered), 3),
                "min_latency_ms": round(ordered[0], 3),
                "max_latency_ms": round(ordered[-1], 3),
                "p50_latency_ms": round(_quantile(ordered, 0.50), 3),
                "p95_latency_ms": round(_quantile(ordered, 0.95), 3),
                "p99_latency_ms": round(_quantile(ordered, 0.99), 3),
            }
        return figures


def _quantile(ordered: list[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


@implementer(INodeStatus)
class NodeStatus:
    """Gathers the facts from their owners; keeps none itself but the moment of its start."""

    def __init__(
        self,
        *,
        version: str,
        peer_id: str,
        readiness: Callable[[], dict[str, bool]],
        core: Any,
        pool: Any,
        tally: RequestTally,
        hardware: Callable[[], dict[str, Any]],
        api_address: str,
        host: Host,
        now: Callable[[], float],
        shut_down: Callable[[str], None],
    ) -> None:
        self.version = version
        self.peer_id = peer_id
        self._readiness = readiness
        self._core = core
        self._pool = pool
        self._tally = tally
        self._hardware = hardware
        self._api_address = api_address
        self._host = host
        self._now = now
        self._shut_down = shut_down
        self._begun = now()

    def readiness(self) -> dict[str, bool]:
        return self._readiness()

    def status(self) -> dict[str, Any]:
        cards = self._core.cards()
        parts = self.readiness()
        return {
            "node_id": self.peer_id,
            "peer_id": self.peer_id,
            "addresses": [str(one.with_peer(self.peer_id)) for one in self._host.addresses()],
            "api_address": self._api_address,
            "version": self.version,
            "uptime_seconds": self._uptime(),
            "ready": all(parts.values()),
            "subsystems": parts,
            "active_requests": self._core.active,
            "queued_requests": self._core.waiting,
            "peers": len(self._host.peers()),
            "default_model": self._default_model(),
            "models": [card.label for card in cards],
            "unusable_models": {card.label: card.problem for card in cards if card.problem},
            "loaded_models": [_loaded(model) for model in self._pool.loaded()],
        }

    def stats(self) -> dict[str, Any]:
        return {
            "node_id": self.peer_id,
            "version": self.version,
            "uptime_seconds": self._uptime(),
            "peers": len(self._host.peers()),
            "requests_served": self._tally.finished,
            "requests_failed": self._tally.failed,
            "tokens_generated": self._tally.tokens,
            "active_requests": self._core.active,
            "hardware": self._hardware(),
            "inference": self._tally.latencies(),
        }

    def shut_down(self, reason: str) -> None:
        self._shut_down(reason)

    def _uptime(self) -> float:
        return round(self._now() - self._begun, 3)

    def _default_model(self) -> str | None:
        try:
            return str(self._core.find("auto").label)
        except Refused:
            return None


def _loaded(model: Any) -> dict[str, Any]:
    return {
        "id": model.label,
        "state": model.state,
        "pid": model.pid,
        "active_requests": model.active,
        "resident_bytes": model.resident_bytes,
        "footprint_bytes": model.footprint_bytes,
        "idle_seconds": round(model.idle_seconds, 1),
        "profile": model.profile,
        **({"prefix_cache": dict(model.prefix_cache)} if model.prefix_cache else {}),
        **({} if model.loading is None else {"loading": model.loading}),
        **({"engine": {**model.load, "kv_bytes": model.kv_bytes}} if model.load else {}),
    }
