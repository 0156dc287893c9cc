"""`swarmnode status`."""

from __future__ import annotations

import io
import json
from argparse import Namespace

import pytest

from swarmnode.cli import status
from swarmnode.cli.output import duration, painted
from swarmnode.testing.canned_http import CannedNode
from swarmnode.values.errors import LocalFault, Unavailable

STATUS = {
    "peer_id": "12D3KooWTest",
    "addresses": ["/ip4/127.0.0.1/tcp/8810"],
    "version": "1.2.3",
    "uptime_seconds": 3725,
    "active_requests": 2,
    "queued_requests": 1,
    "default_model": "guide",
    "models": ["guide", "big", "next", "broken"],
    "unusable_models": {"broken": "broken.gguf: is not a GGUF"},
    "loaded_models": [
        {
            "id": "guide",
            "state": "ready",
            "resident_bytes": 29 << 20,
            "active_requests": 0,
            "idle_seconds": 61.2,
        },
        {
            "id": "big",
            "state": "starting",
            "resident_bytes": 0,
            "active_requests": 2,
            "idle_seconds": 0.0,
            "loading": 0.417,
        },
    ],
}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> CannedNode:
    node = CannedNode()
    monkeypatch.setattr(status, "config_from", lambda args: None)
    monkeypatch.setattr(status, "client_for", lambda config: node.client())
    return node


def test_a_ready_node_as_json(node: CannedNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer_json({"ready": True, "subsystems": {"api": True}})
    node.answer_json(STATUS)
    assert status.run(Namespace(json=True)) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {**STATUS, "ready": True, "subsystems": {"api": True}}
    assert b"Authorization" not in node.requests[0], "the key is not for whoever listens there"


def test_a_ready_node_for_people(node: CannedNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer_json({"ready": True, "subsystems": {"api": True}})
    node.answer_json(STATUS)
    assert status.run(Namespace(json=False)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "swarmnode 1.2.3 at http://node:8800: ready, for 1 h 2 min 5 s",
        "",
        "  peer id    12D3KooWTest",
        "  addresses  /ip4/127.0.0.1/tcp/8810",
        "  requests   2 running, 1 waiting",
        "",
        "  models",
        "    guide   default, loaded, 29 MB, idle for 1 min 1 s",
        "    big     loading 42 %, 2 requests",
        "    next    available",
        "    broken  cannot be used: broken.gguf: is not a GGUF",
    ]


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert painted("yes", "green", Terminal()) == "\x1b[32myes\x1b[0m"
    assert painted("yes", "green", io.StringIO()) == "yes"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted("yes", "green", Terminal()) == "yes"


def test_a_node_that_is_starting(node: CannedNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer_json({"ready": False, "subsystems": {"storage": True, "workers": False}}, status=503)
    node.answer_json({"error": {"message": "Starting", "code": "starting"}}, status=503)
    assert status.run(Namespace(json=False)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "swarmnode at http://node:8800: not ready",
        "",
        "  waiting for  workers",
    ]


def test_a_ready_node_that_fails_is_a_failure(node: CannedNode) -> None:
    node.answer_json({"ready": True, "subsystems": {}})
    node.answer_json({"error": {"message": "Broken", "code": "internal_error"}}, status=500)
    with pytest.raises(LocalFault, match="Broken"):
        status.run(Namespace(json=False))


@pytest.mark.parametrize("answer", [{"status": "ok"}, [], {"ready": "yes"}])
def test_a_stranger_never_sees_the_key(node: CannedNode, answer: object) -> None:
    node.answer_json(answer)
    with pytest.raises(Unavailable, match="not a swarmnode"):
        status.run(Namespace(json=False))
    assert len(node.requests) == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (86400, "1 d"), (90061, "1 d 1 h 1 min 1 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
