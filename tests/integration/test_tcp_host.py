"""Two hosts in one process over real TCP, Noise and yamux."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, random, sys, time
from nacl.signing import SigningKey
from twisted.internet import defer, reactor, task

reactor.seconds = time.monotonic
from swarmnode.network.host import NetworkHost
from swarmnode.network.tcp import tcp_carrier
from swarmnode.services.prove_network import NetworkProof
from swarmnode.storage.identity import Identity
from swarmnode.testing.host_bench import Recorder, TestLog, Witness
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import tcp_address
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id


def make(network, address):
    key = SigningKey.generate()
    public = bytes(key.verify_key)
    identity = Identity(peer_id(public), public, key)
    settings = NetworkSettings(listen_address=address, port=0, network_id=network)
    carrier = tcp_carrier(identity, reactor, os.urandom, settings)
    gate = NetworkProof(network, reactor) if network else None
    host = NetworkHost(
        identity, [carrier], reactor, random.Random(1), settings, lambda peer: (), TestLog(), gate=gate,
        listen=[tcp_address(address, settings.port)],
    )
    host.serve("/test/echo/1", lambda stream: Recorder(stream, echo=True))
    witness = Witness()
    host.watch(witness)
    return host, witness


async def meet(network, address):
    (a, seen_a), (b, seen_b) = make(network, address), make(network, address)
    for host in (a, b):
        await host.start()
    assert await a.connect(None, b.addresses()) == b.peer_id
    receiver = Recorder()
    stream = await a.open(b.peer_id, ["/test/none/1", "/test/echo/1"], receiver)
    sent = os.urandom(3_000_000)
    stream.write(sent)
    stream.end()
    for _ in range(500):
        if receiver.losses:
            break
        await task.deferLater(reactor, 0.02, lambda: None)
    assert receiver.data == sent
    assert receiver.losses == [None]
    assert a.rtt(b.peer_id) is not None
    (link,) = a.links(b.peer_id)
    (back,) = b.links(a.peer_id)
    assert (link.remote, link.local) == (back.local, back.remote)
    assert link.handshake_hash == back.handshake_hash != b""
    try:
        await b.connect(None, b.addresses())
    except SwarmnodeError as error:
        assert error.code == "self_dial", error
    await a.stop()
    await task.deferLater(reactor, 0.1, lambda: None)
    assert seen_a.changes()[-1] == ("disconnected", b.peer_id, "stopping")
    assert b.peers() == ()
    await b.stop()
    assert [kind for kind, *_ in seen_b.changes()] == ["connected", "disconnected"]


async def strangers():
    (inside, _), (outside, seen) = make("home", "127.0.0.1"), make("", "127.0.0.1")
    for host in (inside, outside):
        await host.start()
    try:
        await inside.connect(None, outside.addresses())
    except SwarmnodeError as error:
        assert "of another network" in error.message, error
    else:
        raise AssertionError("they met")
    for host in (inside, outside):
        await host.stop()


async def main():
    await meet("", "127.0.0.1")
    await meet("home", sys.argv[1])
    await strangers()
    print("met")

task.react(lambda reactor: defer.Deferred.fromCoroutine(main()))
"""


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - both are listened on for a moment
def test_hosts_meet_over_tcp(address: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, address], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("met\n")


def test_a_taken_port_is_one_clear_line() -> None:
    script = """
import socket
from swarmnode.network.tcp import tcp_carrier
from swarmnode.values.errors import Refused
from swarmnode.values.network import NetworkSettings

taken = socket.create_server(("127.0.0.1", 0))
try:
    tcp_carrier(None, None, bytes, NetworkSettings(listen_address="127.0.0.1", port=taken.getsockname()[1]))
except Refused as error:
    print(error.code, error.message, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("port_in_use Peers cannot be listened for: Port ")
    assert "network.listen_address" in done.stdout
