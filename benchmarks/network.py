"""The network's measurements over loopback: `python -m benchmarks.network --raw FILE`. Two processes.

handshake: from the call to connect until the peer is proven, and until a first ping over the new connection
is answered. ping: 32 bytes there and back on an open stream. bulk: one stream each way. idle: what 500
connections cost either process that does nothing else (all of them kept alive by their own pings).

The other process is our own (`benchmarks.network_node`), or what `--peer-command` names. With `--js` every
sample is followed by one of the same between two nodes of js-libp2p's (`benchmarks.network_js`).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread

from benchmarks.network_goals import verdicts
from benchmarks.network_js import JsPair
from benchmarks.network_node import LOOPBACK, PING, SINK, SOURCE, Owner, Receiver, Sender, new_signer
from benchmarks.raw import RawFile
from swarmnode.network.connection import PipedConnection, connect_protocol

TESTS = ("handshake", "ping", "bulk", "idle")
PING_BYTES = 32
#: Connections of one sample.
HANDSHAKES = 4
Steps = Generator["Deferred[Any]", Any, Any]


class Measurement:
    """Connections from this process to one peer process, and the figures taken of them."""

    def __init__(
        self,
        reactor: Any,
        options: argparse.Namespace,
        raw: RawFile,
        port: int,
        pid: int,
        js: JsPair | None = None,
    ) -> None:
        self._reactor, self._options, self._raw, self._js = reactor, options, raw, js
        self._port, self._pid = port, pid
        self._signer = new_signer()
        self.figures: dict[str, list[float]] = {}

    def _note(self, test: str, **figures: float) -> None:
        self._raw.add(test, **{name: round(value, 4) for name, value in figures.items()})
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)
        print(test, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)

    @inlineCallbacks
    def _compare(self, test: str, sample: Callable[[JsPair], dict[str, float]]) -> Steps:
        """Take the same sample of js-libp2p, where it takes part. In a thread: our connections stay alive."""
        if self._js is not None:
            figures = yield deferToThread(sample, self._js)
            self._note(f"js_{test}", **figures)

    @inlineCallbacks
    def connect(self) -> Steps:
        """A Deferred of a new connection, attended to."""
        protocol, secured = connect_protocol(
            True, self._signer, self._reactor, os.urandom, None, LOOPBACK, LOOPBACK, "tcp"
        )
        yield connectProtocol(TCP4ClientEndpoint(self._reactor, "127.0.0.1", self._port), protocol)
        protocol.transport.setTcpNoDelay(True)
        connection = yield secured
        connection.attend(Owner())
        return connection

    @inlineCallbacks
    def handshake(self) -> Steps:
        """New connections, one after the other."""
        for _ in range(self._options.repeats):
            for _ in range(HANDSHAKES):
                began = time.perf_counter()
                connection = yield self.connect()
                proven = time.perf_counter()
                yield self._pings(connection, 1)
                used = time.perf_counter()
                self._note(
                    "handshake", handshake_ms=1e3 * (proven - began), first_ping_ms=1e3 * (used - began)
                )
                connection.close(None)
            yield self._compare("handshake", lambda js: js.handshake(HANDSHAKES))

    @inlineCallbacks
    def ping(self) -> Steps:
        """Round trips on one stream."""
        connection = yield self.connect()
        for _ in range(self._options.repeats):
            times = yield self._pings(connection, self._options.pings)
            times.sort()
            self._note("ping", ping_ms=statistics.median(times), ping_p99_ms=times[len(times) * 99 // 100])
            yield self._compare("ping", lambda js: js.ping(self._options.pings))
        connection.close(None)

    def _pings(self, connection: PipedConnection, count: int) -> Deferred[list[float]]:
        done: Deferred[list[float]] = Deferred()
        receiver = _Pinger(count, done)
        receiver.stream = connection.open((PING,), receiver, lambda: None)
        receiver.ask()
        return done

    @inlineCallbacks
    def bulk(self) -> Steps:
        """One stream to the peer, and one from it."""
        size = self._options.megabytes << 20
        connection = yield self.connect()
        for _ in range(self._options.repeats):
            for way, run in (("to", self._to_peer), ("from", self._from_peer)):
                own, theirs, began = time.process_time(), cpu_seconds(self._pid), time.perf_counter()
                yield run(connection, size)
                seconds = time.perf_counter() - began
                self._note(
                    f"bulk_{way}_peer",
                    **{f"bulk_{way}_peer_mb_s": size / seconds / 1e6},
                    cpu_own_s=time.process_time() - own,
                    cpu_peer_s=cpu_seconds(self._pid) - theirs,
                )
                yield self._compare(f"bulk_{way}_peer", partial(JsPair.bulk, way=way, size=size))
        connection.close(None)

    def _to_peer(self, connection: PipedConnection, size: int) -> Deferred[None]:
        sender = _Counted(size)
        sender.stream = connection.open((SINK,), sender, lambda: None)
        sender.drained()
        return sender.done

    def _from_peer(self, connection: PipedConnection, size: int) -> Deferred[None]:
        taker = _Taker(size)
        taker.stream = connection.open((SOURCE,), taker, lambda: None)
        taker.stream.write(size.to_bytes(8, "big"))
        return taker.done

    @inlineCallbacks
    def idle(self) -> Steps:
        """Many connections that say nothing."""
        own, theirs = resident_bytes(os.getpid()), resident_bytes(self._pid)
        connections = []
        for _ in range(self._options.connections):
            connection = yield self.connect()
            connections.append(connection)
        yield deferLater(self._reactor, 5.0)
        held = {"own": resident_bytes(os.getpid()) - own, "peer": resident_bytes(self._pid) - theirs}
        began, used = time.perf_counter(), (time.process_time(), cpu_seconds(self._pid))
        yield deferLater(self._reactor, self._options.seconds)
        seconds = time.perf_counter() - began
        spent = {"own": time.process_time() - used[0], "peer": cpu_seconds(self._pid) - used[1]}
        self._note(
            "idle",
            idle_mb=max(held.values()) / 1e6,
            idle_mb_own=held["own"] / 1e6,
            idle_mb_peer=held["peer"] / 1e6,
            idle_cpu_percent=100 * max(spent.values()) / seconds,
            idle_cpu_percent_own=100 * spent["own"] / seconds,
            idle_cpu_percent_peer=100 * spent["peer"] / seconds,
            connections=len(connections),
        )
        for connection in connections:
            connection.close(None)

    @inlineCallbacks
    def run(self) -> Steps:
        """The tests that were asked for."""
        for name in self._options.tests:
            yield getattr(self, name)()


class _Pinger(Receiver):
    def __init__(self, count: int, done: Deferred[list[float]]) -> None:
        self._count, self._done = count, done
        self._times: list[float] = []
        self._got = self._began = 0.0

    def ask(self) -> None:
        self._began, self._got = time.perf_counter(), 0
        self.stream.write(bytes(PING_BYTES))

    def received(self, data: bytes) -> None:
        self._got += len(data)
        if self._got < PING_BYTES:
            return
        self._times.append(1e3 * (time.perf_counter() - self._began))
        if len(self._times) < self._count:
            self.ask()
        else:
            self.stream.end()
            self._done.callback(self._times)


class _Counted(Sender):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.done: Deferred[None] = Deferred()
        self._size, self._answer = size, b""

    def received(self, data: bytes) -> None:
        self._answer += data
        if len(self._answer) == 8:
            assert int.from_bytes(self._answer, "big") == self._size, "bytes were lost"
            self.done.callback(None)


class _Taker(Receiver):
    def __init__(self, size: int) -> None:
        self._left = size
        self.done: Deferred[None] = Deferred()

    def received(self, data: bytes) -> None:
        self._left -= len(data)
        if not self._left:
            self.stream.end()
            self.done.callback(None)


def resident_bytes(pid: int) -> int:
    """Memory of a process that is its own (Linux: anonymous pages)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__)
    parser.add_argument(
        "--raw", type=Path, required=True, help="a new file for what was measured, JSON lines"
    )
    parser.add_argument("--tests", nargs="+", choices=TESTS, default=list(TESTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pings", type=int, default=1000, help="in one sample")
    parser.add_argument("--megabytes", type=int, default=256, help="of one bulk sample")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0, help="of doing nothing")
    ours = f"{shlex.quote(sys.executable)} -m benchmarks.network_node"
    parser.add_argument("--peer-command", default=ours, help="what to measure against (see network_node)")
    parser.add_argument("--js", action="store_true", help="alternate with two nodes of js-libp2p's")
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    """Start the peer, measure, print."""
    options = arguments(words)
    raw = RawFile(options.raw, tests=options.tests, peer_command=options.peer_command, js=options.js)
    js = JsPair() if options.js else None
    command = shlex.split(options.peer_command)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        there = json.loads(peer.stdout.readline())

        def measure(reactor: Any) -> Deferred[Any]:
            measurement = Measurement(reactor, options, raw, there["port"], peer.pid, js)
            done: Deferred[Any] = measurement.run()
            return done.addCallback(_conclude(measurement, raw))

        try:
            react(measure)
        finally:
            assert peer.stdin is not None
            peer.stdin.close()
            if js is not None:
                js.stop()


def _conclude(measurement: Measurement, raw: RawFile) -> Callable[[Any], None]:
    def conclude(_: Any) -> None:
        lines = verdicts(measurement.figures)
        raw.add("verdicts", lines=lines)
        print("\n".join(lines))

    return conclude


if __name__ == "__main__":
    main(sys.argv[1:])
