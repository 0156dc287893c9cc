"""The router against scripted peers: what it sends, delivers and believes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from nacl.signing import SigningKey

from swarmnode.protocols.gossipsub import vocabulary as v
from swarmnode.protocols.gossipsub.machine import GossipMachine
from swarmnode.protocols.gossipsub.messages import Message, make_message
from swarmnode.protocols.gossipsub.parameters import (
    MAX_ANSWER_BYTES,
    MAX_IDS,
    MAX_PEER_TOPICS,
    MAX_PEERS,
    MAX_RETRANSMISSIONS,
    MAX_RPC_BYTES,
    PROMISE_SECONDS,
    GossipParameters,
)
from swarmnode.protocols.gossipsub.rpc import Exchanged, Prune, Rpc, control_rpc, publish_field, read_rpc
from swarmnode.protocols.identify.peer_record import seal_record
from swarmnode.protocols.identity.handover import Signer
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

T = "swarm/models"


@dataclass(frozen=True)
class Who:
    key: SigningKey
    peer: str

    def message(self, number: int, data: bytes = b"data", topic: str = T) -> Message:
        return make_message(self.peer, lambda m: self.key.sign(m).signature, number, topic, data)

    def record(self) -> bytes:
        signer = Signer(bytes(self.key.verify_key), lambda m: self.key.sign(m).signature)
        return seal_record(signer, 1, [Multiaddr.parse("/ip4/45.3.2.1/tcp/8810")])


def who(number: int) -> Who:
    key = SigningKey(number.to_bytes(32, "big"))
    return Who(key, peer_id(bytes(key.verify_key)))


US = who(1)


@dataclass
class Bench:
    """One machine; its effects are kept by kind."""

    parameters: GossipParameters = field(default_factory=GossipParameters)
    verdict: v.Verdict = v.Verdict.ACCEPT
    now: float = 1000.0
    effects: list[Any] = field(default_factory=list)
    records: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machine = GossipMachine(
            US.peer,
            lambda m: US.key.sign(m).signature,
            random.Random(7),
            100,
            self.parameters,
            self.records.get,
        )

    def post(self, event: v.Event | None) -> list[Any]:
        effects = self.machine.handle(event, self.now)
        self.effects += effects
        return effects

    def subscribe(self, topic: str = T, **options: Any) -> list[Any]:
        return self.post(v.Subscribe(topic, lambda source, data: self.verdict, **options))

    def join(
        self, *peers: Who, outbound: bool = True, topics: tuple[str, ...] = (T,), ip: str = "10.0.0.1"
    ) -> None:
        for peer in peers:
            self.post(v.PeerAdded(peer.peer, ip, outbound))
            self.rpc(peer, control_rpc(subscriptions=[(topic, True) for topic in topics]))

    def rpc(self, peer: Who, data: bytes) -> list[Any]:
        return self.post(v.RpcIn(peer.peer, data))

    def send(self, peer: Who, *messages: Message) -> list[Any]:
        return self.rpc(peer, b"".join(publish_field(m.encoded) for m in messages))

    def beat(self, times: int = 1) -> list[Any]:
        effects: list[Any] = []
        for _ in range(times):
            deadline = self.machine.deadline
            assert deadline is not None
            self.now = max(self.now, deadline)
            effects += self.post(None)
        return effects

    def mesh(self, topic: str = T) -> tuple[str, ...]:
        return next(t.mesh for t in self.machine.snapshot(self.now).topics if t.topic == topic)

    def score(self, peer: Who) -> float:
        return self.machine.scores.score(peer.peer, self.now)


def rpcs(effects: list[Any], peer: Who | None = None) -> list[Rpc]:
    return [
        read_rpc(e.data)
        for e in effects
        if isinstance(e, v.SendRpc) and (peer is None or e.peer == peer.peer)
    ]


def of(effects: list[Any], kind: type) -> list[Any]:
    return [e for e in effects if isinstance(e, kind)]


def grafts(effects: list[Any]) -> list[str]:
    return [e.peer for e in of(effects, v.SendRpc) if read_rpc(e.data).graft]


def prunes(effects: list[Any]) -> dict[str, Prune]:
    return {e.peer: p for e in of(effects, v.SendRpc) for p in read_rpc(e.data).prune}


def receivers(effects: list[Any]) -> list[str]:
    return [e.peer for e in of(effects, v.SendRpc) if read_rpc(e.data).messages]


PEERS = [who(n) for n in range(2, 42)]


# Meeting and subscribing.


def test_a_new_peer_is_told_our_topics() -> None:
    bench = Bench()
    bench.subscribe("a")
    bench.subscribe("b")
    (rpc,) = rpcs(bench.post(v.PeerAdded(PEERS[0].peer, "", True)))
    assert rpc.subscriptions == (("a", True), ("b", True))
    assert rpcs(bench.post(v.PeerReopened(PEERS[0].peer))) == [rpc]


def test_a_peer_that_may_have_missed_something_is_grafted_again() -> None:
    bench = Bench()
    bench.join(*PEERS[:2])
    bench.subscribe()
    (rpc,) = rpcs(bench.post(v.PeerReopened(PEERS[1].peer)))
    assert (rpc.subscriptions, rpc.graft) == (((T, True),), (T,))


def test_peers_are_told_of_a_new_topic_and_grafted_at_once() -> None:
    bench = Bench()
    bench.join(*PEERS[:4])
    effects = bench.subscribe()
    assert [r.subscriptions for r in rpcs(effects)] == [((T, True),)] * 4
    assert sorted(grafts(effects)) == sorted(bench.mesh()) == sorted(p.peer for p in PEERS[:4])


def test_a_mesh_has_six_of_many() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:20])
    assert bench.mesh() == ()
    assert len(grafts(bench.beat())) == len(bench.mesh()) == 6
    assert bench.beat(200) == [], "and a heartbeat of a healthy mesh says nothing"


def test_leaving_a_topic_prunes_and_unsubscribes() -> None:
    bench = Bench()
    bench.join(*PEERS[:3])
    bench.subscribe()
    effects = bench.post(v.Unsubscribe(T))
    assert {p.backoff for p in prunes(effects).values()} == {10.0}
    assert all(r.subscriptions == ((T, False),) for r in rpcs(effects))
    assert grafts(bench.subscribe()) == [], "the back-off holds for us too"
    bench.now += 11
    assert len(grafts(bench.beat())) == 3


def test_who_unsubscribes_or_goes_leaves_the_mesh() -> None:
    bench = Bench()
    bench.join(*PEERS[:3])
    bench.subscribe()
    bench.rpc(PEERS[0], control_rpc(subscriptions=[(T, False)]))
    bench.post(v.PeerGone(PEERS[1].peer))
    assert bench.mesh() == (PEERS[2].peer,)
    assert [(e.peer, e.meshes) for e in of(bench.effects, v.Weigh)][-1] == (PEERS[1].peer, 0)


def test_without_neighbours_there_is_no_heartbeat() -> None:
    bench = Bench()
    bench.subscribe()
    assert bench.machine.deadline is None
    bench.join(PEERS[0])
    assert bench.machine.deadline is not None
    bench.post(v.PeerGone(PEERS[0].peer))
    bench.beat()
    assert bench.machine.deadline is None


def test_a_peers_topics_and_the_peers_are_bounded() -> None:
    bench = Bench()
    bench.join(PEERS[0], topics=tuple(f"t{n}" for n in range(MAX_PEER_TOPICS + 50)))
    neighbour = bench.machine._neighbours.get(PEERS[0].peer)
    assert neighbour is not None
    assert len(neighbour.topics) == MAX_PEER_TOPICS
    for number in range(MAX_PEERS + 10):
        bench.post(v.PeerAdded(f"peer{number}", "", True))
    assert bench.machine.snapshot(0.0).peers == MAX_PEERS
    bench.post(v.PeerAdded(US.peer, "", True))
    assert US.peer not in bench.machine._neighbours


# Messages.


def test_a_message_is_delivered_once_and_passed_on() -> None:
    bench = Bench()
    bench.join(*PEERS[:4])
    bench.subscribe()
    message = PEERS[10].message(1)
    effects = bench.send(PEERS[0], message)
    (delivered,) = of(effects, v.Deliver)
    assert (delivered.topic, delivered.peer, delivered.source) == (T, PEERS[0].peer, PEERS[10].peer)
    assert (delivered.data, delivered.message_id) == (b"data", message.id)
    assert sorted(receivers(effects)) == sorted(p.peer for p in PEERS[1:4])
    assert all(e.data == publish_field(message.encoded) for e in of(effects, v.SendRpc))
    assert bench.send(PEERS[1], message) == []


def test_a_message_goes_back_neither_to_its_sender_nor_to_its_author() -> None:
    bench = Bench()
    bench.join(*PEERS[:3])
    bench.subscribe()
    assert receivers(bench.send(PEERS[0], PEERS[1].message(1))) == [PEERS[2].peer]


def test_our_own_small_message_goes_to_everybody_in_the_topic() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:20])
    bench.join(PEERS[20], topics=("another",))
    bench.beat()
    effects = bench.post(v.Publish(T, b"hello"))
    assert receivers(effects) == [p.peer for p in PEERS[:20]]
    assert {e.urgency for e in of(effects, v.SendRpc)} == {v.Urgency.OWN}
    assert of(effects, v.Deliver) == []
    sent = read_rpc(of(effects, v.SendRpc)[0].data).messages[0]
    assert int.from_bytes(sent.seqno, "big") == 101
    assert bench.send(PEERS[0], US.message(101)) == [], "its echo is known"


def test_our_own_large_message_goes_to_the_mesh_or_the_fanout() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:20], topics=(T, "other"))
    bench.beat()
    assert sorted(receivers(bench.post(v.Publish(T, bytes(60_000))))) == sorted(bench.mesh())
    first = receivers(bench.post(v.Publish("other", bytes(60_000))))
    assert len(first) == 6
    assert receivers(bench.post(v.Publish("other", bytes(60_000)))) == first, "the fanout is kept"
    bench.now += 61
    bench.beat()
    assert receivers(bench.post(v.Publish("other", bytes(60_000)))) != first


def test_what_fits_into_no_rpc_is_not_sent() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    bench.beat()
    assert len(receivers(bench.post(v.Publish(T, bytes(MAX_RPC_BYTES - 4096))))) == 1
    assert bench.post(v.Publish(T, bytes(MAX_RPC_BYTES))) == []


def test_a_fanout_becomes_the_mesh() -> None:
    bench = Bench()
    bench.join(*PEERS[:20])
    fanout = receivers(bench.post(v.Publish(T, bytes(60_000))))
    assert sorted(grafts(bench.subscribe())) == sorted(fanout)


@pytest.mark.parametrize("verdict", [v.Verdict.IGNORE, v.Verdict.REJECT])
def test_what_the_validator_does_not_accept_goes_nowhere(verdict: v.Verdict) -> None:
    bench = Bench(verdict=verdict)
    bench.join(*PEERS[:3])
    bench.subscribe()
    before = bench.score(PEERS[0])
    effects = bench.send(PEERS[0], PEERS[10].message(1))
    assert of(effects, v.Deliver) == of(effects, v.SendRpc) == []
    rejected = verdict is v.Verdict.REJECT
    assert bench.score(PEERS[0]) == pytest.approx(before - 10 * rejected)
    assert [e.error.code for e in of(effects, v.Penalise)] == ["invalid_gossip"] * rejected
    for _ in range(2):
        bench.send(PEERS[1], PEERS[10].message(1))
    assert bench.score(PEERS[1]) == pytest.approx(before - 10 * rejected), "the next to bring it too, once"


def test_a_validator_that_fails_is_held_against_nobody() -> None:
    bench = Bench()
    bench.join(PEERS[0])
    bench.post(v.Subscribe(T, lambda source, data: 1 // 0))  # type: ignore[arg-type, return-value]
    assert bench.send(PEERS[0], PEERS[10].message(1)) == []
    assert bench.machine.counts.validator_failures == 1
    assert bench.score(PEERS[0]) >= 0


def test_a_forged_message_is_blamed_and_spoils_nothing() -> None:
    bench = Bench()
    bench.join(*PEERS[:3])
    bench.subscribe()
    true = PEERS[10].message(1)
    forged = true.encoded.replace(b"data", b"dada")
    effects = bench.rpc(PEERS[0], publish_field(forged))
    assert [e.error.code for e in of(effects, v.Penalise)] == ["bad_message"]
    assert bench.score(PEERS[0]) == pytest.approx(-10)
    assert len(of(bench.send(PEERS[1], true), v.Deliver)) == 1


def test_a_message_larger_than_its_topic_allows_is_blamed() -> None:
    bench = Bench()
    bench.subscribe(max_bytes=100)
    bench.join(PEERS[0])
    assert len(of(bench.send(PEERS[0], PEERS[10].message(1, bytes(100))), v.Deliver)) == 1
    assert of(bench.send(PEERS[0], PEERS[10].message(2, bytes(101))), v.Deliver) == []
    assert bench.score(PEERS[0]) < 0


def test_a_message_of_another_topic_is_passed_over() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    assert bench.send(PEERS[0], PEERS[10].message(1, topic="other")) == []
    assert bench.machine.counts.foreign == 1
    assert bench.score(PEERS[0]) == 0


def test_our_own_message_of_an_earlier_run_is_nobodys_fault() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    old = US.message(5)
    assert bench.send(PEERS[0], old) == []
    assert bench.rpc(PEERS[0], control_rpc(ihave=[(T, [old.id])])) == []
    assert bench.score(PEERS[0]) == 0


# Scores at work.


def spam(bench: Bench, peer: Who, times: int = 3) -> None:
    for number in range(times):
        bench.rpc(peer, publish_field(PEERS[30].message(number).encoded.replace(b"data", b"dada")))


def test_a_spammer_is_pruned_graylisted_and_told_of_once() -> None:
    bench = Bench()
    bench.join(*PEERS[:3])
    bench.subscribe()
    spam(bench, PEERS[0])
    assert bench.score(PEERS[0]) < -80
    effects = bench.beat()
    assert list(prunes(effects)) == [PEERS[0].peer]
    assert prunes(effects)[PEERS[0].peer].exchanged == ()
    assert bench.send(PEERS[0], PEERS[10].message(1)) == []
    told = [e.error.code for e in of(bench.effects, v.Penalise) if e.peer == PEERS[0].peer]
    assert told.count("graylisted") == 1
    assert receivers(bench.post(v.Publish(T, b"hello"))) == [PEERS[1].peer, PEERS[2].peer]


def test_one_rpc_full_of_forgeries_costs_three_checks() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    forged = publish_field(PEERS[30].message(1).encoded.replace(b"data", b"dada"))
    bench.rpc(PEERS[0], forged * 1000)
    assert bench.machine.counts.invalid == 3


def test_what_is_no_rpc_ends_the_connection() -> None:
    bench = Bench()
    bench.join(PEERS[0])
    (effect,) = bench.rpc(PEERS[0], b"\x0a\xff")
    assert isinstance(effect, v.Disconnect)
    assert effect.error.code == "bad_message"
    assert bench.rpc(who(99), b"\x0a\xff") == [], "strangers are not even read"


def test_reconnecting_washes_nothing_off() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    spam(bench, PEERS[0])
    bench.post(v.PeerGone(PEERS[0].peer))
    bench.join(PEERS[0])
    assert bench.score(PEERS[0]) < -80


def test_the_applications_word_counts() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:2])
    bench.post(v.Regard(PEERS[0].peer, -1.0))
    assert grafts(bench.beat()) == [PEERS[1].peer]


def test_in_a_swarm_of_three_nobody_starves() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:2], outbound=False, ip="45.3.2.1")
    for number in range(600):
        bench.beat()
        if number % 60 == 0:
            bench.send(PEERS[0], PEERS[0].message(number))
    assert sorted(bench.mesh()) == sorted(p.peer for p in PEERS[:2])
    assert bench.score(PEERS[1]) > 0


# GRAFT and PRUNE.


def test_a_graft_is_taken() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0], outbound=False)
    effects = bench.rpc(PEERS[0], control_rpc(graft=[T, "unknown"]))
    assert bench.mesh() == (PEERS[0].peer,)
    assert rpcs(effects) == [], "and one for an unknown topic is not answered"


def test_who_grafts_has_subscribed() -> None:
    bench = Bench()
    bench.subscribe()
    bench.post(v.PeerAdded(PEERS[0].peer, "", False))
    bench.rpc(PEERS[0], control_rpc(graft=[T]))
    assert receivers(bench.post(v.Publish(T, b"hello"))) == [PEERS[0].peer]


def test_a_full_mesh_takes_only_peers_that_we_dialled() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:14], outbound=False)
    for peer in PEERS[:12]:
        bench.rpc(peer, control_rpc(graft=[T]))
    bench.records |= {peer.peer: peer.record() for peer in PEERS[:13]}
    bench.records[PEERS[0].peer] = bytes(5000)
    (prune,) = prunes(bench.rpc(PEERS[13], control_rpc(graft=[T]))).values()
    assert prune.backoff == 60.0
    assert len(bench.mesh()) == 12
    assert {e.peer for e in prune.exchanged} <= {p.peer for p in PEERS[:13]}
    assert len(prune.exchanged) == 12, "and none that is too long"
    bench.join(PEERS[14], outbound=True)
    assert prunes(bench.rpc(PEERS[14], control_rpc(graft=[T]))) == {}
    assert len(bench.mesh()) == 13
    pruned = prunes(bench.beat())
    assert len(pruned) == 7
    assert len(bench.mesh()) == 6
    assert PEERS[14].peer in bench.mesh(), "the quota of those we dialled"


def test_a_mesh_without_any_we_dialled_grafts_two() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:6], outbound=False)
    bench.beat()
    assert len(bench.mesh()) == 6
    bench.join(*PEERS[6:10], outbound=True)
    assert len(grafts(bench.beat())) == 2
    assert bench.beat(3) == []


def test_a_graft_during_the_backoff_is_refused_and_remembered() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    bench.beat()
    bench.rpc(PEERS[0], control_rpc(prune=[Prune(T, (), 30.0)]))
    assert bench.mesh() == ()
    slips = []
    for _ in range(2):
        assert list(prunes(bench.rpc(PEERS[0], control_rpc(graft=[T, T])))) == [PEERS[0].peer]
        slips.append(bench.machine.scores._peers[PEERS[0].peer].behaviour)
    assert slips == [1, 3], "much too early counts twice"
    bench.now += 61
    assert grafts(bench.beat()) == [PEERS[0].peer], "after it the peer is welcome"


def test_a_pruned_peer_waits_out_the_backoff_and_a_slack() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    bench.beat()
    bench.rpc(PEERS[0], control_rpc(prune=[Prune(T, (), 20.0)]))
    since = bench.now
    while not grafts(bench.beat()):
        assert bench.now < since + 30
    assert since + 22 <= bench.now <= since + 24


def test_a_prune_without_a_backoff_counts_as_a_minute() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    bench.beat()
    bench.rpc(PEERS[0], control_rpc(prune=[Prune(T)]))
    assert grafts(bench.beat(61)) == []
    assert grafts(bench.beat(3)) == [PEERS[0].peer]


def test_peer_exchange_is_taken_from_those_in_good_standing_only() -> None:
    for standing, taken in ((0.0, []), (5.0, [PEERS[20].peer])):
        bench = Bench()
        bench.subscribe()
        bench.join(*PEERS[:2])
        bench.beat()
        bench.post(v.Regard(PEERS[0].peer, standing))
        known = (
            Exchanged(PEERS[20].peer, PEERS[20].record()),
            Exchanged(PEERS[21].peer, PEERS[22].record()),
            Exchanged(PEERS[23].peer, PEERS[23].record()[:-1] + b"\0"),
            Exchanged(PEERS[24].peer, None),
            Exchanged(PEERS[1].peer, PEERS[1].record()),
            Exchanged(US.peer, US.record()),
        )
        rpc = control_rpc(prune=[Prune(T, known, 60.0)])
        assert [e.peer for e in of(bench.rpc(PEERS[0], rpc), v.ConnectTo)] == taken
        assert of(bench.rpc(PEERS[0], rpc), v.ConnectTo) == [], "only while it is in the mesh"


def test_no_more_than_sixteen_exchanged_peers_a_heartbeat_are_dialled() -> None:
    bench = Bench()
    for topic in ("a", "b"):
        bench.subscribe(topic)
    bench.join(PEERS[0], topics=("a", "b"))
    bench.beat()
    bench.post(v.Regard(PEERS[0].peer, 5.0))
    known = [Exchanged(p.peer, p.record()) for p in PEERS[1:25]]
    rpc = control_rpc(prune=[Prune("a", tuple(known[:12]), 60.0), Prune("b", tuple(known[12:]), 60.0)])
    assert [e.peer for e in of(bench.rpc(PEERS[0], rpc), v.ConnectTo)] == [p.peer for p in PEERS[1:17]]


def test_peers_with_a_bad_name_are_not_exchanged() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:13], outbound=False)
    for peer in PEERS[:12]:
        bench.rpc(peer, control_rpc(graft=[T]))
    bench.records |= {peer.peer: peer.record() for peer in PEERS[:2]}
    bench.post(v.Regard(PEERS[0].peer, -1.0))
    (prune,) = prunes(bench.rpc(PEERS[12], control_rpc(graft=[T]))).values()
    assert [e.peer for e in prune.exchanged] == [PEERS[1].peer]


# IHAVE and IWANT.


def test_a_message_is_announced_outside_the_mesh_for_three_heartbeats() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:14])
    bench.beat()
    message = PEERS[30].message(1)
    bench.send(PEERS[0], message)
    for _ in range(3):
        effects = bench.beat()
        told = [e.peer for e in of(effects, v.SendRpc)]
        assert len(told) == 6
        assert not set(told) & set(bench.mesh())
        assert all(r.ihave == ((T, (message.id,)),) for r in rpcs(effects))
        assert {e.urgency for e in of(effects, v.SendRpc)} == {v.Urgency.GOSSIP}
    assert bench.beat() == []


def test_what_was_announced_is_asked_for_once() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:2])
    ids = [PEERS[30].message(n).id for n in range(3)]
    bench.send(PEERS[0], PEERS[30].message(0))
    (rpc,) = rpcs(bench.rpc(PEERS[0], control_rpc(ihave=[(T, ids), ("other", [b"x"])])))
    assert sorted(rpc.iwant[0]) == sorted(ids[1:])
    assert bench.rpc(PEERS[1], control_rpc(ihave=[(T, ids)])) == [], "somebody was just asked"
    bench.now += 1.1
    assert len(rpcs(bench.rpc(PEERS[1], control_rpc(ihave=[(T, ids)])))) == 1


def test_a_broken_promise_is_a_slip() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    bench.rpc(PEERS[0], control_rpc(ihave=[(T, [b"nothing"])]))
    bench.now += PROMISE_SECONDS
    bench.beat()
    assert bench.machine.scores._peers[PEERS[0].peer].behaviour == 1
    assert bench.machine.counts.broken_promises == 1


def test_a_promise_is_kept_whoever_brings_the_message() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:2])
    message = PEERS[30].message(1)
    bench.rpc(PEERS[0], control_rpc(ihave=[(T, [message.id])]))
    bench.send(PEERS[1], message)
    bench.now += 2 * PROMISE_SECONDS
    bench.beat()
    assert bench.machine.counts.broken_promises == 0


def test_who_has_gone_and_come_back_owes_nothing() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    bench.rpc(PEERS[0], control_rpc(ihave=[(T, [b"something"])]))
    bench.post(v.PeerGone(PEERS[0].peer))
    bench.join(PEERS[0])
    bench.now += 2 * PROMISE_SECONDS
    bench.beat()
    assert bench.machine.scores._peers[PEERS[0].peer].behaviour == 0


def test_a_flood_of_announcements_is_cut_off() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    asked = 0
    for batch in range(20):
        ids = [b"%d.%d" % (batch, n) for n in range(1000)]
        asked += sum(
            len(i) for r in rpcs(bench.rpc(PEERS[0], control_rpc(ihave=[(T, ids)]))) for i in r.iwant
        )
    assert asked == MAX_IDS
    bench.beat()
    assert rpcs(bench.rpc(PEERS[0], control_rpc(ihave=[(T, [b"new"])]))) != []


def test_wants_are_answered_a_few_times_and_within_a_share() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    messages = [PEERS[30].message(n, bytes(50_000)) for n in range(30)]
    for message in messages:
        bench.send(PEERS[0], message)
    (answer,) = rpcs(bench.rpc(PEERS[0], control_rpc(iwant=[messages[0].id, b"unknown"])))
    assert [bytes(m.data) for m in answer.messages] == [bytes(50_000)]
    effects = bench.rpc(PEERS[0], control_rpc(iwant=[m.id for m in messages]))
    size = sum(len(e.data) for e in of(effects, v.SendRpc))
    assert MAX_ANSWER_BYTES - 110_000 < size < MAX_ANSWER_BYTES + 60_000
    assert all(len(e.data) <= MAX_RPC_BYTES // 4 for e in of(effects, v.SendRpc))
    assert bench.rpc(PEERS[0], control_rpc(iwant=[messages[0].id])) == []
    bench.beat()
    again = [bench.rpc(PEERS[0], control_rpc(iwant=[messages[0].id])) != [] for _ in range(3)]
    assert again == [True] * (MAX_RETRANSMISSIONS - 2) + [False] * (5 - MAX_RETRANSMISSIONS)


def test_a_peer_with_a_bad_name_is_told_nothing() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(PEERS[0])
    message = PEERS[30].message(1)
    bench.send(PEERS[0], message)
    bench.post(v.Regard(PEERS[0].peer, -20.0))
    assert bench.rpc(PEERS[0], control_rpc(iwant=[message.id])) == []
    assert bench.rpc(PEERS[0], control_rpc(ihave=[(T, [b"new"])])) == []
    assert rpcs(bench.beat()) == [], "neither grafted nor told of the message"


# Direct peers.


def test_a_direct_peer_is_outside_the_mesh_and_gets_everything() -> None:
    direct = PEERS[0]
    bench = Bench(GossipParameters(direct=(direct.peer, PEERS[39].peer)))
    bench.subscribe()
    bench.join(*PEERS[:3])
    effects = bench.beat()
    assert direct.peer not in bench.mesh()
    assert [e.peer for e in of(effects, v.ConnectTo)] == [PEERS[39].peer]
    assert list(prunes(bench.rpc(direct, control_rpc(graft=[T])))) == [direct.peer]
    spam(bench, direct, 10)
    assert direct.peer in receivers(bench.send(PEERS[1], PEERS[30].message(100)))
    assert len(of(bench.send(direct, PEERS[30].message(101)), v.Deliver)) == 1
    assert direct.peer in receivers(bench.post(v.Publish(T, b"hello")))


def test_a_better_peer_is_taken_in_now_and_then() -> None:
    bench = Bench()
    bench.subscribe()
    bench.join(*PEERS[:6])
    bench.beat(2)
    bench.join(*PEERS[6:9])
    for peer in PEERS[:6]:
        bench.post(v.Regard(peer.peer, 0.0))
    bench.post(v.Regard(PEERS[7].peer, 4.0))
    # Half a minute in the mesh gives less than the threshold.
    grafted = grafts(bench.beat(60))
    assert grafted == [PEERS[7].peer]


def test_the_same_seed_gives_the_same_effects() -> None:
    def story() -> list[Any]:
        bench = Bench()
        bench.subscribe()
        bench.join(*PEERS[:20])
        bench.beat()
        for number in range(20):
            bench.send(PEERS[number], PEERS[30].message(number))
            bench.beat()
        return bench.effects

    assert story() == story()
