"""Prometheus' own checker on the metrics of a real node that has answered something."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from swarmnode.testing.node_process import NodeProcess

PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)")
def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    question = {"model": "auto", "messages": [{"role": "user", "content": "What is swarmnode?"}]}
    with NodeProcess(tmp_path) as node:
        assert node.request("POST", "/v1/chat/completions", question)[0] == 200
        status, metrics, _ = node.request("GET", "/metrics", key=None)
    assert status == 200
    assert "swarmnode_inference_requests_total 1.0" in metrics
    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=metrics.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
