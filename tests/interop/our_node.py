"""One of our nodes, driven by lines of JSON as `libp2p_peers` says: the network stack alone, over TCP."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import structlog
from nacl.signing import SigningKey
from our_streams import BulkSending, Collecting, serve_streams
from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from swarmnode.network.find_by_mdns import FindByMdns
from swarmnode.network.tcp import TcpCarrier
from swarmnode.network_stack import Surroundings, build_network
from swarmnode.protocols.gossipsub.vocabulary import Verdict
from swarmnode.protocols.identify.peer_record import open_record
from swarmnode.protocols.kademlia.distance import provider_key
from swarmnode.storage.identity import Identity
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id

reactor.seconds = time.monotonic  # type: ignore[attr-defined]

MAX_LINE_BYTES = 1 << 20


def say(line: dict[str, Any]) -> None:
    """One line to whoever drives us."""
    lines.sendLine(json.dumps(line).encode())


class OurNode:
    """The node's own network stack. config: as in `libp2p_peers`."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        key = SigningKey.generate()
        identity = Identity(peer_id(bytes(key.verify_key)), bytes(key.verify_key), key)
        settings = NetworkSettings(network_id=config.get("network", ""))
        world = Surroundings(
            clock=reactor,
            stamp=time.time,
            rng=random.Random(),
            entropy=os.urandom,
            log=structlog.get_logger("node"),
            listen=[Multiaddr.parse(config.get("listen", "/ip4/127.0.0.1/tcp/0"))],
            searches=lambda host, found: self._searches(host, found, settings),
        )
        self.stack = build_network(identity, [TcpCarrier(identity, reactor, os.urandom)], settings, world)
        self.host = self.stack.host

    def start(self) -> Deferred[None]:
        """Listen and take part."""
        serve_streams(self.host)
        for topic in self._config.get("topics") or ():
            self.subscribe(topic)
        return self.stack.start().addCallback(lambda _: self._ready())

    def subscribe(self, topic: str) -> None:
        """Every message is an event."""
        self.stack.gossip.subscribe(
            topic,
            lambda source, data: Verdict.ACCEPT,
            lambda got: say(
                {"event": "message", "topic": got.topic, "from": got.source, "data": got.data.hex()}
            ),
        )

    def _ready(self) -> None:
        addresses = [f"{address}/p2p/{self.host.peer_id}" for address in self.host.addresses()]
        say({"event": "ready", "peer": self.host.peer_id, "addresses": addresses})

    def _searches(self, host: Any, found: Any, settings: NetworkSettings) -> list[Any]:
        def tell(peer: str, addresses: Any, how: str) -> None:
            say({"event": "found", "peer": peer, "addresses": [str(address) for address in addresses]})
            found(peer, addresses, how)

        return [FindByMdns(host, tell, settings, reactor)] if self._config.get("mdns") else []


class Commands:
    """What can be asked for: a method each, its arguments those of the line."""

    def __init__(self, node: OurNode) -> None:
        self._node, self._host = node, node.host

    def dial(self, address: str) -> Any:
        target = Multiaddr.parse(address)
        return self._host.connect(target.peer, [target])

    def hangUp(self, peer: str) -> None:
        self._host.disconnect(peer)

    def peers(self) -> list[str]:
        return list(self._host.peers())

    def identified(self, peer: str) -> Any:
        facts = self._node.stack.book.facts(peer)
        if facts is None or not facts.protocols:
            return None
        record = open_record(facts.record) if facts.record else None
        return {
            "agent": facts.agent,
            "version": facts.protocol_version,
            "protocols": list(facts.protocols),
            "addresses": [str(known.address) for known in facts.addresses],
            "record": record
            and {"sequence": str(record.sequence), "addresses": [str(each) for each in record.addresses]},
        }

    def ping(self, peer: str, count: int = 1) -> Any:
        return self._node.stack.pings.ping(peer, count)

    def echo(self, peer: str, data: str) -> Any:
        return Collecting(bytes.fromhex(data)).begin(self._host, peer)

    def send(self, peer: str, bytes: int, plain: bool = False) -> Any:
        return BulkSending(bytes, not plain).begin(self._host, peer, reactor.seconds)

    def fetch(self, peer: str, bytes: int) -> Any:
        return Collecting.bulk(bytes).begin(self._host, peer)

    def subscribe(self, topic: str) -> None:
        self._node.subscribe(topic)

    def mesh(self, topic: str) -> Any:
        state = self._node.stack.gossip.stats().state
        return next((list(each.mesh) for each in state.topics if each.topic == topic), [])

    def publish(self, topic: str, data: str) -> None:
        self._node.stack.gossip.publish(topic, bytes.fromhex(data))

    def put(self, key: str, data: str) -> Any:
        return self._node.stack.dht.put(key, bytes.fromhex(data)).addCallback(
            lambda stored: list(stored.holders)
        )

    def get(self, key: str) -> Any:
        return self._node.stack.dht.get(key).addCallback(lambda found: found.payload.hex())

    def provide(self, key: str) -> Any:
        return self._node.stack.dht.provide(provider_key(key.encode())).addCallback(lambda s: list(s.holders))

    def providers(self, key: str) -> Any:
        found = self._node.stack.dht.find_providers(provider_key(key.encode()))
        return found.addCallback(lambda entries: [entry.peer for entry in entries])

    def find(self, peer: str) -> Any:
        found = self._node.stack.dht.find_peer(peer)
        return found.addCallback(lambda result: [str(address) for address in result.addresses])

    def trust(self, peer: str) -> float:
        return self._node.stack.trust.score(peer)

    def table(self) -> int:
        return self._node.stack.dht.facts().peers


class Lines(LineReceiver):
    """The configuration, then commands."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE_BYTES

    def __init__(self) -> None:
        self._node: OurNode | None = None
        self._commands: Commands | None = None
        self._stopping = False

    def lineReceived(self, line: bytes) -> None:
        said = json.loads(line)
        if self._node is None:
            self._node = OurNode(said)
            self._commands = Commands(self._node)
            self._node.start().addErrback(self._broken)
            return
        number, name = said.pop("id"), said.pop("do")
        if name == "stop":
            self._stop()
            return
        method: Callable[..., Any] = getattr(self._commands, name)
        maybeDeferred(method, **said).addCallbacks(
            lambda result: say({"id": number, "result": result}),
            lambda failure: say({"id": number, "error": _told(failure)}),
        )

    def connectionLost(self, reason: Any = None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._node is not None and reactor.running and not self._stopping:
            self._stopping = True
            maybeDeferred(self._node.stack.stop).addBoth(lambda _: reactor.stop())

    def _broken(self, failure: Failure) -> None:
        say({"event": "broken", "error": _told(failure)})


def _told(failure: Failure) -> str:
    if failure.check(SwarmnodeError):
        return f"{failure.value.code}: {failure.value.message}"
    return failure.getTraceback()


structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
lines = Lines()
stdio.StandardIO(lines)
reactor.run()
