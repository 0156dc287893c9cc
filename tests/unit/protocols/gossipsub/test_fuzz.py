"""Hostile bytes and stories: nothing gets past the machine, and nothing grows without end."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.gossipsub import vocabulary as v
from swarmnode.protocols.gossipsub.machine import GossipMachine
from swarmnode.protocols.gossipsub.messages import Message, make_message
from swarmnode.protocols.gossipsub.parameters import MAX_RPC_BYTES
from swarmnode.protocols.gossipsub.rpc import Exchanged, Prune, control_rpc, publish_field, read_rpc
from swarmnode.protocols.identity.fields import encode_fields
from swarmnode.values.peer_id import peer_id

KEYS = [SigningKey(bytes([n]) * 32) for n in range(1, 7)]
IDS = [peer_id(bytes(key.verify_key)) for key in KEYS]
TOPICS = ["a", "b", "c"]


def message(number: int) -> Message:
    key = KEYS[number % 6]
    return make_message(
        IDS[number % 6], lambda m: key.sign(m).signature, number, TOPICS[number % 3], bytes(number)
    )


MESSAGES = [message(n) for n in range(12)]
RECORDS = {IDS[1]: bytes(99), IDS[2]: b"", IDS[3]: bytes(5000)}
VERDICTS = list(v.Verdict)
EFFECTS = (v.SendRpc, v.Deliver, v.ConnectTo, v.Penalise, v.Disconnect, v.Weigh)


def machine(seed: int = 1) -> GossipMachine:
    return GossipMachine(
        IDS[0], lambda m: KEYS[0].sign(m).signature, random.Random(seed), 1, None, RECORDS.get
    )


def ready() -> GossipMachine:
    made = machine()
    for topic in TOPICS[:2]:
        made.handle(v.Subscribe(topic, lambda source, data: VERDICTS[len(data) % 3]), 0.0)
    for peer in IDS[1:]:
        made.handle(v.PeerAdded(peer, "45.1.1.1", True), 0.0)
    return made


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_any_bytes(rpcs: list[bytes]) -> None:
    made = ready()
    for number, data in enumerate(rpcs):
        check(made, made.handle(v.RpcIn(IDS[1 + number % 5], data), number / 10))


good = st.builds(
    lambda subs, messages, ihave, iwant, graft, prune: (
        control_rpc(subscriptions=subs, ihave=ihave, iwant=iwant, graft=graft, prune=prune)
        + b"".join(publish_field(m.encoded) for m in messages)
    ),
    st.lists(st.tuples(st.sampled_from(TOPICS), st.booleans()), max_size=4),
    st.lists(st.sampled_from(MESSAGES), max_size=4),
    st.lists(st.tuples(st.sampled_from(TOPICS), st.lists(st.binary(max_size=140), max_size=4)), max_size=3),
    st.lists(st.sampled_from([m.id for m in MESSAGES]) | st.binary(max_size=9), max_size=4),
    st.lists(st.sampled_from(TOPICS), max_size=4),
    st.lists(
        st.builds(
            Prune,
            st.sampled_from(TOPICS),
            st.lists(st.builds(Exchanged, st.sampled_from(IDS), st.binary(max_size=99)), max_size=3).map(
                tuple
            ),
            st.none() | st.floats(0, 1e12),
        ),
        max_size=3,
    ),
)


@given(good, st.data())
def test_damaged_rpcs(rpc: bytes, data: st.DataObject) -> None:
    made = ready()
    where = data.draw(st.integers(0, len(rpc)))
    damaged = data.draw(
        st.sampled_from(
            [
                rpc[:where],
                rpc[where:],
                rpc[:where] + b"\xff" + rpc[where + 1 :],
                rpc[:where] + rpc,
                rpc + rpc[:where],
            ]
        )
    )
    check(made, made.handle(v.RpcIn(IDS[1], damaged), 1.0))


events = st.one_of(
    st.builds(v.RpcIn, st.sampled_from(IDS), good),
    st.builds(
        v.PeerAdded, st.sampled_from(IDS), st.sampled_from(["45.1.1.1", "10.0.0.1", "x"]), st.booleans()
    ),
    st.builds(v.PeerReopened, st.sampled_from(IDS)),
    st.builds(v.PeerGone, st.sampled_from(IDS)),
    st.builds(v.Subscribe, st.sampled_from(TOPICS), st.just(lambda source, data: VERDICTS[len(data) % 3])),
    st.builds(v.Unsubscribe, st.sampled_from(TOPICS)),
    st.builds(v.Publish, st.sampled_from(TOPICS), st.sampled_from([b"", b"small", bytes(20_000)])),
    st.builds(v.Regard, st.sampled_from(IDS), st.floats(-100, 100)),
    st.none(),
)


@settings(max_examples=150)
@given(st.lists(st.tuples(events, st.floats(0, 20)), max_size=40))
def test_any_story(steps: list[tuple[Any, float]]) -> None:
    made, twin, now = machine(), machine(), 0.0
    for event, pause in steps:
        now += pause
        effects = made.handle(event, now)
        check(made, effects)
        assert repr(effects) == repr(twin.handle(event, now)), "the same story has the same end"
        state = made.snapshot(now)
        for topic in state.topics:
            assert len(set(topic.mesh)) == len(topic.mesh) <= len(IDS)
            assert IDS[0] not in topic.mesh
            assert all(peer in made._neighbours for peer in topic.mesh)
        for neighbour in made._neighbours.all():
            meshes = sum(neighbour.peer in topic.mesh for topic in state.topics)
            assert neighbour.meshes == meshes
        assert made.deadline is not None or not (state.peers or state.cached)


def check(made: GossipMachine, effects: list[Any]) -> None:
    for effect in effects:
        assert isinstance(effect, EFFECTS)
        if isinstance(effect, v.SendRpc):
            assert 0 < len(effect.data) <= MAX_RPC_BYTES
            assert effect.peer != IDS[0]
            read_rpc(effect.data)


def test_the_largest_rpcs_of_small_things_cost_little() -> None:
    """Counted by what they leave behind: effects and entries, not time."""
    made = ready()
    for entry in (
        encode_fields([(1, encode_fields([(1, 1), (2, b"x")]))]),
        encode_fields([(2, encode_fields([(4, b"a")]))]),
        encode_fields([(3, encode_fields([(3, encode_fields([(1, b"a")]))]))]),
        encode_fields([(3, encode_fields([(1, encode_fields([(1, b"a"), (2, b"i")]))]))]),
        encode_fields([(3, encode_fields([(2, encode_fields([(1, b"i")]))]))]),
        encode_fields([(3, encode_fields([(4, encode_fields([(1, b"a")]))]))]),
    ):
        for count in (5000, MAX_RPC_BYTES // len(entry)):
            effects = made.handle(v.RpcIn(IDS[1], entry * count), 1.0)
            assert sum(len(e.data) for e in effects if isinstance(e, v.SendRpc)) < 1000
            assert len(effects) <= 10
