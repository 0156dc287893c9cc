"""The doctor without a node: real ports and connections."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from swarmnode.cli import doctor_offline
from swarmnode.config import Override, load_config
from swarmnode.values.errors import Unavailable

ONE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offline(home: Path, port: int, peer: str | None = None) -> dict[str, str]:
    config = load_config([
        Override("node.data_dir", str(home), "-d"),
        Override("node.listen_port", str(port), "-p"),
        Override("network.listen_address", "127.0.0.1", "--set"),
    ])  # fmt: skip
    error = Unavailable("no node", code="node_not_running", hint="start one")
    found = doctor_offline.examine_offline(config, peer, error)["findings"]
    return {finding["code"]: finding["text"] for finding in found}


def test_offline_a_taken_port_is_told(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = offline(home, port - 10)
        assert f"Port {port} on 127.0.0.1, for peers (P2P), cannot be had" in found["port_in_use"]
    assert offline(home, port - 10).keys() == {"not_running", "port_free"}


def test_offline_the_way_to_another_node_is_tried(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        assert "something_answers" in offline(home, 8800, f"/ip4/127.0.0.1/tcp/{port}")
    assert "refused" in offline(home, 8800, f"/ip4/127.0.0.1/tcp/{port}")
    assert "peer_id_offline" in offline(home, 8800, ONE)
    assert "not_tried" in offline(home, 8800, "/ip4/127.0.0.1/udp/1/quic-v1")
