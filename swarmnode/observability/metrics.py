"""What the node counts, for Prometheus.

One registry of our own, and methods with plain names, so that no other part of the node knows the
library. The names and buckets of the first group are those that users of the original know, under our
prefix.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

PREFIX = "swarmnode_"
LATENCY_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TOKEN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
#: Different values a label may take; later ones are counted together as `other`.
MAX_LABEL_VALUES = 200

_OTHER = "other"


class Channel:
    """One bounded queue between two parts of the node: how much it takes, took and had to drop."""

    def __init__(self, capacity: Gauge, sent: Counter, dropped: Counter) -> None:
        self._capacity, self._sent, self._dropped = capacity, sent, dropped

    def capacity(self, items: int) -> None:
        """How many items it takes."""
        self._capacity.set(items)

    def sent(self, items: int = 1) -> None:
        """Items went in."""
        self._sent.inc(items)

    def dropped(self, items: int = 1) -> None:
        """Items were lost because it was full."""
        self._dropped.inc(items)


class Metrics:
    """All metrics of a node. Give `registry` to whoever serves `/metrics`."""

    def __init__(self, version: str) -> None:
        # A time of creation beside each counter is no metric that anybody asked for.
        disable_created_metrics()
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._values: dict[str, set[str]] = {}
        self._loaded: set[str] = set()
        self._crashed: set[str] = set()
        self._make_promised_metrics()
        self._make_request_metrics()
        self._make_worker_metrics()
        build = self._gauge("build_info", "Version of the software; always 1", "version", "python")
        build.labels(version, platform.python_version()).set(1)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}{name}", meaning, labels, registry=self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{name}_total", meaning, labels, registry=self.registry)

    def _times(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{PREFIX}{name}_seconds", meaning, buckets=buckets, registry=self.registry)

    def _make_promised_metrics(self) -> None:
        self._peers = self._gauge("peers_connected", "Number of connected peers")
        self._requests = self._counter("inference_requests", "Inference requests processed")
        self._credits = self._gauge("credits_balance", "Current credit balance")
        self._shards = self._gauge("shards_hosted", "Number of shards on this node")
        self._latency = self._times(
            "inference_latency", "From a request's arrival to its end", LATENCY_BUCKETS
        )
        self._capacity = self._gauge("channel_capacity", "Items that an internal queue takes", "channel")
        self._sent = self._counter("channel_sent", "Items sent through an internal queue", "channel")
        self._dropped = self._counter(
            "channel_dropped", "Items dropped because an internal queue was full", "channel"
        )

    def _make_request_metrics(self) -> None:
        self._outcomes = self._counter(
            "inference_outcomes", "Inference requests by way and end", "route", "outcome"
        )
        self._first_token = self._times(
            "time_to_first_token", "From a request's arrival to its first token", LATENCY_BUCKETS
        )
        self._per_token = self._times(
            "time_per_output_token", "Mean time of a request's tokens after the first", TOKEN_BUCKETS
        )
        self._tokens = self._counter(
            "tokens", "Tokens read (prompt; cached: of them not computed again) and written", "kind"
        )
        self._active = self._gauge("requests_active", "Inference requests that run now")
        self._queued = self._gauge("requests_queued", "Inference requests that wait now")
        self._model_tokens = self._counter(
            "model_tokens", "Tokens read (prompt, cached) and written, by model", "model", "kind"
        )
        self._http = self._counter("http_requests", "HTTP requests by route and status", "route", "code")

    def _make_worker_metrics(self) -> None:
        self._workers = self._gauge("workers_loaded", "Models loaded in workers now")
        self._crashes = self._counter("worker_crashes", "Workers that ended without being asked to")
        self._restarts = self._counter("worker_restarts", "Workers loaded again after a crash")

    def request_finished(self, summary: Any) -> None:
        """A request is over. summary: as `services.request_record.RequestSummary`; None in it is "not
        measured" and counts nowhere."""
        self._requests.inc()
        self._outcomes.labels(self._bounded("route", summary.route), summary.outcome).inc()
        _observe(self._latency, summary.total_ms)
        _observe(self._first_token, summary.ttft_ms)
        if summary.tok_per_sec:
            _observe(self._per_token, 1000 / summary.tok_per_sec)
        model = self._bounded("model", summary.model)
        counts = {
            "prompt": summary.prompt_tokens,
            "cached": summary.cached_tokens,
            "completion": summary.tokens,
        }
        for kind, count in counts.items():
            self._tokens.labels(kind).inc(count or 0)
            if count:
                self._model_tokens.labels(model, kind).inc(count)

    def requests_changed(self, running: int, waiting: int) -> None:
        """How many requests run and wait now."""
        self._active.set(running)
        self._queued.set(waiting)

    def http_request(self, route: str, status: int) -> None:
        """An HTTP request was answered. route: the pattern, not the path with ids in it."""
        self._http.labels(self._bounded("http route", route), str(status)).inc()

    def worker_noticed(self, what: str, label: str) -> None:
        """A worker was 'loaded', 'unloaded' or 'crashed'."""
        if what == "loaded":
            self._loaded.add(label)
            if label in self._crashed:
                self._restarts.inc()
        else:
            self._loaded.discard(label)
        self._crashed.discard(label)
        if what == "crashed":
            self._crashes.inc()
            self._crashed.add(label)
        self._workers.set(len(self._loaded))

    def peers_connected(self, count: int) -> None:
        """How many peers are connected now."""
        self._peers.set(count)

    def peers_read(self, read: Callable[[], int]) -> None:
        """Ask this for the number of connected peers, whenever it is told."""
        self._peers.set_function(read)

    def shards_hosted(self, count: int) -> None:
        """How many shards lie on this node."""
        self._shards.set(count)

    def credits_balance(self, balance: float) -> None:
        """The balance of the node's account."""
        self._credits.set(balance)

    def channel(self, name: str) -> Channel:
        """The figures of one internal queue; the same for the same name."""
        label = self._bounded("channel", name)
        return Channel(self._capacity.labels(label), self._sent.labels(label), self._dropped.labels(label))

    def render(self) -> bytes:
        """Everything now, in the Prometheus text format."""
        return generate_latest(self.registry)

    def _bounded(self, kind: str, value: str) -> str:
        known = self._values.setdefault(kind, set())
        if value not in known and len(known) >= MAX_LABEL_VALUES:
            return _OTHER
        known.add(value)
        return value


def _observe(histogram: Histogram, milliseconds: float | None) -> None:
    if milliseconds is not None:
        histogram.observe(milliseconds / 1000)
