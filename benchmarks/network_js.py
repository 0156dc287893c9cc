"""js-libp2p's half of the network's measurements: two of its nodes over loopback, each in a process, asked
for the same figures as ours (`tests/interop/js/node.mjs`; `npm ci --prefix tests/interop/js` installs it).

Nothing runs in these nodes but what is measured: no identify, no DHT, no gossip, no checks of connections.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any

JS = Path(__file__).resolve().parent.parent / "tests" / "interop" / "js"


class JsNode:
    """One node. Raises `FileNotFoundError` where js-libp2p is not installed."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None or not (JS / "node_modules" / "libp2p").is_dir():
            raise FileNotFoundError(f"js-libp2p is not installed: npm ci --prefix {JS}")
        self._process = subprocess.Popen(
            [node, "--import", "./polyfill.mjs", "node.mjs"],
            cwd=JS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say({"bare": True})
        ready = self._hear("event")
        self.peer, self.address = ready["peer"], ready["addresses"][0]

    def ask(self, do: str, **values: Any) -> Any:
        """The result of a command. Raises RuntimeError with what the node says."""
        self._say({"id": 1, "do": do, **values})
        answer = self._hear("id")
        if "error" in answer:
            raise RuntimeError(f"js-libp2p: {answer['error']}")
        return answer["result"]

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _say(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def _hear(self, kind: str) -> dict[str, Any]:
        """The next line that has this field."""
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line: dict[str, Any] = json.loads(text)
            if kind in line:
                return line
        raise RuntimeError("js-libp2p has ended; what it said is above")


class JsPair:
    """Two nodes, the one connected to the other. Each method blocks and returns the figures of one sample,
    named as ours with `js_` before."""

    def __init__(self) -> None:
        self._dialler, self._listener = JsNode(), JsNode()
        self._dialler.ask("dial", address=self._listener.address)
        # Its code is compiled while it runs: what comes first is not counted.
        self.handshake(20)
        self.ping(1000)
        for way in ("to", "from"):
            self.bulk(way, 64 << 20)

    def handshake(self, count: int) -> dict[str, float]:
        """Medians over `count` connections, one after the other."""
        times = self._dialler.ask("handshakes", address=self._listener.address, count=count)
        proven, used = (statistics.median(each) for each in zip(*times, strict=True))
        return {"js_handshake_ms": 1e3 * proven, "js_first_ping_ms": 1e3 * used}

    def ping(self, count: int) -> dict[str, float]:
        """Round trips on an open stream."""
        times = sorted(self._dialler.ask("pings", peer=self._listener.peer, count=count))
        return {
            "js_ping_ms": 1e3 * statistics.median(times),
            "js_ping_p99_ms": 1e3 * times[len(times) * 99 // 100],
        }

    def bulk(self, way: str, size: int) -> dict[str, float]:
        """One stream of `size` bytes, to the listener or from it."""
        one, other = self._dialler, self._listener
        if way == "from":
            one, other = other, one
        sent = one.ask("send", peer=other.peer, bytes=size, plain=True)
        assert sent["answer"]["bytes"] == size, "bytes were lost"
        return {f"js_bulk_{way}_peer_mb_s": size / sent["seconds"] / 1e6}

    def stop(self) -> None:
        """End both."""
        self._dialler.stop()
        self._listener.stop()
