"""libp2p nodes in processes of their own: ours, js-libp2p's and py-libp2p's, all driven in the same way.

A node reads lines of JSON and writes lines of JSON. The first line is its configuration:

    {"listen": "/ip4/127.0.0.1/tcp/0", "kad": "/swarmnode/kad/1", "topics": ["t"], "mdns": false}

and its answer, once it listens, `{"event": "ready", "peer": ..., "addresses": [...]}`. Then come commands,
`{"id": 1, "do": "ping", "peer": ..., "count": 3}`, each answered by `{"id": 1, "result": ...}` or `{"id": 1,
"error": "..."}`. Other lines are events: `message` (gossip) and `found` (mDNS). Bytes are in hexadecimal,
times in seconds. Our node is the whole network stack of a node, which does more than it is asked for, and
takes the name of a private network (`"network"`) too.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
JS = HERE / "js"
#: Where `make test-interop` puts py-libp2p: its dependencies are not ours.
PY_PYTHON = ROOT / "build" / "interop-py" / "bin" / "python"
#: Set where a missing implementation must not pass for a skipped test.
REQUIRED = os.environ.get("SWARMNODE_REQUIRE_INTEROP", "") not in ("", "0")
START_SECONDS = 60.0
ANSWER_SECONDS = 30.0
STOP_SECONDS = 5.0

KAD = "/swarmnode/kad/1"


class PeerProcess:
    """A node. command: what starts it. Use as a context manager; `ready` is waited for."""

    def __init__(self, name: str, command: Sequence[str], config: dict[str, Any], cwd: Path = HERE) -> None:
        self.name, self.peer = name, ""
        self.addresses: list[str] = []
        self._config, self._ids = config, 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            list(command),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for read in (self._read_lines, self._read_errors):
            threading.Thread(target=read, daemon=True).start()
        self._write(config)

    def __enter__(self) -> PeerProcess:
        try:
            ready = self.event("ready", seconds=START_SECONDS)
        except AssertionError:
            self.kill()
            raise
        self.peer, self.addresses = ready["peer"], ready["addresses"]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where it listens, with its peer id."""
        return self.addresses[0]

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, do: str, **values: Any) -> int:
        """Send a command; its number, for `answer`."""
        self._ids += 1
        self._write({"id": self._ids, "do": do, **values})
        return self._ids

    def answer(self, number: int, seconds: float = ANSWER_SECONDS) -> Any:
        """The result of a command. Raises `PeerError` with what the node says, AssertionError when it is
        silent."""
        self._take(lambda: number in self._answers, seconds, f"no answer to command {number}")
        answer = self._answers.pop(number)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["result"]

    def ask(self, do: str, seconds: float = ANSWER_SECONDS, **values: Any) -> Any:
        """Send a command and wait for its result."""
        return self.answer(self.begin(do, **values), seconds)

    def until(
        self, do: str, holds: Callable[[Any], Any], seconds: float = ANSWER_SECONDS, **values: Any
    ) -> Any:
        """Ask again and again until the result is as it should be; the result."""
        end = time.monotonic() + seconds
        while True:
            result = self.ask(do, **values)
            if holds(result):
                return result
            if time.monotonic() > end:
                raise AssertionError(f"{self.name}: {do} still says {result!r}\n{self.log()}")
            time.sleep(0.05)

    def event(self, name: str, seconds: float = ANSWER_SECONDS, **values: Any) -> dict[str, Any]:
        """The next event with this name and these values; it is taken away."""

        def here() -> dict[str, Any] | None:
            return next((e for e in self._events if {"event": name, **values}.items() <= e.items()), None)

        self._take(lambda: here() is not None, seconds, f"no event {name} {values}")
        found = here()
        assert found is not None
        self._events.remove(found)
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """All that have come so far with this name."""
        self._take(lambda: self._lines.empty(), 1.0, "")
        return [event for event in self._events if event["event"] == name]

    def log(self) -> str:
        """The end of its standard error."""
        return "".join(self._errors[-60:])

    def stop(self) -> None:
        """End it in order, or else."""
        if self._process.poll() is None:
            try:
                self._write({"id": 0, "do": "stop"})
                self._process.wait(STOP_SECONDS)
            except (OSError, subprocess.TimeoutExpired):
                self.kill()
        self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it now."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(STOP_SECONDS)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def _take(self, enough: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not enough():
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self.name}: {what} in {seconds:g} s\n{self.log()}") from None
            if line is None:
                raise AssertionError(f"{self.name} has ended: {what}\n{self.log()}")
            if "event" in line:
                self._events.append(line)
            else:
                self._answers[line["id"]] = line

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)


class PeerError(Exception):
    """What a node answered instead of a result."""


def our_node(prefix: Sequence[str] = (), **config: Any) -> PeerProcess:
    """One of ours. prefix: what the command is run by."""
    return PeerProcess("our node", [*prefix, sys.executable, "-u", str(HERE / "our_node.py")], config)


def js_node(prefix: Sequence[str] = (), **config: Any) -> PeerProcess:
    """js-libp2p's. Skips the test where it is not installed."""
    node = shutil.which("node")
    if node is None or not (JS / "node_modules" / "libp2p").is_dir():
        _missing("js-libp2p is not installed: `npm ci --prefix tests/interop/js`, with Node 20 or newer")
    command = [*prefix, str(node), "--import", "./polyfill.mjs", "node.mjs"]
    return PeerProcess("js-libp2p", command, config, JS)


def py_node(prefix: Sequence[str] = (), **config: Any) -> PeerProcess:
    """py-libp2p's. Skips the test where it is not installed."""
    if not PY_PYTHON.exists():
        _missing("py-libp2p is not installed: `make build/interop-py/.complete`")
    return PeerProcess("py-libp2p", [*prefix, str(PY_PYTHON), "-u", str(HERE / "py" / "node.py")], config)


def _missing(why: str) -> None:
    if REQUIRED:
        raise AssertionError(why)
    pytest.skip(why)
