"""Three nodes over real sockets, two of which know only the third: they meet by the DHT alone."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, os, random, time
from nacl.signing import SigningKey
from structlog import get_logger
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater, react

reactor.seconds = time.monotonic
from swarmnode.network.tcp import tcp_carrier
from swarmnode.network_stack import Surroundings, build_network
from swarmnode.protocols.identity.handover import Signer
from swarmnode.services.track_swarm import TrackSwarm
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import peer_id

# Nobody tells of members, and nobody exchanges peers: what is left is the DHT.
TrackSwarm.start = lambda self: None


class Identity(Signer):
    @property
    def peer_id(self):
        return peer_id(self.public_key)


def node(bootstrap=()):
    key = SigningKey.generate()
    identity = Identity(bytes(key.verify_key), lambda data: key.sign(data).signature)
    settings = NetworkSettings("127.0.0.1", 0, bootstrap, enable_mdns=False, peer_exchange=False)
    world = Surroundings(reactor, time.time, random.Random(1), os.urandom, get_logger("test"))
    carriers = [tcp_carrier(identity, reactor, os.urandom, settings)]
    return build_network(identity, carriers, settings, world)


@inlineCallbacks
def main(_):
    middle = node()
    yield middle.start()
    ends = [node(middle.host.addresses()) for _ in range(2)]
    for one in ends:
        yield one.start()
    begun = time.monotonic()
    wanted = [(ends[0], ends[1].host.peer_id), (ends[1], ends[0].host.peer_id)]
    while not all(peer in one.host.peers() for one, peer in wanted):
        if time.monotonic() - begun > 45:
            break
        yield deferLater(reactor, 0.1, lambda: None)
    met = all(peer in one.host.peers() for one, peer in wanted)
    members = [len(one.swarm.members()) for one in ends]
    for one in (*ends, middle):
        yield one.stop()
    print(json.dumps({"met": met, "members": members}))


react(main)
"""


def test_nodes_meet_by_the_dht_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer == {"met": True, "members": [0, 0]}
