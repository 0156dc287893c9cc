"""A real node in a process of its own, for integration tests: start, ask, stop, look for left-overs."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swarmnode.config.settings import P2P_PORT_OFFSET

START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02


#: Below the ports that systems give to outgoing connections.
PORTS = range(10_000, 32_000)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago, as was the one of the peer-to-peer network that
    belongs to it."""
    while True:
        port = random.choice(PORTS)
        if all(_is_free(one) for one in (port, port + P2P_PORT_OFFSET)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class NodeProcess:
    """`python -m swarmnode run` (or another command line) with a data directory of its own.

    Use as a context manager. Standard error goes to `log`, a file in the data directory's parent.
    """

    def __init__(
        self,
        home: Path,
        *arguments: str,
        port: int | None = None,
        command: Sequence[str] = (sys.executable, "-m", "swarmnode", "run"),
        environment: dict[str, str] | None = None,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.data_dir = home / "data"
        self.port = port or free_port()
        self.log = home / "node.log"
        self._command = [*command, "--port", str(self.port), "--data-dir", str(self.data_dir), *arguments]
        self._environment = {
            **os.environ,
            "SWARMNODE_UI_OPEN_BROWSER_ON_START": "false",
            # Nothing of a test is seen by others, nor the other way round.
            "SWARMNODE_NETWORK_LISTEN_ADDRESS": "127.0.0.1",
            "SWARMNODE_NETWORK_ENABLE_MDNS": "false",
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> NodeProcess:
        """Start it in a process group of its own; does not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def wait_ready(self, seconds: float = START_SECONDS) -> NodeProcess:
        """Until `/health/ready` answers 200. Raises AssertionError with the log when it does not."""
        self.wait_until(self._is_ready, seconds, "the node did not become ready")
        return self

    def wait_until(self, condition: Any, seconds: float, what: str) -> None:
        """Poll a condition; AssertionError with the log when it stays false or the node ends."""
        end = time.monotonic() + seconds
        while not condition():
            ended = self.process is not None and self.process.poll() is not None
            if ended or time.monotonic() > end:
                raise AssertionError(f"{what}; its log:\n{self.log.read_text('utf-8', 'replace')[-6000:]}")
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return self.request("GET", "/health/ready", key=None)[0] == 200
        except OSError:
            return False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def api_key(self) -> str:
        return (self.data_dir / "api_key").read_text("ascii").strip()

    def request(
        self, method: str, path: str, body: Any = None, key: str | None = "own", timeout: float = 60.0
    ) -> tuple[int, Any, dict[str, str]]:
        """One HTTP request: status, decoded body (JSON where it is JSON), headers in lower case."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, _encoded(body), self._headers(key, body))
            response = connection.getresponse()
            raw = response.read()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, _decoded(raw, headers), headers
        finally:
            connection.close()

    def stream(self, path: str, body: dict[str, Any], timeout: float = 60.0) -> Iterator[Any]:
        """The `data:` payloads of a server-sent event stream, decoded; ends after `[DONE]`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", path, _encoded(body), self._headers("own", body))
            response = connection.getresponse()
            if response.status != 200:
                raise AssertionError(f"{response.status}: {response.read()!r}")
            for line in response:
                if line.startswith(b"data: "):
                    if line.strip() == b"data: [DONE]":
                        return
                    yield json.loads(line[6:])
        finally:
            connection.close()

    def _headers(self, key: str | None, body: Any) -> dict[str, str]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            headers["Authorization"] = f"Bearer {self.api_key if key == 'own' else key}"
        return headers

    def send_signal(self, number: int) -> None:
        """Send a signal to the node process alone."""
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it in order; its exit code. Kills the whole group when it does not end."""
        assert self.process is not None
        if self.process.poll() is None:
            self.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_group()
            raise AssertionError(
                f"the node did not stop:\n{self.log.read_text('utf-8', 'replace')[-6000:]}"
            ) from None

    def kill_group(self) -> None:
        """SIGKILL to everything it started that is still in its process group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def children(self) -> list[int]:
        """Process ids of all descendants (Linux)."""
        return descendants(self.pid)

    def __enter__(self) -> NodeProcess:
        return self.start().wait_ready()

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            finally:
                self.kill_group()


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, read from /proc (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        children = parents.get(open_.pop(), [])
        found += children
        open_ += children
    return found


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _encoded(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


def _decoded(raw: bytes, headers: dict[str, str]) -> Any:
    if headers.get("content-type", "").startswith("application/json"):
        return json.loads(raw)
    return raw.decode("utf-8", "replace")
