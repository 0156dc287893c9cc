"""What the workers say of themselves, for Prometheus: read when it asks, one series a loaded model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from swarmnode.observability.metrics import PREFIX

#: Name -> meaning and the figure of a `values.loading.LoadedModel`.
_GAUGES: dict[str, tuple[str, Callable[[Any], int | None]]] = {
    "model_resident_bytes": ("Memory that the model's worker holds", lambda m: m.resident_bytes),
    "model_requests_running": ("Requests that the engine computes now", lambda m: m.load.get("running")),
    "model_requests_waiting": (
        "Requests that wait in the engine for a slot or for room",
        lambda m: m.load.get("waiting"),
    ),
    "model_kept_sessions": (
        "Conversations whose keys and values wait for the next turn",
        lambda m: m.load.get("kept_sessions"),
    ),
    "kv_room_bytes": ("Room for the keys and values of all sessions", lambda m: m.kv_bytes or None),
    "kv_reserved_bytes": (
        "Room for keys and values that sessions have reserved",
        lambda m: m.load.get("kv_reserved_bytes"),
    ),
    "prefix_cache_bytes": ("Memory of kept prompts", lambda m: m.prefix_cache.get("bytes")),
    "prefix_cache_blocks": ("Blocks of kept prompts", lambda m: m.prefix_cache.get("blocks")),
    "prefix_cache_prompts": ("Kept prompts", lambda m: m.prefix_cache.get("prompts")),
}
_COUNTERS: dict[str, tuple[str, Callable[[Any], int | None]]] = {
    "prefix_cache_hits": (
        "Blocks of prompts that were kept when asked for",
        lambda m: m.prefix_cache.get("hits"),
    ),
    "prefix_cache_misses": (
        "Blocks of prompts that were asked for and not kept",
        lambda m: m.prefix_cache.get("misses"),
    ),
    "prefix_cache_evicted": (
        "Blocks of kept prompts given up for room or age",
        lambda m: m.prefix_cache.get("evicted"),
    ),
    "prefix_cache_saved_tokens": (
        "Tokens of prompts that were not computed again",
        lambda m: m.prefix_cache.get("tokens_saved"),
    ),
}


class ModelMetrics(Collector):
    """A collector for a registry. loaded: the models now, as `IWorkerPool.loaded`.

    A model has series while it is loaded, and of what its worker has told; a counter begins anew with a new
    worker. There are no more series than models that fit into the memory.
    """

    def __init__(self, loaded: Callable[[], Iterable[Any]]) -> None:
        self._loaded = loaded

    def describe(self) -> Iterator[Metric]:
        """The families, without asking anybody."""
        return _families(())

    def collect(self) -> Iterator[Metric]:
        """The families with what is known now."""
        return _families(tuple(self._loaded()))


def _families(models: tuple[Any, ...]) -> Iterator[Metric]:
    kinds = ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS))
    for make, table in kinds:
        for name, (meaning, figure) in table.items():
            family = make(f"{PREFIX}{name}", meaning, labels=["model"])
            for model in models:
                value = figure(model)
                if value is not None:
                    family.add_metric([model.label], value)
            yield family
