"""Two nodes in one process over real TCP, Noise, yamux and gossipsub: they greet, ask, tell and seal."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, random, sys, time
from nacl.signing import SigningKey
from structlog import get_logger
from twisted.internet import defer, reactor, task

reactor.seconds = time.monotonic
from swarmnode.network.host import NetworkHost
from swarmnode.network.tcp import tcp_carrier
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.frames import Tag
from swarmnode.protocols.swarm.hello import Hello
from swarmnode.protocols.swarm.messages import KINDS, Kind
from swarmnode.services.broadcast import Broadcast
from swarmnode.services.gossip import Gossip
from swarmnode.services.prove_network import NetworkProof
from swarmnode.services.say_hello import SayHello
from swarmnode.services.seal_payloads import SealPayloads
from swarmnode.services.talk_to_peers import PeerTalk, Reply
from swarmnode.storage.identity import Identity
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import tcp_address
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id

FETCH = Kind("fetch", "MemberProbe", "MemberProbed", reply_payload=Tag.BULK, bulk=True)
PIECE = os.urandom(8 << 20)


class Node:
    def __init__(self, network, name):
        key = SigningKey.generate()
        public = bytes(key.verify_key)
        identity = Identity(peer_id(public), public, key)
        settings = NetworkSettings(listen_address="127.0.0.1", port=0, network_id=network)
        carrier = tcp_carrier(identity, reactor, os.urandom, settings)
        gate = NetworkProof(network, reactor) if network else None
        self.host = NetworkHost(
            identity, [carrier], reactor, random.Random(1), settings, lambda peer: (), get_logger(),
            gate=gate, listen=[tcp_address("127.0.0.1", settings.port)],
        )
        self.id, self.faults, self.heard = identity.peer_id, [], []
        signer = Signer(public, lambda message: key.sign(message).signature)
        blame = lambda peer, error: self.faults.append(error.code)
        ours = lambda stamp_ms: Hello(name, frozenset({"new"}), ("cpu-1",), stamp_ms, self.host.addresses())
        self.hello = SayHello(self.host, reactor, time.time, ours, network, penalise=blame)
        self.talk = PeerTalk(self.host, reactor, network, penalise=blame, features=self.hello.features,
                             kinds={**KINDS, "fetch": FETCH})
        self.seal = SealPayloads(self.host, self.talk, reactor, signer, time.time, os.urandom, penalise=blame)
        self.gossip = Gossip(self.host, reactor, random.Random(2), signer.sign, time.time_ns(), get_logger())
        self.cast = Broadcast(self.gossip, signer, time.time, network=network, entropy=os.urandom,
                              penalise=blame)
        self.talk.handle("member_probe", lambda request: {"hears": request.message.peer == self.id})
        self.talk.handle("fetch", lambda request: Reply({}, PIECE))
        self.cast.on("nickname", lambda sender, heard: self.heard.append((sender, heard.message.nickname)))

    async def start(self):
        await self.host.start()
        for service in (self.hello, self.talk, self.seal, self.gossip, self.cast):
            service.start()

    async def stop(self):
        for service in (self.hello, self.talk, self.seal, self.gossip):
            service.stop()
        await self.host.stop()


async def until(what, seconds=10):
    for _ in range(int(seconds / 0.02)):
        if what():
            return
        await task.deferLater(reactor, 0.02, lambda: None)
    raise AssertionError("it did not happen")


async def main():
    ada, bob = Node(sys.argv[1], "ada"), Node(sys.argv[1], "bob")
    for node in (ada, bob):
        await node.start()
    await ada.host.connect(None, bob.host.addresses())
    await until(lambda: ada.hello.facts(bob.id) and bob.hello.facts(ada.id))
    facts = ada.hello.facts(bob.id)
    assert (facts.hello.software, facts.hello.profiles) == ("bob", ("cpu-1",)), facts
    assert abs(facts.skew) < 1 and facts.hello.addresses == bob.host.addresses(), facts
    reply = await ada.talk.ask(bob.id, "member_probe", {"peer": bob.id})
    assert reply.message.hears
    began = time.monotonic()
    pieces = await defer.gatherResults([ada.talk.ask(bob.id, "fetch", timeout=30) for _ in range(8)])
    assert all(reply.payload == PIECE for reply in pieces)
    print(f"64 MiB in {time.monotonic() - began:.2f} s")
    back = await bob.talk.ask(ada.id, "member_probe", {"peer": ""})
    assert not back.message.hears
    try:
        await ada.talk.ask(bob.id, "invite_redeem")
    except SwarmnodeError as error:
        assert error.code == "unsupported", error
    packet = await ada.seal.seal(bob.id, "tokens", "s", b"17 4 1")
    assert bob.seal.open(packet, "tokens", "s", ada.id) == b"17 4 1"
    await until(lambda: ada.gossip.stats().streams_out and bob.gossip.stats().streams_out)
    await task.deferLater(reactor, 1.5, lambda: None)
    ada.cast.publish("nickname", nickname="Ada")
    await until(lambda: bob.heard)
    assert bob.heard == [(ada.id, "Ada")]
    await ada.stop()
    await until(lambda: not bob.hello.all_facts())
    await bob.stop()
    assert ada.faults == bob.faults == [], (ada.faults, bob.faults)
    print("done")

task.react(lambda reactor: defer.Deferred.fromCoroutine(main()))
"""


@pytest.mark.parametrize("network", ["", "ours"], ids=["public", "private"])
def test_nodes_greet_ask_tell_and_seal(network: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, network], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done\n")
