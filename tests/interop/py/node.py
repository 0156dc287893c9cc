"""One py-libp2p node, driven by lines of JSON as `../libp2p_peers.py` says. Runs in an environment of its own
(`requirements.txt`), with trio, and knows nothing of our code but the pattern of the bulk data."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from typing import Any

import multihash
import trio
from libp2p import generate_new_ed25519_identity, new_host
from libp2p.custom_types import TProtocol
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.host.ping import ID as PING
from libp2p.host.ping import PingService, handle_ping
from libp2p.kad_dht import common, kad_dht, peer_routing, provider_store, value_store
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.records.validator import Validator
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr
from nacl.signing import VerifyKey
from streams import COUNT, ECHO, SERVED, SINK, SOURCE, checksum, pattern_blocks, read_all

PUBLIC_KEY_BYTES, SIGNATURE_BYTES, STAMP_BYTES = 32, 64, 8
HEAD_BYTES = PUBLIC_KEY_BYTES + SIGNATURE_BYTES


def say(line: dict[str, Any]) -> None:
    """One line to whoever drives us."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def signed_bytes(key: bytes, body: bytes) -> bytes:
    return b"swarmnode-dht:" + varint(len(key)) + key + body


class OurRecords(Validator):
    """Values under /swarmnode/: [public key][signature][8 B Unix seconds][payload]; the newest is best."""

    def validate(self, key: str, value: bytes) -> None:
        signer = VerifyKey(value[:PUBLIC_KEY_BYTES])
        signer.verify(signed_bytes(key.encode(), value[HEAD_BYTES:]), value[PUBLIC_KEY_BYTES:HEAD_BYTES])

    def select(self, key: str, values: list[bytes]) -> int:
        stamps = [value[HEAD_BYTES : HEAD_BYTES + STAMP_BYTES] for value in values]
        return stamps.index(max(stamps))


