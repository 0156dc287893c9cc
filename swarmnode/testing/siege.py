"""A real node with honest peers, and a watch over both while somebody attacks: what an attack may cost is
bounded here, by name, for all of them.

    with Siege(tmp_path) as siege:
        with siege.attack() as attack:
            ...
        assert "ping_flood" in attack.faults_of(peer.peer_id)
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swarmnode.protocols.identity.handover import Signer
from swarmnode.testing.honest_pair import HonestPair
from swarmnode.testing.hostile_peer import HostilePeer
from swarmnode.testing.node_process import NodeProcess

#: HTTP answers within this, honest pings come back, and gossip is heard, seconds: where a processor is free.
HTTP_SECONDS = 1.0
PING_SECONDS = 1.0
GOSSIP_SECONDS = 2.0
#: What the node's own memory may grow by from the start of the siege, however often it is attacked.
GROWTH_BYTES = 64 << 20
#: Lines in the log because of one attack.
LOG_LINES = 40
POLL_SECONDS = 0.05


def patience() -> float:
    """By how much everything may take longer, because others use the processors too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Attack:
    """What one attack did. text: what the node wrote into its log."""

    def __init__(self) -> None:
        self.text = ""

    def faults_of(self, peer: str) -> set[str]:
        """Codes for which the peer lost trust."""
        return set(re.findall(rf"a peer lost trust peer={peer} what=\S+ code=(\S+)", self.text))


class Siege:
    """home: an empty folder. arguments: for the node's command line."""

    def __init__(self, home: Path, *arguments: str, network: str = "") -> None:
        if network:
            arguments = (*arguments, "--set", f"network.gossip_network_id={network}")
        self.node = NodeProcess(home, *arguments)
        self._network = network
        self.pair: HonestPair
        self.honest: list[str] = []
        self._base = 0

    @property
    def port(self) -> int:
        """Where peers connect."""
        return self.node.port + 10

    @property
    def address(self) -> str:
        """The node's, with its id."""
        return f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.peer_id}"

    @property
    def peer_id(self) -> str:
        """The node's."""
        found = re.search(r"peer_id=(\w+)", self.log())
        assert found is not None
        return found[1]

    def __enter__(self) -> Siege:
        self.node.start().wait_ready()
        try:
            self.node.wait_until(lambda: "model loaded" in self.log(), 30, "no model was loaded")
            self.pair = HonestPair(self.address, self._network).wait_ready()
            self.honest = self.pair.report()["peers"]
            self._base = self.memory()
        except BaseException:
            self.node.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.pair.__exit__()
        self.node.__exit__()

    def log(self) -> str:
        """All of the node's log so far."""
        return self.node.log.read_text("utf-8", "replace")

    def memory(self) -> int:
        """The node's own memory (RssAnon), bytes."""
        status = Path(f"/proc/{self.node.pid}/status").read_text("ascii")
        found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) << 10

    def peers(self) -> dict[str, dict[str, Any]]:
        """Those connected to the node, by id, as it tells them."""
        status, body, _ = self.node.request("GET", "/api/admin/peers")
        assert status == 200, body
        return {peer["node_id"]: peer for peer in body["peers"]}

    def shuns(self, identity: Signer) -> bool:
        """Whether the node sends this peer away as soon as it knows who it is."""
        with HostilePeer(self.port, identity) as again:
            return again.secure().closed_within(1.0)

    @contextmanager
    def attack(self, lines: int = LOG_LINES) -> Iterator[Attack]:
        """Watch over everything during the block and right after it. lines: what it may cost in the log."""
        attack, begun = Attack(), len(self.log())
        self.pair.report()
        with _Readiness(self.node) as readiness:
            yield attack
            time.sleep(2 * POLL_SECONDS)
        report = self._report()
        attack.text = self.log()[begun:]
        assert readiness.problems == [] and readiness.slowest < HTTP_SECONDS * patience(), readiness.told
        assert report["interruptions"] == report["failed_pings"] == [], report
        assert report["slowest_ping"] < PING_SECONDS * patience(), report
        assert report["longest_silence"] < GOSSIP_SECONDS * patience(), report
        assert set(self.honest) <= set(self.peers())
        growth = self.memory() - self._base
        assert growth < GROWTH_BYTES, f"{growth >> 20} MiB more"
        self._check_log(attack.text, lines)

    def _report(self) -> dict[str, Any]:
        """Of the honest peers, with at least one message heard."""
        report = self.pair.report()
        end = time.monotonic() + GOSSIP_SECONDS * patience()
        while not report["messages"] and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            more = self.pair.report()
            for key in ("pings", "messages", "interruptions", "failed_pings"):
                report[key] += more[key]
            for key in ("slowest_ping", "longest_silence"):
                report[key] = max(report[key], more[key])
        assert report["messages"], report
        return report

    def _check_log(self, text: str, lines: int) -> None:
        assert "Traceback" not in text, text[-6000:]
        assert not re.search(r"^\S+ \S+ (error|critical) ", text, re.MULTILINE), text[-6000:]
        assert text.count("\n") <= lines, f"{text.count(chr(10))} lines, at the end:\n{text[-3000:]}"


class _Readiness(threading.Thread):
    """Asks the node over HTTP whether it is ready, again and again."""

    def __init__(self, node: NodeProcess) -> None:
        super().__init__(daemon=True)
        self._node, self._over = node, threading.Event()
        self.slowest, self.asked = 0.0, 0
        self.problems: list[str] = []

    @property
    def told(self) -> str:
        return f"{self.asked} asked, the slowest took {self.slowest:.2f} s, problems: {self.problems[:3]}"

    def run(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            begun = time.monotonic()
            try:
                status, body, _ = self._node.request("GET", "/health/ready", key=None, timeout=10)
                if status != 200:
                    self.problems.append(f"{status}: {body}")
            except OSError as error:
                self.problems.append(repr(error))
            self.asked += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def __enter__(self) -> _Readiness:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.join(15)
