"""Starting a node: what answers meanwhile, what a user at a terminal sees, and the browser."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from swarmnode.testing.node_process import NodeProcess

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses a pseudo-terminal")

#: A node whose database opens when there is a file named `go` in the working directory.
GATED = """
import pathlib, sys, time
from swarmnode.storage import database
opened = database.Database._open
def when_told(self):
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.01)
    opened(self)
database.Database._open = when_told
from swarmnode.cli.main import main
sys.exit(main(["run", *sys.argv[1:]]))
"""


def test_while_it_starts_health_and_page_answer_and_the_apis_say_wait(tmp_path: Path) -> None:
    go = tmp_path / "go"
    node = NodeProcess(tmp_path, command=[sys.executable, "-c", GATED.format(go=str(go))]).start()
    try:
        node.wait_until(lambda: _answers(node), 30, "it does not answer while it starts")
        status, health, _ = node.request("GET", "/health/ready", key=None)
        assert (status, health["ready"]) == (503, False)
        assert health["subsystems"]["data_directory"] is True
        assert health["subsystems"]["database"] is False
        assert node.request("GET", "/", key=None)[0] == 200
        refused, error, headers = node.request("GET", "/v1/models")
        assert (refused, error["error"]["code"]) == (503, "not_ready")
        assert headers["retry-after"]
        place = ["--port", str(node.port), "--data-dir", str(node.data_dir)]
        told = subprocess.run(
            [sys.executable, "-m", "swarmnode", "status", "--json", *place], capture_output=True, check=False
        )
        assert told.returncode == 1
        assert json.loads(told.stdout)["ready"] is False
        go.touch()
        node.wait_ready()
        assert node.request("GET", "/v1/models")[0] == 200
    finally:
        go.touch()
        assert node.stop() == 0


def _answers(node: NodeProcess) -> bool:
    try:
        return node.request("GET", "/health", key=None)[0] == 200
    except OSError:
        return False


def test_the_models_folder_is_there_for_the_user(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        assert (node.data_dir / "models").is_dir()


@pytest.mark.parametrize("wanted", [True, False])
def test_the_page_is_opened_once_or_never(tmp_path: Path, wanted: bool) -> None:
    opened, opener = tmp_path / "opened", tmp_path / "browser"
    opener.write_text(f"#!/bin/sh\necho \"$1\" >>'{opened}'\n")
    opener.chmod(0o755)
    wish = {"BROWSER": str(opener), "SWARMNODE_UI_OPEN_BROWSER_ON_START": str(wanted).lower()}
    with NodeProcess(tmp_path, environment=wish) as node:
        node.wait_until(
            lambda: "model loaded" in node.log.read_text(), 30, "the start did not come to its end"
        )
        if wanted:
            node.wait_until(opened.exists, 30, "no page was opened")
        url = f"http://127.0.0.1:{node.port}\n"
    assert (opened.read_text() if opened.exists() else "") == (url if wanted else "")


def test_a_terminal_shows_the_page_and_how_to_stop(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    node = NodeProcess(tmp_path)
    place = ["--port", str(node.port), "--data-dir", str(node.data_dir), "--no-browser"]
    process = subprocess.Popen([sys.executable, "-m", "swarmnode", *place], stdin=theirs, stderr=theirs)
    os.close(theirs)
    seen = bytearray()
    reader = threading.Thread(target=_read, args=(ours, seen))
    reader.start()
    try:
        node.log.touch()
        node.wait_until(lambda: b"Ctrl-C" in seen, 30, "there was no greeting")
    finally:
        process.terminate()
        assert process.wait(15) == 0
        reader.join(15)
        os.close(ours)
    text = seen.decode().replace("\r\n", "\n")
    assert f"  page   http://127.0.0.1:{node.port}\n" in text
    assert f"  data   {node.data_dir}\n" in text


def _read(terminal: int, seen: bytearray) -> None:
    try:
        while data := os.read(terminal, 65536):
            seen.extend(data)
    except OSError:
        return  # Linux's way of saying that the other end is closed
