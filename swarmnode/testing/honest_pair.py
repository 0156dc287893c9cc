"""Two honest peers of one node, in a process of their own: they reach each other through that node only, ping
it all the time, and one says things by gossip that the other waits for. Whether a third party can spoil that
is for tests to find out.

    with HonestPair(address_with_p2p) as pair:
        pair.report()    # forgets what was before
        ...
        report = pair.report()
        assert report["interruptions"] == [] and report["longest_silence"] < 2
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

#: Below what one author may say (`services.broadcast`).
SAY_SECONDS = 0.3
READY_SECONDS = 20.0


class HonestPair:
    """The process, from outside. node: the multiaddr of the node, with `/p2p/ID`. network: a private one."""

    def __init__(self, node: str, network: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "swarmnode.testing.honest_pair", node, network],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def report(self) -> dict[str, Any]:
        """What happened since the last report.

        peers: ids of the two. pings, failed_pings, slowest_ping: to the node, all seconds. messages: that
        came through it. longest_silence: between two of them, up to now. interruptions: reasons for which
        either was disconnected from it.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def wait_ready(self) -> HonestPair:
        """Until the first messages have come through the node."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.report()["messages"] >= 2:
                return self
            time.sleep(3 * SAY_SECONDS)
        raise AssertionError(f"no gossip came through the node: {self.report()}")

    def __enter__(self) -> HonestPair:
        return self.wait_ready()

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(5)


def main(node: str, network: str) -> None:
    """The process itself."""
    from twisted.internet import reactor as installed
    from twisted.internet import stdio
    from twisted.protocols.basic import LineReceiver

    reactor: Any = installed
    reactor.seconds = time.monotonic
    pair = _Pair(node, network, reactor)

    class Lines(LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            self.sendLine(json.dumps(pair.report()).encode())

        def connectionLost(self, reason: Any = None) -> None:
            if reactor.running:
                reactor.stop()

    stdio.StandardIO(Lines())
    pair.start()
    reactor.run()


class _Pair:
    """speaker says things; listener waits for them. Both ping the node."""

    def __init__(self, node: str, network: str, reactor: Any) -> None:
        from swarmnode.values.multiaddr import Multiaddr

        self._node, self._reactor = Multiaddr.parse(node), reactor
        self._stacks = [_stack(self._node, network, reactor) for _ in range(2)]
        self._slowest = self._longest = self._last = 0.0
        self._clear()
        for stack in self._stacks:
            stack.host.watch(self)

    def start(self) -> None:
        """Take part."""
        listener = self._stacks[1]
        for stack in self._stacks:
            stack.start()
        listener.broadcast.on("nickname", lambda sender, heard: self._heard(sender))
        self._reactor.callLater(SAY_SECONDS, self._again)

    def report(self) -> dict[str, Any]:
        """See `HonestPair`."""
        now = self._reactor.seconds()
        self._longest = max(self._longest, now - self._last)
        told = {
            "peers": [stack.host.peer_id for stack in self._stacks],
            "pings": self._pings,
            "failed_pings": self._failed,
            "slowest_ping": self._slowest,
            "messages": self._messages,
            "longest_silence": self._longest,
            "interruptions": self._interruptions,
        }
        self._clear()
        return told

    def _clear(self) -> None:
        self._pings = self._messages = 0
        self._failed: list[str] = []
        self._interruptions: list[str] = []
        self._slowest = self._longest = 0.0
        self._last = self._reactor.seconds()

    def _again(self) -> None:
        self._reactor.callLater(SAY_SECONDS, self._again)
        self._stacks[0].broadcast.publish("nickname", nickname=f"at {self._reactor.seconds():.2f}")
        for stack in self._stacks:
            if self._node.peer in stack.host.peers():
                pinged = stack.pings.ping(self._node.peer)
                pinged.addCallbacks(self._pinged, lambda why: self._failed.append(why.getErrorMessage()))

    def _pinged(self, result: Any) -> None:
        self._pings += 1
        self._slowest = max(self._slowest, *result)

    def _heard(self, sender: str) -> None:
        if sender == self._stacks[0].host.peer_id:
            now = self._reactor.seconds()
            self._messages += 1
            self._longest = max(self._longest, now - self._last)
            self._last = now

    # As `HostWatcher`.

    def peer_connected(self, peer: str, link: Any) -> None: ...

    def peer_disconnected(self, peer: str, error: Any) -> None:
        if peer == self._node.peer:
            self._interruptions.append("in order" if error is None else error.message)

    def peer_quiet(self, peer: str, seconds: float) -> None: ...

    def peer_alive(self, peer: str, rtt: float) -> None: ...


def _stack(node: Any, network: str, reactor: Any) -> Any:
    from nacl.signing import SigningKey
    from structlog import get_logger

    from swarmnode.network.tcp import TcpCarrier
    from swarmnode.network_stack import Surroundings, build_network
    from swarmnode.storage.identity import Identity
    from swarmnode.values.multiaddr import tcp_address
    from swarmnode.values.network import NetworkSettings
    from swarmnode.values.peer_id import peer_id

    class OnlyThere(TcpCarrier):
        """Dials the one node and nobody else."""

        def dials(self, address: Any) -> bool:
            return address.port in (0, node.port)

    key = SigningKey.generate()
    identity = Identity(peer_id(bytes(key.verify_key)), bytes(key.verify_key), key)
    settings = NetworkSettings("127.0.0.1", 0, (node,), network_id=network, enable_mdns=False)
    entropy: Callable[[int], bytes] = os.urandom
    world = Surroundings(
        reactor,
        time.time,
        random.Random(),
        entropy,
        get_logger("honest"),
        listen=(tcp_address("127.0.0.1", 0),),
    )
    return build_network(identity, [OnlyThere(identity, reactor, entropy)], settings, world)


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    main(*sys.argv[1:])
