"""The metrics: names, buckets, bounds. What promtool says of them is in `tests/clients`."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from swarmnode.observability import metrics as module
from swarmnode.observability.metrics import Metrics


@dataclass(frozen=True)
class Summary:
    model: str = "m"
    route: str = "local"
    outcome: str = "ok"
    total_ms: float | None = 300.0
    ttft_ms: float | None = 20.0
    prompt_tokens: int | None = 3
    tokens: int | None = 4
    cached_tokens: int | None = 2
    tok_per_sec: float | None = 50.0


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """Sample name and label values -> value, as Prometheus' own parser reads them."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, *labels: str) -> Any:
    return samples(metrics).get((f"swarmnode_{name}", frozenset(labels)))


def used() -> Metrics:
    """Metrics of which every one has a value."""
    metrics = Metrics("1.2.3")
    metrics.request_finished(Summary())
    metrics.requests_changed(2, 1)
    metrics.http_request("/v1/models", 200)
    metrics.worker_noticed("loaded", "m")
    metrics.peers_connected(3)
    metrics.shards_hosted(5)
    metrics.credits_balance(-1.5)
    channel = metrics.channel("events")
    channel.capacity(256)
    channel.sent()
    channel.dropped(2)
    return metrics


def test_the_promised_metrics_have_their_names_and_types():
    families = {f.name: f.type for f in text_string_to_metric_families(used().render().decode())}
    promised = {
        "swarmnode_peers_connected": "gauge",
        "swarmnode_inference_requests": "counter",
        "swarmnode_credits_balance": "gauge",
        "swarmnode_shards_hosted": "gauge",
        "swarmnode_inference_latency_seconds": "histogram",
        "swarmnode_channel_capacity": "gauge",
        "swarmnode_channel_sent": "counter",
        "swarmnode_channel_dropped": "counter",
    }
    assert promised.items() <= families.items()
    ours = {name for name in families if not name.startswith("process_")}
    assert all(name.startswith("swarmnode_") for name in ours)
    assert not any(name.endswith("_created") for name in families)


def test_the_buckets_are_the_promised_ones():
    names = [k for k in samples(used()) if k[0] == "swarmnode_inference_latency_seconds_bucket"]
    assert [next(iter(labels)) for _, labels in names] == [
        *("0.01", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"),
        "+Inf",
    ]


def test_a_finished_request_counts_where_it_was_measured():
    metrics = Metrics("1")
    metrics.request_finished(Summary())
    metrics.request_finished(
        Summary(outcome="error", total_ms=None, ttft_ms=None, tokens=None, tok_per_sec=None)
    )
    assert value(metrics, "inference_requests_total") == 2
    assert value(metrics, "inference_outcomes_total", "local", "ok") == 1
    assert value(metrics, "inference_outcomes_total", "local", "error") == 1
    assert value(metrics, "inference_latency_seconds_count") == 1
    assert value(metrics, "inference_latency_seconds_sum") == pytest.approx(0.3)
    assert value(metrics, "time_to_first_token_seconds_sum") == pytest.approx(0.02)
    assert value(metrics, "time_per_output_token_seconds_sum") == pytest.approx(0.02)
    assert value(metrics, "tokens_total", "prompt") == 6
    assert value(metrics, "tokens_total", "cached") == 4
    assert value(metrics, "tokens_total", "completion") == 4
    assert value(metrics, "model_tokens_total", "m", "prompt") == 6
    assert value(metrics, "model_tokens_total", "m", "cached") == 4
    assert value(metrics, "model_tokens_total", "m", "completion") == 4


def test_channels_of_one_name_share_their_figures():
    metrics = Metrics("1")
    metrics.channel("a").sent(2)
    metrics.channel("a").sent()
    metrics.channel("b").dropped()
    assert value(metrics, "channel_sent_total", "a") == 3
    assert value(metrics, "channel_dropped_total", "a") == 0
    assert value(metrics, "channel_dropped_total", "b") == 1


def test_workers_are_counted_through_crash_and_return():
    metrics = Metrics("1")
    seen = []
    for what, label in (
        ("loaded", "a"),
        ("loaded", "b"),
        ("crashed", "a"),
        ("loaded", "a"),
        ("unloaded", "b"),
        ("loaded", "b"),
        ("crashed", "never loaded"),
    ):
        metrics.worker_noticed(what, label)
        names = ("workers_loaded", "worker_crashes_total", "worker_restarts_total")
        seen.append(tuple(value(metrics, name) for name in names))
    assert seen == [(1, 0, 0), (2, 0, 0), (1, 1, 0), (2, 1, 1), (1, 1, 1), (2, 1, 1), (2, 2, 1)]


def test_strange_routes_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_LABEL_VALUES", 3)
    metrics = Metrics("1")
    for number in range(10):
        metrics.http_request(f"/{number}", 404)
    metrics.http_request("/0", 404)
    assert value(metrics, "http_requests_total", "/0", "404") == 2
    assert value(metrics, "http_requests_total", "other", "404") == 7
    assert value(metrics, "http_requests_total", "/3", "404") is None


def test_two_nodes_in_one_process_count_apart():
    first, second = Metrics("1"), Metrics("2")
    first.request_finished(Summary())
    assert value(second, "inference_requests_total") == 0


def test_the_build_names_the_version():
    assert value(Metrics("1.2.3"), "build_info", "1.2.3", platform.python_version()) == 1
