"""The page in a real Chromium: `run.mjs` against a node, and against the stand-in the page is developed with.

Needs Node.js, `npm ci` in this folder, and Chromium (`apt-get install chromium`, or CHROMIUM). Where one is
missing the tests are skipped by name; SWARMNODE_REQUIRE_BROWSER=1 makes that a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
START_SECONDS = 60
RUN_SECONDS = 360

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(RUN_SECONDS + START_SECONDS)]


def missing() -> str:
    """What the tests need and this machine lacks, in words; empty when all is there."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        return "playwright-core is not installed: run `npm ci` in tests/browser"
    return "" if Path(CHROMIUM).exists() else f"there is no Chromium at {CHROMIUM}"


@pytest.fixture(autouse=True)
def _browser_at_hand() -> None:
    lack = missing()
    if lack and os.environ.get("SWARMNODE_REQUIRE_BROWSER"):
        pytest.fail(lack)
    if lack:
        pytest.skip(lack)


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that is ended in order when the block is left."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_for(child: subprocess.Popen[bytes], log: Path, url: str) -> None:
    """Wait until `url` answers 200; fail with the log when the child ends or time is up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer:\n{log.read_text(errors='replace')[-4000:]}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_node(command: list[str], environment: dict[str, str]) -> str:
    """Run a file of browser tests; its output, which says that all have passed."""
    command = ["node", "--no-warnings", *command]
    environment = {**os.environ, "CHROMIUM": CHROMIUM, **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def browse(base_url: str, api_key: str, pictures: Path) -> None:
    """Run the browser tests against a node."""
    pictures = Path(os.environ.get("SWARMNODE_SCREENSHOTS", pictures))
    environment = {"BASE_URL": base_url, "API_KEY": api_key, "SWARMNODE_SCREENSHOTS": str(pictures)}
    said = run_node([str(HERE / "run.mjs")], environment)
    passed = re.search(r"^(?:#|ℹ) pass (\d+)$", said, re.MULTILINE)
    assert passed, said[-2000:]
    assert int(passed[1]) > 90
    assert (pictures / "phone-dark.png").stat().st_size > 10_000


def node_command(port: int, data: Path, *settings: str) -> list[str]:
    """How to start a node with a page on `port`."""
    command = [sys.executable, "-m", "swarmnode", "run", "--no-browser"]
    command += ["--port", str(port), "--data-dir", str(data)]
    return command + [word for setting in settings for word in ("--set", setting)]


def test_page_on_the_stand_in(tmp_path: Path) -> None:
    """The page itself, without a model in the way."""
    log, port = tmp_path / "stand-in.log", free_port()
    base_url = f"http://127.0.0.1:{port}"
    with running([sys.executable, str(HERE / "fake_node.py"), "--port", str(port)], log) as child:
        wait_for(child, log, f"{base_url}/health/ready")
        key = log.read_text().split(" key ")[1].split()[0]
        browse(base_url, key, tmp_path / "pictures")


def test_page_on_a_node(tmp_path: Path) -> None:
    """The page as a node serves it, answered by the node's default model."""
    log, port, data = tmp_path / "node.log", free_port(), tmp_path / "data"
    base_url = f"http://127.0.0.1:{port}"
    # `steady` says 20 words a second: so slowly that every busy browser shows an answer growing.
    with running(node_command(port, data, "inference.scripted_models=steady"), log) as child:
        wait_for(child, log, f"{base_url}/health/ready")
        browse(base_url, (data / "api_key").read_text().strip(), tmp_path / "pictures")


def test_two_nodes_meet_on_the_page(tmp_path: Path) -> None:
    """An invite from one page to the other, and what the pages show of it, with nothing in between."""
    # A network of their own, so that no other node of this machine or house is met.
    apart = ("network.enable_mdns=false", "network.gossip_network_id=met-on-the-page")
    ports, logs = [free_port(), free_port()], [tmp_path / "here.log", tmp_path / "there.log"]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    datas = [tmp_path / "here", tmp_path / "there"]
    commands = [node_command(port, data, *apart) for port, data in zip(ports, datas, strict=True)]
    with running(commands[0], logs[0]) as here, running(commands[1], logs[1]) as there:
        for child, log, url in zip((here, there), logs, urls, strict=True):
            wait_for(child, log, f"{url}/health/ready")
        environment = {"BASE_URL": urls[0], "API_KEY": (datas[0] / "api_key").read_text().strip()}
        environment |= {"OTHER_URL": urls[1], "OTHER_PID": str(there.pid)}
        run_node([str(HERE / "pair.mjs")], environment)
