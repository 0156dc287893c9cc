"""`swarmnode bench`: what is sent, what is counted, what is printed."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import count
from types import ModuleType
from typing import Any

import pytest

from swarmnode.cli import bench
from swarmnode.cli.measuring import Load, Sample, measure, report, sample, spread
from swarmnode.values.errors import Unavailable


class FakeNode:
    """Answers in `ticks` of a clock that counts: the prompt takes 2, each token 1."""

    def __init__(self, tokens: int = 5, fails: int = 0) -> None:
        self.now, self.tokens, self.fails = 0.0, tokens, fails
        self.bodies: list[dict[str, Any]] = []

    def clock(self) -> float:
        return self.now

    def post(self, path: str, body: Any) -> Any:
        self._take(path, body)
        self.now += 2 + self.tokens
        return {"usage": {"completion_tokens": self.tokens}}

    def stream(self, path: str, body: Any) -> Iterator[Any]:
        self._take(path, body)
        self.now += 2
        yield {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
        for _ in range(self.tokens):
            self.now += 1
            yield {"choices": [{"delta": {"content": "x"}}]}
        yield {"choices": [], "usage": {"completion_tokens": self.tokens}}

    def _take(self, path: str, body: Any) -> None:
        assert path == "/v1/chat/completions"
        self.bodies.append(body)
        if len(self.bodies) <= self.fails:
            raise Unavailable("Too much to do", code="queue_full")


def load(**changes: Any) -> Load:
    return Load(**{"model": "m", "prompt": "p", "max_tokens": 7, **changes})


def test_a_streamed_sample_has_the_time_to_the_first_text() -> None:
    node = FakeNode(tokens=5)
    assert sample(node, load(stream=True), node.clock) == Sample(
        total_ms=7000.0, ttft_ms=3000.0, tokens=5, tok_per_sec=round(5 / 7, 2), decode_tok_per_sec=1.0
    )


def test_an_unstreamed_sample_has_none() -> None:
    node = FakeNode(tokens=5)
    assert sample(node, load(), node.clock) == Sample(total_ms=7000.0, tokens=5, tok_per_sec=round(5 / 7, 2))


def test_a_failure_is_a_sample() -> None:
    node = FakeNode(fails=1)
    assert sample(node, load(), node.clock).error == "Too much to do"


def test_what_is_sent() -> None:
    node = FakeNode()
    sample(node, load(), node.clock)
    sample(node, load(stream=True), node.clock)
    plain = {
        "model": "m",
        "messages": [{"role": "user", "content": "p"}],
        "max_tokens": 7,
        "temperature": 0.0,
    }
    assert node.bodies == [plain, {**plain, "stream": True, "stream_options": {"include_usage": True}}]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_every_client_sends_every_iteration(concurrency: int) -> None:
    node, steps = FakeNode(), count()
    figures = measure(node, load(iterations=4, concurrency=concurrency), node.clock, lambda: next(steps))
    assert (
        figures["requests"] == len(figures["samples"]) == len(node.bodies) == next(steps) == 4 * concurrency
    )
    assert figures["failed"] == 0


def test_the_report() -> None:
    samples = [Sample(10.0, 1.0, 4), Sample(30.0, 3.0, 6), Sample(5.0, error="no")]
    figures = report(load(stream=True, iterations=3), samples, 0.05)
    assert figures["tokens"] == 10
    assert figures["tok_per_sec"] == 200.0
    assert figures["failed"] == 1
    assert figures["latency_ms"] == {"mean": 20.0, "min": 10.0, "p50": 10.0, "p95": 30.0, "max": 30.0}
    assert figures["ttft_ms"]["max"] == 3.0
    assert figures["samples"][2] == {"total_ms": 5.0, "error": "no"}


def test_what_was_not_measured_is_absent_and_never_nothing() -> None:
    figures = report(load(), [Sample(5.0, error="no")], 1.0)
    assert not {"tok_per_sec", "latency_ms", "ttft_ms"} & set(figures)


def test_nearest_rank() -> None:
    values = spread([float(n) for n in range(1, 21)])
    assert values == {"mean": 10.5, "min": 1.0, "p50": 10.0, "p95": 19.0, "max": 20.0}
    assert spread([]) is None


class FakeClient(FakeNode):
    url = "http://node"

    def fetch(self, path: str) -> Any:
        assert path == "/v1/models"
        return {"data": [{"id": "first"}, {"id": "second"}]}


def arguments(*words: str) -> Namespace:
    parser = ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    node = FakeClient()
    monkeypatch.setattr(bench, "config_from", lambda args: None)
    monkeypatch.setattr(bench, "client_for", lambda config: node)
    return node


def test_defaults_and_the_warm_up(node: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run(arguments("--json")) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert captured.out.count("\n") == 1
    assert (figures["model"], figures["requests"], figures["max_tokens"]) == ("first", 5, 100)
    assert len(node.bodies) == 6
    assert node.bodies[0]["max_tokens"] == 1
    assert node.bodies[0]["messages"] != node.bodies[1]["messages"], (
        "the warm-up must not warm a prefix cache"
    )
    assert "requests 5/5" in captured.err


@pytest.mark.parametrize("flag", ["--model-id", "--model-name"])
def test_the_model_by_either_flag(node: FakeClient, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--no-warm-up",
        "--iterations",
        "2",
        "--concurrency",
        "2",
        "--stream",
        "--prompt",
        "Why?",
        flag,
        "second",
    )
    assert bench.run(arguments(*words)) == 0
    assert {body["model"] for body in node.bodies} == {"second"}
    assert {body["messages"][0]["content"] for body in node.bodies} == {"Why?"}
    assert len(node.bodies) == 4
    assert "first token" in capsys.readouterr().out


def test_a_failed_request_fails_the_command(node: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    node.fails = 1
    assert bench.run(arguments("--no-warm-up")) == 1
    out = capsys.readouterr().out
    assert "5 (1 failed)" in out
    assert "Too much to do" in out


def test_offline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    engine = ModuleType("swarmnode.inference.offline_bench")
    engine.run = lambda *given, backend: {"given": [*given, backend], "pp_tok_s": 1.5, "tg_tok_s": 2.5}  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "swarmnode.inference.offline_bench", engine)
    words = ("--offline", "m.gguf", "--prompt-tokens", "64", "--max-tokens", "8", "--threads", "2")
    assert bench.run(arguments(*words, "--backend", "numpy", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {
        "given": ["m.gguf", 64, 8, 2, "numpy"],
        "pp_tok_s": 1.5,
        "tg_tok_s": 2.5,
    }
