"""The figures of loaded models, as Prometheus' own parser reads them."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from swarmnode.observability.metrics import Metrics
from swarmnode.observability.model_metrics import ModelMetrics
from swarmnode.values.loading import LoadedModel

PREFIX = {"bytes": 10, "blocks": 2, "prompts": 1, "hits": 3, "misses": 4, "evicted": 5, "tokens_saved": 192}
LOAD = {"running": 6, "waiting": 7, "kept_sessions": 8, "kv_reserved_bytes": 90}


def model(label: str, **fields: Any) -> LoadedModel:
    return LoadedModel(label, 42, "ready", 0, 1000, 2000, 0.0, **fields)


def told(*models: LoadedModel) -> tuple[dict[tuple[str, str], float], dict[str, str]]:
    """Values by name and model; types by name."""
    metrics = Metrics("1")
    metrics.registry.register(ModelMetrics(lambda: models))
    families = list(text_string_to_metric_families(metrics.render().decode()))
    values = {
        (sample.name.removeprefix("swarmnode_"), sample.labels["model"]): sample.value
        for family in families
        for sample in family.samples
        if "model" in sample.labels
    }
    return values, {family.name.removeprefix("swarmnode_"): family.type for family in families}


def test_each_figure_has_its_name_and_type() -> None:
    values, types = told(model("a", prefix_cache=PREFIX, load=LOAD, kv_bytes=100), model("b", kv_bytes=200))
    assert values == {
        ("model_resident_bytes", "a"): 1000,
        ("model_requests_running", "a"): 6,
        ("model_requests_waiting", "a"): 7,
        ("model_kept_sessions", "a"): 8,
        ("kv_room_bytes", "a"): 100,
        ("kv_reserved_bytes", "a"): 90,
        ("prefix_cache_bytes", "a"): 10,
        ("prefix_cache_blocks", "a"): 2,
        ("prefix_cache_prompts", "a"): 1,
        ("prefix_cache_hits_total", "a"): 3,
        ("prefix_cache_misses_total", "a"): 4,
        ("prefix_cache_evicted_total", "a"): 5,
        ("prefix_cache_saved_tokens_total", "a"): 192,
        ("model_resident_bytes", "b"): 1000,
        ("kv_room_bytes", "b"): 200,
    }
    assert types["prefix_cache_hits"] == "counter" and types["prefix_cache_bytes"] == "gauge"


def test_without_models_there_are_no_series() -> None:
    assert told()[0] == {}