class Node:
    """A host and its services; commands are its methods `do_...`."""

    def __init__(self, config: dict[str, Any], nursery: trio.Nursery) -> None:
        self.config, self._nursery = config, nursery
        self._keys = generate_new_ed25519_identity()
        self.listen = [Multiaddr(config.get("listen", "/ip4/127.0.0.1/tcp/0"))]
        self.host = new_host(
            key_pair=self._keys,
            muxer_preference="YAMUX",
            listen_addrs=self.listen,
            enable_mDNS=bool(config.get("mdns")),
        )
        self.router = self.pubsub = self.dht = None
        if config.get("topics"):
            self.router = GossipSub(
                [PROTOCOL_ID_V11, PROTOCOL_ID], 6, 4, 12, heartbeat_interval=1, heartbeat_initial_delay=0.1
            )
            self.pubsub = Pubsub(self.host, self.router, strict_signing=True)
        if config.get("kad"):
            # The protocol id is a constant of version 0.8.1, copied into each of its modules.
            for module in (common, kad_dht, peer_routing, provider_store, value_store):
                module.PROTOCOL_ID = TProtocol(config["kad"])
            self.dht = KadDHT(self.host, DHTMode.SERVER)
            self.dht.register_validator("swarmnode", OurRecords())
        self.host.set_stream_handler(PING, handle_ping)
        for protocol, handler in SERVED.items():
            self.host.set_stream_handler(TProtocol(protocol), handler)

        peerDiscovery.register_peer_discovered_handler(found)

    async def ready(self) -> None:
        if self.pubsub is not None:
            await self.pubsub.wait_until_ready()
            for topic in self.config["topics"]:
                await self.do_subscribe(topic)
        addresses = [str(address) for address in self.host.get_addrs()]
        say({"event": "ready", "peer": str(self.host.get_id()), "addresses": addresses})

    async def _deliver(self, topic: str, subscription: Any) -> None:
        while True:
            got = await subscription.get()
            source = ID(got.from_id)
            if source != self.host.get_id():
                say({"event": "message", "topic": topic, "from": str(source), "data": got.data.hex()})

    async def do_dial(self, address: str) -> str:
        info = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(info)
        if self.dht is not None:
            # Programs say so themselves (examples/kademlia).
            await self.dht.add_peer(info.peer_id, skip_server_mode_check=True)
        return str(info.peer_id)

    async def do_hangUp(self, peer: str) -> None:
        await self.host.disconnect(ID.from_string(peer))

    async def do_peers(self) -> list[str]:
        return [str(peer) for peer in self.host.get_connected_peers()]

    async def do_identified(self, peer: str) -> Any:
        id_, store = ID.from_string(peer), self.host.get_peerstore()
        # Connections fill in some protocols by themselves; that it is identified is told here.
        if id_ not in self.host._identified_peers:
            return None
        envelope = store.get_peer_record(id_)
        record = envelope.record() if envelope is not None else None
        return {
            "protocols": [str(protocol) for protocol in store.get_protocols(id_)],
            "addresses": [str(address) for address in store.addrs(id_)],
            "record": record
            and {"sequence": str(record.seq), "addresses": [str(address) for address in record.addrs]},
        }

    async def do_ping(self, peer: str, count: int = 1) -> list[float]:
        # It measures whole milliseconds.
        return [ms / 1000 for ms in await PingService(self.host).ping(ID.from_string(peer), count)]

    async def _open(self, peer: str, protocol: str) -> Any:
        return await self.host.new_stream(ID.from_string(peer), [TProtocol(protocol)])

    async def do_echo(self, peer: str, data: str) -> str:
        stream = await self._open(peer, ECHO)
        await stream.write(bytes.fromhex(data))
        await stream.close_write()
        return b"".join([piece async for piece in read_all(stream)]).hex()

    async def do_send(self, peer: str, bytes: int, plain: bool = False) -> Any:
        stream, hash_ = await self._open(peer, COUNT if plain else SINK), hashlib.sha256()
        begun = time.monotonic()
        for block in pattern_blocks(bytes):
            if not plain:
                hash_.update(block)
            await stream.write(block)
        await stream.close_write()
        answer = json.loads(b"".join([piece async for piece in read_all(stream)]))
        sha256 = None if plain else hash_.hexdigest()
        return {"seconds": time.monotonic() - begun, "sha256": sha256, "answer": answer}

    async def do_fetch(self, peer: str, bytes: int) -> Any:
        stream = await self._open(peer, SOURCE)
        await stream.write(bytes.to_bytes(8, "big"))
        await stream.close_write()
        return await checksum(stream, True)

    async def do_subscribe(self, topic: str) -> None:
        self._nursery.start_soon(self._deliver, topic, await self.pubsub.subscribe(topic))

    async def do_subscribers(self, topic: str) -> list[str]:
        return [str(peer) for peer in self.pubsub.peer_topics.get(topic, ())]

    async def do_mesh(self, topic: str) -> list[str]:
        return [str(peer) for peer in self.router.mesh.get(topic, ())]

    async def do_publish(self, topic: str, data: str) -> None:
        await self.pubsub.publish(topic, bytes.fromhex(data))

    async def do_put(self, key: str, data: str) -> None:
        body = int(time.time()).to_bytes(STAMP_BYTES, "big") + bytes.fromhex(data)
        public = self._keys.public_key.to_bytes()
        await self.dht.put_value(
            key, public + self._keys.private_key.sign(signed_bytes(key.encode(), body)) + body
        )

    async def do_get(self, key: str) -> str | None:
        value = await self.dht.get_value(key)
        return None if value is None else value[HEAD_BYTES + STAMP_BYTES :].hex()

    async def do_provide(self, key: str) -> bool:
        return await self.dht.provide(content_key(key))

    async def do_providers(self, key: str) -> list[str]:
        return [str(info.peer_id) for info in await self.dht.find_providers(content_key(key))]

    async def do_find(self, peer: str) -> list[str] | None:
        info = await self.dht.find_peer(ID.from_string(peer))
        return None if info is None else [str(address) for address in info.addrs]

    async def do_table(self) -> int:
        return self.dht.get_routing_table_size()


def found(info: Any) -> None:
    """mDNS has found a peer."""
    addresses = [str(address) for address in info.addrs]
    say({"event": "found", "peer": str(info.peer_id), "addresses": addresses})


def content_key(name: str) -> str:
    """The SHA-256 multihash of a name, in hexadecimal."""
    return multihash.digest(name.encode(), "sha2-256").encode().hex()


async def answer(node: Node, line: dict[str, Any]) -> None:
    number, name = line.pop("id"), line.pop("do")
    try:
        say({"id": number, "result": await getattr(node, f"do_{name}")(**line)})
    except Exception as error:
        logging.exception("%s failed", name)
        say({"id": number, "error": f"{type(error).__name__}: {error}"})


async def run_commands(node: Node, lines: Any, nursery: trio.Nursery) -> None:
    async for text in lines:
        line = json.loads(text)
        if line["do"] == "stop":
            break
        nursery.start_soon(answer, node, line)
    nursery.cancel_scope.cancel()


async def main() -> None:
    lines = trio.wrap_file(sys.stdin)
    config = json.loads(await lines.readline())
    async with trio.open_nursery() as nursery:
        node = Node(config, nursery)
        async with (
            node.host.run(listen_addrs=node.listen),
            running(node.pubsub),
            running(node.router),
            running(node.dht),
        ):
            await node.ready()
            await run_commands(node, lines, nursery)


def running(service: Any) -> Any:
    """A service in the background; nothing where there is none."""
    return background_trio_service(service) if service is not None else trio.open_nursery()


logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
trio.run(main)
