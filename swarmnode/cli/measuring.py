"""Measuring a running node: requests at once, latencies, tokens a second. Pure but for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from statistics import fmean
from typing import Any, Protocol

from swarmnode.values.errors import SwarmnodeError

PATH = "/v1/chat/completions"
MAX_CONCURRENCY = 1024


class Requests(Protocol):
    """What is measured: a `cli.client.NodeClient`."""

    def post(self, path: str, body: Any) -> Any:
        """One whole answer."""

    def stream(self, path: str, body: Any) -> Iterable[Any]:
        """One answer in events."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `concurrency` clients, each `iterations` requests one after the other."""

    model: str
    prompt: str
    max_tokens: int
    iterations: int = 5
    concurrency: int = 1
    stream: bool = False

    @property
    def requests(self) -> int:
        return self.iterations * self.concurrency

    def body(self) -> dict[str, Any]:
        """The request. Streams end with the counted tokens."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt}],
            "max_tokens": self.max_tokens,
            "temperature": 0.0,
        }
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times in milliseconds; None is what was not measured.

    ttft_ms: to the first text. decode_tok_per_sec: of the tokens after the first one.
    """

    total_ms: float
    ttft_ms: float | None = None
    tokens: int | None = None
    tok_per_sec: float | None = None
    decode_tok_per_sec: float | None = None
    error: str | None = None


def measure(
    node: Requests,
    load: Load,
    clock: Callable[[], float] = time.perf_counter,
    done: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Send the load and report on it. `done` is called after each request, from its thread."""

    rows: list[list[Sample]] = [[] for _ in range(load.concurrency)]

    def client(row: list[Sample]) -> None:
        for _ in range(load.iterations):
            row.append(sample(node, load, clock))
            done()

    # Daemons, so that Ctrl-C ends the program although requests are under way.
    threads = [threading.Thread(target=client, args=(row,), daemon=True) for row in rows]
    began = clock()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report(load, [one for row in rows for one in row], clock() - began)


def sample(node: Requests, load: Load, clock: Callable[[], float]) -> Sample:
    """Send one request and time it. A failure is a sample with an error."""
    began = clock()
    first: float | None = None
    usage: dict[str, Any] = {}
    try:
        for event in node.stream(PATH, load.body()) if load.stream else (node.post(PATH, load.body()),):
            if first is None and load.stream and _has_text(event):
                first = clock()
            usage = event.get("usage") or usage
    except SwarmnodeError as error:
        return Sample(total_ms=_ms(clock() - began), error=error.message)
    return _timed(began, first, clock(), usage.get("completion_tokens"))


def report(load: Load, samples: Sequence[Sample], seconds: float) -> dict[str, Any]:
    """The figures of a run; a figure nothing was measured for is absent."""
    good = [one for one in samples if one.error is None]
    tokens = sum(one.tokens or 0 for one in good)
    figures = {
        "model": load.model,
        "stream": load.stream,
        "concurrency": load.concurrency,
        "iterations": load.iterations,
        "max_tokens": load.max_tokens,
        "requests": len(samples),
        "failed": len(samples) - len(good),
        "wall_ms": _ms(seconds),
        "tokens": tokens,
        "tok_per_sec": round(tokens / seconds, 2) if tokens and seconds > 0 else None,
        "latency_ms": spread([one.total_ms for one in good]),
        "ttft_ms": spread([one.ttft_ms for one in good if one.ttft_ms is not None]),
        "samples": [_without_none(asdict(one)) for one in samples],
    }
    return _without_none(figures)


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, least, median, 95th percentile (nearest rank) and greatest; None of nothing."""
    if not values:
        return None
    ranked = sorted(values)

    def rank(share: float) -> float:
        return ranked[max(0, ceil(share * len(ranked)) - 1)]

    return {
        "mean": round(fmean(ranked), 2),
        "min": ranked[0],
        "p50": rank(0.5),
        "p95": rank(0.95),
        "max": ranked[-1],
    }


def _timed(began: float, first: float | None, ended: float, tokens: int | None) -> Sample:
    total = ended - began
    decode = ended - first if first is not None else 0.0
    return Sample(
        total_ms=_ms(total),
        ttft_ms=None if first is None else _ms(first - began),
        tokens=tokens,
        tok_per_sec=round(tokens / total, 2) if tokens and total > 0 else None,
        decode_tok_per_sec=round((tokens - 1) / decode, 2) if tokens and tokens > 1 and decode > 0 else None,
    )


def _has_text(event: Any) -> bool:
    return any((choice.get("delta") or {}).get("content") for choice in event.get("choices") or ())


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}
