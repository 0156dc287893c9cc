"""Kademlia's machines among themselves: a hundred nodes, liars, churn, an hour; one seed decides all."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest

from swarmnode.protocols.kademlia import vocabulary as v
from swarmnode.protocols.kademlia.distance import peer_place, place, provider_key
from swarmnode.protocols.kademlia.lookup import ALPHA
from swarmnode.protocols.kademlia.messages import Kind, Message, PeerEntry, Record, decode, encode
from swarmnode.testing.dht_swarm import DhtNode, DhtSwarm
from swarmnode.values.errors import Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

KEY = b"/swarmnode/test"


def settled(count: int, seed: int = 1) -> tuple[DhtSwarm, list[DhtNode]]:
    swarm = DhtSwarm(seed)
    nodes = swarm.grow(count)
    swarm.run(90.0)
    return swarm, nodes


@pytest.fixture(scope="module")
def hundred() -> Iterator[tuple[DhtSwarm, list[DhtNode]]]:
    """For tests that change nothing that others rely on."""
    yield settled(100)


def got(node: DhtNode, key: bytes = KEY) -> bytes | None:
    result = node.ask(lambda number: v.GetValue(number, key))
    return result.payload if isinstance(result, v.ValueFound) else None


def put(node: DhtNode, payload: bytes, key: bytes = KEY) -> v.Stored:
    result = node.ask(lambda number: v.PutValue(number, key, payload))
    assert isinstance(result, v.Stored), result
    return result


def test_every_put_is_found_from_everywhere(hundred: tuple[DhtSwarm, list[DhtNode]]) -> None:
    _, nodes = hundred
    for number, writer in enumerate(nodes[::25]):
        key = b"/swarmnode/everywhere/%d" % number
        stored = put(writer, b"value %d" % number, key)
        assert len(stored.holders) == 20
        assert {got(node, key) for node in nodes} == {b"value %d" % number}


def test_the_holders_are_the_nearest_there_are(hundred: tuple[DhtSwarm, list[DhtNode]]) -> None:
    _, nodes = hundred
    key = b"/swarmnode/nearest"
    stored = put(nodes[0], b"x", key)
    others = sorted((n.peer for n in nodes[1:]), key=lambda peer: peer_place(peer) ^ place(key))
    assert list(stored.holders) == others[:20]


def test_providers_are_found_from_everywhere(hundred: tuple[DhtSwarm, list[DhtNode]]) -> None:
    _, nodes = hundred
    key = provider_key(b"a model")
    for node in nodes[:3]:
        assert isinstance(node.ask(lambda number: v.Provide(number, key)), v.Stored)
    for node in nodes[3:]:
        found = node.ask(lambda number: v.FindProviders(number, key, 20))
        assert isinstance(found, v.ProvidersFound)
        assert {(e.peer, e.addresses) for e in found.providers} == {(n.peer, (n.address,)) for n in nodes[:3]}


def test_every_peer_is_found_from_everywhere(hundred: tuple[DhtSwarm, list[DhtNode]]) -> None:
    _, nodes = hundred
    for number, node in enumerate(nodes):
        other = nodes[(number * 37 + 11) % 100]
        if other is node:
            continue
        found = node.ask(lambda n, other=other: v.FindPeer(n, other.peer))
        assert isinstance(found, v.PeerFound) and other.address in found.addresses


def test_what_is_nowhere_is_not_found_and_says_so(hundred: tuple[DhtSwarm, list[DhtNode]]) -> None:
    _, nodes = hundred
    for make, code in (
        (lambda n: v.GetValue(n, b"/swarmnode/nothing"), "record_not_found"),
        (lambda n: v.FindProviders(n, b"nothing", 5), "no_providers"),
        (lambda n: v.FindPeer(n, peer_id(b"?" * 32)), "peer_not_found"),
    ):
        result = nodes[5].ask(make)
        assert isinstance(result, Unavailable) and result.code == code


@pytest.mark.parametrize(
    "counts", [(20, 40, 80), pytest.param((100, 200, 400), marks=pytest.mark.slow)], ids=["small", "large"]
)
def test_the_messages_of_a_lookup_grow_like_the_logarithm(counts: tuple[int, ...]) -> None:
    """k nodes must answer in any case; beyond that, a few for each doubling."""
    means = {}
    for count in counts:
        _, nodes = settled(count, seed=count)
        sent = []
        for node in nodes[:: count // 20]:
            node.ask(lambda number: v.GetValue(number, b"/swarmnode/nothing"))
            sent.append(node.sent_of[Kind.GET_VALUE])
        means[count] = sum(sent) / len(sent)
    for count, mean in means.items():
        assert mean <= 20 + 3 * math.log2(count), means
    assert means[counts[2]] - means[counts[1]] <= ALPHA, "a doubling costs at most one round more"


def test_one_seed_one_history() -> None:
    def history(seed: int) -> list[object]:
        swarm, nodes = settled(25, seed)
        put(nodes[3], b"x")
        swarm.run(700.0)
        return [swarm.now, *((n.peer, n.sent, n.bytes_in, n.machine.table.peers()) for n in nodes)]

    assert history(7) == history(7)
    assert history(7) != history(8)


def test_a_quiet_swarm_of_fifty_says_little() -> None:
    swarm, nodes = settled(50)
    swarm.run(600.0)
    before = sum(node.bytes_in for node in nodes)
    swarm.run(1800.0)
    per_second = (sum(node.bytes_in for node in nodes) - before) / 1800 / len(nodes)
    assert 0 < per_second < 400


# Liars.

NOWHERE = Multiaddr.parse("/ip4/10.9.9.9/tcp/1")
INVENTED = [peer_id(random.Random(number).randbytes(32)) for number in range(1500)]


def random_peers(node: DhtNode, asked: v.Asked) -> bytes:
    """Names peers that do not exist."""
    message = decode(asked.data)
    invented = tuple(PeerEntry(peer_id(node.swarm.rng.randbytes(32)), (NOWHERE,)) for _ in range(20))
    return encode(Message(message.kind, message.key, closer=invented))


def near_peers(node: DhtNode, asked: v.Asked) -> bytes:
    """Names inventions right beside the key, and provides nothing: the same for all liars."""
    message = decode(asked.data)
    pool = sorted(INVENTED, key=lambda peer: peer_place(peer) ^ place(message.key))
    named = tuple(PeerEntry(peer, (NOWHERE,)) for peer in pool[:20])
    return encode(Message(message.kind, message.key, closer=named))


def forged_records(node: DhtNode, asked: v.Asked) -> bytes:
    """Answers every get with a record of its own making, signed wrongly."""
    message = decode(asked.data)
    value = bytes(node.key.verify_key) + bytes(64) + (1 << 40).to_bytes(8, "big") + b"poison"
    closer = decode(random_peers(node, asked)).closer
    record = Record(message.key, value, "2026-01-01T00:00:00.000000000Z")
    return encode(Message(message.kind, message.key, record, closer=closer))


def garbage(node: DhtNode, asked: v.Asked) -> bytes:
    return node.swarm.rng.randbytes(200)


def nothing(node: DhtNode, asked: v.Asked) -> None:
    return None


@pytest.mark.parametrize("lie", [random_peers, near_peers, forged_records, garbage, nothing])
def test_thirty_liars_in_a_hundred_break_nothing(lie: object) -> None:
    swarm, nodes = settled(100, seed=3)
    liars = nodes[10:100:3]
    assert len(liars) == 30
    honest = [node for node in nodes if node not in liars]
    for node in liars:
        node.misbehave = lie  # type: ignore[assignment]
    put(honest[0], b"truth")
    honest[1].ask(lambda number: v.Provide(number, KEY))
    before = swarm.now
    askers = honest[::4]
    assert {got(node) for node in askers} == {b"truth"}
    assert (swarm.now - before) / len(askers) < 10.0, "seconds of a get, on average"
    for node in honest[2::12]:
        found = node.ask(lambda number: v.FindProviders(number, KEY, 1))
        assert isinstance(found, v.ProvidersFound) and found.providers[0].peer == honest[1].peer
        found_peer = node.ask(lambda number: v.FindPeer(number, honest[40].peer))
        assert isinstance(found_peer, v.PeerFound) and honest[40].address in found_peer.addresses


def test_forgers_and_talkers_of_garbage_are_penalised_and_honest_nodes_never() -> None:
    _, nodes = settled(60, seed=3)
    bad = nodes[10:60:3]
    for node in bad:
        node.misbehave = forged_records if node.number % 2 else garbage
    put(nodes[0], b"truth")
    for node in nodes[:10]:
        got(node)
    names = {node.peer for node in bad}
    penalised = {peer for node in nodes for peer, _ in node.penalised}
    assert penalised and penalised <= names
    assert all(peer not in nodes[0].machine.table for peer, _ in nodes[0].penalised)


def test_a_record_signed_by_another_does_not_pass_for_the_owners() -> None:
    _, nodes = settled(30)
    key = f"/swarmnode/of/{nodes[0].peer}".encode()
    put(nodes[0], b"mine", key)
    result = nodes[1].ask(lambda number: v.PutValue(number, key, b"stolen"))
    assert not isinstance(result, v.Stored)
    assert got(nodes[2], key) == b"mine"


def test_asking_for_one_signer_passes_the_others_by() -> None:
    _, nodes = settled(30)
    put(nodes[0], b"first")
    put(nodes[1], b"second, newer, somebody else's")
    result = nodes[2].ask(lambda number: v.GetValue(number, KEY, nodes[1].peer))
    assert isinstance(result, v.ValueFound) and result.signer == nodes[1].peer
    missing = nodes[2].ask(lambda number: v.GetValue(number, KEY, nodes[5].peer))
    assert isinstance(missing, Unavailable)


# Time and churn.


def test_a_new_value_wins_and_stale_holders_are_corrected() -> None:
    swarm, nodes = settled(40)
    stored = put(nodes[0], b"old")
    swarm.run(5.0)
    lagging = [swarm.nodes[peer] for peer in stored.holders[:2]]
    for node in lagging:
        node.misbehave = lambda n, asked: (
            None if decode(asked.data).kind is Kind.PUT_VALUE else _honest(n, asked)
        )
    put(nodes[0], b"new")
    for node in lagging:
        node.misbehave = None
    assert {got(node) for node in nodes if node not in lagging} == {b"new"}
    swarm.run(2.0)
    held = [node.machine.server.local(KEY, swarm.now) for node in lagging]
    assert [record.payload for record in held if record is not None] == [b"new"] * 2


def _honest(node: DhtNode, asked: v.Asked) -> bytes | None:
    node.misbehave, lie = None, node.misbehave
    try:
        return node.answer(asked)
    finally:
        node.misbehave = lie


def test_two_values_within_one_second_are_told_apart() -> None:
    _, nodes = settled(10)
    put(nodes[0], b"zzz first")
    put(nodes[0], b"aaa second")
    assert got(nodes[5]) == b"aaa second"


def test_the_owner_publishes_again_and_without_it_all_is_gone_in_an_hour() -> None:
    swarm, nodes = settled(30)
    put(nodes[0], b"x")
    nodes[1].ask(lambda number: v.Provide(number, b"k"))
    swarm.run(2 * 3600.0)
    assert got(nodes[9]) == b"x"
    assert isinstance(nodes[9].ask(lambda n: v.FindProviders(n, b"k", 1)), v.ProvidersFound)
    nodes[0].tell(v.Withdraw(KEY))
    nodes[1].tell(v.Withdraw(b"k"))
    swarm.run(3600.0)
    assert got(nodes[9]) is None
    assert isinstance(nodes[9].ask(lambda n: v.FindProviders(n, b"k", 1)), Unavailable)
    assert all(len(node.machine.server.records) == 0 for node in nodes)


def test_when_the_owner_dies_the_holders_pass_its_record_on() -> None:
    """All first holders but one leave half an hour later; the rest has the record until its hour is over."""
    swarm, nodes = settled(45)
    stored = put(nodes[0], b"x")
    nodes[0].die()
    swarm.run(1790.0)
    for peer in stored.holders[1:]:
        swarm.nodes[peer].die()
    swarm.run(90.0)
    asker = next(n for n in nodes if n.alive and n.peer not in stored.holders)
    assert got(asker) == b"x"
    swarm.run(1800.0)
    assert got(asker) is None, "however often it is passed on, it ends with its stamp"


def test_a_third_of_the_nodes_dies_and_nothing_is_lost() -> None:
    swarm, nodes = settled(60, seed=5)
    put(nodes[0], b"x")
    for node in nodes[1::3]:
        node.die()
    alive = [node for node in nodes if node.alive]
    assert {got(node) for node in alive} == {b"x"}
    swarm.run(1800.0)
    dead = {node.peer for node in nodes if not node.alive}
    left = [len(dead & set(node.machine.table.peers())) for node in alive]
    assert sum(left) / len(left) < 1, "the dead leave the tables"


def test_silent_peers_cost_time_but_no_result() -> None:
    """They accept and never answer: each costs a time-out, and its place goes to another after 3 s."""
    swarm, nodes = settled(60, seed=2)
    put(nodes[0], b"x")
    for node in nodes[5::4]:
        node.silent = True
    started = swarm.now
    assert got(nodes[1]) == b"x"
    assert swarm.now - started < 20.0


def test_a_clock_that_is_wrong_by_ten_minutes_loses_nothing_and_penalises_nobody() -> None:
    swarm, nodes = settled(30)
    nodes[4].skew = -600.0
    nodes[5].skew = 600.0
    put(nodes[4], b"slow")
    assert got(nodes[7]) == b"slow"
    result = nodes[5].ask(lambda number: v.PutValue(number, b"/swarmnode/fast", b"x"))
    assert isinstance(result, Unavailable) and result.code == "not_stored"
    assert not any(node.penalised for node in nodes)
    assert swarm.now > 0
