"""`swarmnode peers`, `invite`, `join` and `doctor`."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from swarmnode.cli import doctor, invite, join, peers
from swarmnode.cli.main import main
from swarmnode.testing.canned_http import CannedNode
from swarmnode.values.errors import SwarmnodeError

ONE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
TWO = "12D3KooWJWVz8bTkkZqQHBN5fnbMHKHHZnAmQN5JQaC9iUK4nTwo"
PEERS = {
    "peers": [
        {
            "node_id": ONE,
            "connected": True,
            "healthy": True,
            "trust_score": 0.6,
            "how_found": "mdns",
            "version": "1.2.3",
            "latency_ms": 1.234,
            "connected_seconds": 65.0,
            "addresses": [f"/ip4/10.0.0.2/tcp/8810/p2p/{ONE}", f"/ip4/10.0.0.3/tcp/8810/p2p/{ONE}"],
        },
        {
            "node_id": TWO,
            "connected": False,
            "healthy": False,
            "trust_score": 0.4,
            "agent": "evil\x1b[31m",
            "predicted_rtt_ms": 42.4,
            "addresses": [],
        },
    ]
}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> CannedNode:
    node = CannedNode()
    for module in (peers, invite, join, doctor):
        monkeypatch.setattr(module, "config_from", lambda args: None)
        monkeypatch.setattr(module, "client_for", lambda config: node.client())
    return node


def body_of(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def test_peers_in_a_table(node: CannedNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer_json(PEERS)
    assert peers.run(Namespace(json=False, long=False)) == 0
    out = capsys.readouterr().out
    assert node.requests[0].startswith(b"GET /api/admin/peers ")
    first, second = out.splitlines()[3:]
    assert out.startswith("1 connected, and 1 that the swarm knows to be alive\n")
    assert first.split() == [
        f"{ONE[:6]}..{ONE[-8:]}",
        "1.2", "ms", "0.60", "mdns", "1.2.3", "1", "min", "5", "s", "/ip4/10.0.0.2/tcp/8810",
    ]  # fmt: skip
    assert "~42 ms" in second and "not connected" in second and "does not answer" in second
    assert "\x1b" not in out and "evil?[31m" in second


def test_peers_in_full(node: CannedNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer_json(PEERS)
    peers.run(Namespace(json=False, long=True))
    out = capsys.readouterr().out
    assert ONE in out and "/ip4/10.0.0.3/tcp/8810" in out


def test_peers_as_json_are_what_the_node_said(node: CannedNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer_json(PEERS)
    peers.run(Namespace(json=True, long=False))
    assert json.loads(capsys.readouterr().out) == PEERS


def test_without_peers_the_ways_to_meet_some_are_told(
    node: CannedNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.answer_json({"peers": []})
    assert peers.run(Namespace(json=False, long=False)) == 0
    assert "swarmnode invite" in capsys.readouterr().out


def test_an_invite_is_the_only_thing_on_standard_output(
    node: CannedNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.answer_json({"code": "swarm://abc", "addresses": [f"/ip4/127.0.0.1/tcp/1/p2p/{ONE}"]})
    assert invite.run(Namespace(json=False)) == 0
    told = capsys.readouterr()
    assert told.out == "swarm://abc\n"
    assert "on no other" in told.err


def test_joining_sends_the_code_and_says_who_answered(
    node: CannedNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.answer_json({"node_id": ONE, "address": f"/ip4/10.0.0.2/tcp/8810/p2p/{ONE}", "vouched": True})
    assert join.run(Namespace(json=False, target="swarm://abc")) == 0
    assert body_of(node.requests[0]) == {"code": "swarm://abc"}
    out = capsys.readouterr().out
    assert f"connected to {ONE} at /ip4/10.0.0.2/tcp/8810\n" in out
    assert "vouch for each other" in out


def test_what_is_in_the_way_of_joining_is_the_error(node: CannedNode) -> None:
    error = {"message": "nobody is there", "code": "unreachable", "hint": "look"}
    node.answer_json({"error": error}, 503)
    with pytest.raises(SwarmnodeError, match="nobody is there") as caught:
        join.run(Namespace(json=False, target="/ip4/10.0.0.2/tcp/8810"))
    assert caught.value.code == "unreachable"


def test_the_doctor_tells_findings_and_measurements(
    node: CannedNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.answer_json({"status": "ok"})
    finding = {"level": "problem", "code": "alone", "text": "nobody is here", "advice": "find some"}
    peer = {"node_id": ONE, "rtt_ms": 2.0, "down_mbit_s": 93.4, "clock_skew_seconds": -1.25}
    node.answer_json({"findings": [finding], "addresses": ["/ip4/10.0.0.1/tcp/8810"], "peers": [peer]})
    assert doctor.run(Namespace(json=False, peer=None)) == 1
    out = capsys.readouterr().out
    assert "problem  nobody is here\n         find some" in out
    assert "2.0 ms" in out and "93 Mbit/s" in out and "-1.2 s" in out
    assert body_of(node.requests[1]) == {}


def test_the_doctor_is_content_when_nothing_is_wrong(node: CannedNode) -> None:
    node.answer_json({"status": "ok"})
    finding = {"level": "note", "code": "mdns_off", "text": "t", "advice": ""}
    node.answer_json({"findings": [finding], "peers": []})
    assert doctor.run(Namespace(json=True, peer=None)) == 0


@pytest.mark.parametrize(("meets", "code"), [(True, 0), (False, 1)])
def test_the_doctor_says_whether_two_nodes_meet(
    node: CannedNode, capsys: pytest.CaptureFixture[str], meets: bool, code: int
) -> None:
    steps = [{"step": "connect /ip4/10.0.0.2/tcp/1", "ok": meets, "detail": "detail"}]
    answer: dict[str, Any] = {"meets": meets, "steps": steps, "node_id": ONE}
    if not meets:
        answer |= {"cause": "refused", "message": "nothing listens", "advice": "start it"}
    node.answer_json({"status": "ok"})
    node.answer_json(answer)
    assert doctor.run(Namespace(json=False, peer="/ip4/10.0.0.2/tcp/1")) == code
    out = capsys.readouterr().out
    assert ("The two nodes meet" in out) == meets
    assert ("They do not meet (refused): nothing listens" in out) != meets
    assert body_of(node.requests[1]) == {"peer": "/ip4/10.0.0.2/tcp/1"}


# Without a node.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_bad_code_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--peer", "swarm://nonsense", "--port", "1", "--data-dir", str(home)]) == 2
    assert "swarmnode: " in capsys.readouterr().err
