"""Broadcasts over the real gossip router, between nodes on one clock."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import pytest
from structlog import get_logger
from twisted.internet.task import Clock

from swarmnode.services.broadcast import Broadcast, Heard
from swarmnode.services.gossip import Gossip
from swarmnode.testing.fake_host import FakeNetwork

STAMP = 1_800_000_000.0


class Node:
    def __init__(self, fakes: FakeNetwork, number: int, network: str) -> None:
        self.host = fakes.host(f"/ip4/10.0.0.{number}/tcp/1")
        self.heard: list[Heard] = []
        self.faults: list[Any] = []
        clock, sign = fakes.clock, self.host.signer.sign
        self.gossip = Gossip(self.host, clock, random.Random(number), sign, 10**18, get_logger())
        self.broadcast = Broadcast(
            self.gossip,
            self.host.signer,
            lambda: STAMP + clock.seconds(),
            network=network,
            entropy=lambda count: sha256(b"%d" % number).digest()[:count],
            penalise=lambda peer, error: self.faults.append((peer, error.code)),
        )
        self.broadcast.on("nickname", lambda sender, heard: self.heard.append(heard))
        self.gossip.start()
        self.broadcast.start()


@pytest.mark.parametrize("network", ["", "ours"])
def test_what_one_says_all_hear_once(network: str) -> None:
    """A line of four: the ends know each other by hearsay only."""
    clock = Clock()
    fakes = FakeNetwork(clock)
    nodes = [Node(fakes, number, network) for number in range(1, 5)]
    for left, right in zip(nodes, nodes[1:], strict=False):
        fakes.join(left.host, right.host, right.host.listening[0])
    for _ in range(500):
        clock.advance(0.01)
    nodes[0].broadcast.publish("nickname", nickname="ada")
    for _ in range(300):
        clock.advance(0.01)
    assert [[heard.message.nickname for heard in node.heard] for node in nodes] == [[]] + [["ada"]] * 3
    assert {heard.sender for node in nodes for heard in node.heard} == {nodes[0].host.peer_id}
    assert nodes[3].heard[0].carrier == nodes[2].host.peer_id
    assert all(node.faults == [] for node in nodes)
    assert nodes[3].broadcast.stats()["accept"] == 1
