"""Hostile clients and a hostile machine: what a real node makes of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmnode.testing.node_process import NodeProcess

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses pipes and limits of Unix")

ECHO = ("--set", 'inference.scripted_models=["echo", "slow"]')
RUN = (sys.executable, "-m", "swarmnode", "run")
MIB = 1 << 20


def chat(text: str, model: str = "echo", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 4, **fields}


def ask(node: NodeProcess, text: str = "hello") -> int:
    return node.request("POST", "/v1/chat/completions", chat(text))[0]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node"), *ECHO) as running:
        yield running


@pytest.fixture(autouse=True)
def no_tracebacks(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "node" in request.fixturenames:
        assert "Traceback" not in request.getfixturevalue("node").log.read_text()


BODIES = {
    "the same key thirty thousand times": b"{" + b",".join(b'"%d":1' % i for i in [*range(30_000), 0]) + b"}",
    "millions of lists": b'{"a":[' + b"[]," * 5_000_000 + b"1]}",
    "a text of 31 MiB": b'{"a":"' + b"x" * (31 * MIB) + b'"}',
    "spaces": b"{" + b" " * (31 * MIB),
    "a deep one": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_while_a_monstrous_body_is_read_the_others_are_answered(node: NodeProcess, body: bytes) -> None:
    """Whoever was stuck behind such a body waited for seconds: here they are answered before it is."""
    over = threading.Event()
    statuses: list[int] = []

    def send() -> None:
        statuses.append(node.request("POST", "/v1/chat/completions", body)[0])
        over.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert ask(node) == 200
    while not over.is_set():
        assert ask(node) == 200
    sender.join()
    assert statuses == [400]


def test_clients_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    limited = ("bash", "-c", 'ulimit -n 200; exec "$0" "$@"', *RUN)
    with NodeProcess(tmp_path, *ECHO, command=limited) as node:
        silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(300)]
        assert ask(node) == 200
        assert node.request("POST", "/v1/chat/completions", chat("hi", "auto"))[0] == 200  # starts a worker
        for connection in silent:
            connection.close()
    assert "Traceback" not in node.log.read_text()


def test_a_log_that_nobody_reads_stops_nobody(tmp_path: Path) -> None:
    """`swarmnode run | less`, and the reader does not turn the page."""
    node = NodeProcess(tmp_path, *ECHO)
    reader, writer = os.pipe()
    with open(writer, "wb") as pipe:
        node.process = subprocess.Popen(
            [*RUN, "--port", str(node.port), "--data-dir", str(node.data_dir), "--no-browser", *ECHO],
            stderr=pipe,
            start_new_session=True,
        )
    try:
        node.log.touch()
        node.wait_ready()
        for _ in range(400):  # 70 KiB of log; the pipe holds 64
            assert ask(node) == 200
        assert node.stop() == 0
    finally:
        os.close(reader)
        node.kill_group()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asking_twice_to_stop_is_asking_once(tmp_path: Path, number: int) -> None:
    with NodeProcess(tmp_path, *ECHO) as node:
        stream = node.stream("/v1/chat/completions", chat("one two three " * 20, "slow", stream=True))
        next(stream)
        node.send_signal(number)
        node.wait_until(lambda: "stopping" in node.log.read_text() or _gone(node), 10, "it does not stop")
        if not _gone(node):
            node.send_signal(number)
        assert node.process is not None
        assert node.process.wait(10) == 0
    assert "Traceback" not in node.log.read_text()


def test_a_browser_that_stays_open_does_not_keep_the_node(tmp_path: Path) -> None:
    called, browser = tmp_path / "called", tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\ntouch '{called}'\nexec sleep 60\n")
    browser.chmod(0o755)
    wish = {"BROWSER": str(browser), "SWARMNODE_UI_OPEN_BROWSER_ON_START": "true"}
    node = NodeProcess(tmp_path, environment=wish).start().wait_ready()
    try:
        node.wait_until(called.exists, 20, "no browser was opened")
        assert node.stop() == 0
    finally:
        node.kill_group()


def _gone(node: NodeProcess) -> bool:
    return node.process is not None and node.process.poll() is not None


def test_clients_that_leave_in_the_middle_leave_nothing_behind(node: NodeProcess) -> None:
    assert ask(node) == 200
    before = len(os.listdir(f"/proc/{node.pid}/fd"))
    for number in range(100):
        body = b'{"model": "slow", "stream": %s, "messages": [{"role": "user", "content": "a b c d"}]}' % (
            b"true" if number % 2 else b"false"
        )
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.api_key}\r\n"
        with socket.create_connection(("127.0.0.1", node.port)) as client:
            client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            if number % 4 == 1:
                client.recv(10)
    node.wait_until(lambda: _idle(node), 20, "requests of clients that left still run")
    node.wait_until(lambda: len(os.listdir(f"/proc/{node.pid}/fd")) <= before + 4, 20, "files stay open")
    assert ask(node) == 200


def _idle(node: NodeProcess) -> bool:
    status = node.request("GET", "/v1/status")[1]
    return bool(status["active_requests"] == 0 and status["queued_requests"] == 0)
