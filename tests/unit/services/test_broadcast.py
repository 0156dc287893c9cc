"""Gossip messages: what is believed, what is passed on, and who pays for the rest."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.gossipsub.vocabulary import Deliver, Verdict
from swarmnode.protocols.identity.envelope import seal
from swarmnode.protocols.identity.fields import encode_fields
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.ids import topic_name
from swarmnode.protocols.swarm.messages import KINDS, TOPICS
from swarmnode.protocols.swarm.replay import WINDOW
from swarmnode.protocols.swarm.signed import sign_message
from swarmnode.services.broadcast import AUTHOR_A_MINUTE, Broadcast, Heard
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import peer_id

NOW = 1_800_000_000.0
GOSSIP = [kind.name for kind in KINDS.values() if kind.topic]


def signer(number: int) -> Signer:
    key = SigningKey(hashlib.sha256(b"broadcast %d" % number).digest())
    return Signer(key.verify_key.encode(), lambda message: key.sign(message).signature)


ADA, BOB = signer(1), signer(2)
ADA_ID, BOB_ID, CARRIER = peer_id(ADA.public_key), peer_id(BOB.public_key), peer_id(signer(3).public_key)


class Topics:
    """Gossip that keeps what is published, and delivers what it is told to."""

    def __init__(self) -> None:
        self.taken: dict[str, Any] = {}
        self.sent: list[tuple[str, bytes]] = []

    def subscribe(self, topic: str, validator: Any, deliver: Any) -> None:
        self.taken[topic] = (validator, deliver)

    def publish(self, topic: str, data: bytes) -> None:
        self.sent.append((topic, data))

    def arrive(self, topic: str, data: bytes, source: str = ADA_ID) -> str:
        """source: who published it, as gossip has proven."""
        validator, deliver = self.taken[topic]
        verdict: Verdict = validator(source, data)
        if verdict is Verdict.ACCEPT:
            deliver(Deliver(topic, CARRIER, source, data, b"an id"))
        return verdict.value


class Node:
    """One node's broadcast, over topics of its own."""

    def __init__(self, by: Signer, network: str = "") -> None:
        self.topics, self.stamp, self.faults = Topics(), NOW, []
        self.heard: list[Heard] = []
        drawn = iter(range(1 << 20))
        self.broadcast = Broadcast(
            self.topics,
            by,
            lambda: self.stamp,
            network=network,
            entropy=lambda count: hashlib.sha256(b"%d" % next(drawn)).digest()[:count],
            penalise=lambda peer, error: self.faults.append((peer, error.code)),
        )
        self.broadcast.start()
        for kind in GOSSIP:
            self.broadcast.on(kind, lambda sender, heard: self.heard.append(heard))

    def said(self) -> tuple[str, bytes]:
        return self.topics.sent[-1]


@pytest.mark.parametrize("kind", GOSSIP)
@pytest.mark.parametrize("network", ["", "ours"])
def test_every_kind_arrives_on_its_topic(kind: str, network: str) -> None:
    ada, bob = Node(ADA, network), Node(BOB, network)
    envelope = ada.broadcast.publish(kind)
    topic, data = ada.said()
    assert topic == topic_name(KINDS[kind].topic, network)
    assert bob.topics.arrive(topic, data) == "accept"
    (heard,) = bob.heard
    assert (heard.kind, heard.sender, heard.carrier, heard.message.peer) == (kind, ADA_ID, CARRIER, ADA_ID)
    assert heard.envelope == envelope
    assert bob.faults == []


def test_all_six_topics_are_taken_part_in() -> None:
    assert list(Node(ADA, "ours").topics.taken) == [topic_name(topic, "ours") for topic in TOPICS]


def nickname(by: Signer = ADA, claims: str = ADA_ID, sequence: int = 1, stamp: float = NOW) -> bytes:
    body = KINDS["nickname"].new(peer=claims, nickname="x").SerializeToString()
    return sign_message(by, KINDS["nickname"], "swarm/identity", body, stamp=int(stamp), sequence=sequence)


@pytest.mark.parametrize("kind", GOSSIP)
def test_a_forgery_of_each_kind_is_dropped_and_paid_for(kind: str) -> None:
    row, node = KINDS[kind], Node(signer(9))
    topic = topic_name(row.topic, "")
    body = row.new(**{row.sender: ADA_ID}).SerializeToString()
    forged = sign_message(BOB, row, topic, body, stamp=int(NOW), sequence=1)
    assert node.topics.arrive(topic, forged, BOB_ID) == "reject"
    assert node.heard == []
    assert node.faults == [(BOB_ID, "signature_violation")]


def test_a_broken_signature_is_the_publishers_fault() -> None:
    node, data = Node(BOB), bytearray(nickname())
    data[-1] ^= 1
    assert node.topics.arrive("swarm/identity", bytes(data)) == "reject"
    assert node.faults == [(ADA_ID, "signature_violation")]


def test_nobody_publishes_what_another_has_signed() -> None:
    node = Node(signer(9))
    assert node.topics.arrive("swarm/identity", nickname(), BOB_ID) == "reject"
    assert node.faults == [(BOB_ID, "signature_violation")]
    assert node.topics.arrive("swarm/identity", nickname()) == "accept"


@pytest.mark.parametrize("age", [301, -31])
def test_a_stale_message_goes_no_further_and_costs_nothing(age: int) -> None:
    node = Node(BOB)
    node.stamp = NOW + age
    assert node.topics.arrive("swarm/identity", nickname()) == "ignore"
    assert node.heard == node.faults == []


def test_a_replay_goes_no_further_and_is_held_against_nobody() -> None:
    """Whoever brings it has kept it; who published it is innocent."""
    node = Node(BOB)
    assert node.topics.arrive("swarm/identity", nickname()) == "accept"
    assert node.topics.arrive("swarm/identity", nickname()) == "ignore"
    assert len(node.heard) == 1
    assert node.faults == []


def test_reordering_is_no_fault_and_being_far_behind_none_either() -> None:
    node = Node(BOB)
    for sequence in (WINDOW + 5, 10, 11):
        assert node.topics.arrive("swarm/identity", nickname(sequence=sequence)) == "accept"
    assert node.topics.arrive("swarm/identity", nickname(sequence=1)) == "ignore"
    assert node.faults == []


def test_what_is_not_genuine_leaves_no_trace() -> None:
    """A forged message with a sequence of the far future must not shut out the real ones."""
    node = Node(signer(9))
    node.topics.arrive("swarm/identity", nickname(by=BOB, sequence=1 << 62), BOB_ID)
    data = bytearray(nickname(sequence=1 << 62))
    data[-1] ^= 1
    node.topics.arrive("swarm/identity", bytes(data))
    assert node.topics.arrive("swarm/identity", nickname(sequence=1)) == "accept"


def test_a_kind_on_anothers_topic_is_invalid() -> None:
    node = Node(BOB)
    body = KINDS["nickname"].new(peer=ADA_ID).SerializeToString()
    data = sign_message(ADA, KINDS["nickname"], "swarm/health", body, stamp=int(NOW), sequence=1)
    assert node.topics.arrive("swarm/health", data) == "reject"
    assert node.faults == [(ADA_ID, "invalid_gossip")]


def test_a_kind_of_the_future_is_passed_on_and_not_heard() -> None:
    payload = encode_fields(((1, int(NOW)), (2, 1), (3, b"swarm/models"), (4, b"new"), (9, b"newer")))
    data = seal(ADA.public_key, ADA.sign, b"swarmnode/novelty/1", b"/swarmnode/novelty", payload)
    node = Node(BOB)
    assert node.topics.arrive("swarm/models", data) == "accept"
    assert node.topics.arrive("swarm/models", data) == "ignore"
    assert node.heard == []


def test_who_says_too_much_goes_unheard_for_a_while_and_pays_once_a_minute() -> None:
    node = Node(BOB)
    floods = [
        node.topics.arrive("swarm/identity", nickname(sequence=n)) for n in range(1, AUTHOR_A_MINUTE + 100)
    ]
    assert floods == ["accept"] * AUTHOR_A_MINUTE + ["ignore"] * 99
    assert node.faults == [(ADA_ID, "gossip_flood")]
    bob = nickname(BOB, BOB_ID)
    assert node.topics.arrive("swarm/identity", bob, BOB_ID) == "accept", "others are heard"
    node.stamp += 60
    late = nickname(sequence=1000, stamp=node.stamp)
    assert node.topics.arrive("swarm/identity", late) == "accept"


def test_made_up_kinds_take_no_room_from_others() -> None:
    node = Node(BOB)
    node.topics.arrive("swarm/identity", nickname())
    for number in range(20):
        payload = encode_fields(((1, int(NOW)), (2, number), (3, b"swarm/models")))
        name = b"novelty_%d" % number
        data = seal(ADA.public_key, ADA.sign, b"swarmnode/" + name + b"/1", b"/swarmnode/" + name, payload)
        assert node.topics.arrive("swarm/models", data) == "accept"
    assert len(node.broadcast._replays) == 2


def test_fields_of_the_future_are_passed_over() -> None:
    node, row = Node(BOB), KINDS["nickname"]
    body = row.new(peer=ADA_ID, nickname="x").SerializeToString() + b"\xfa\x07\x02hi"
    data = sign_message(ADA, row, "swarm/identity", body, stamp=int(NOW), sequence=1)
    assert node.topics.arrive("swarm/identity", data) == "accept"
    assert node.heard[0].message.nickname == "x"


def test_a_listener_may_have_something_against_it() -> None:
    node = Node(BOB)

    def check(sender: str, message: Any) -> None:
        raise PeerFault(f"{sender} calls itself {message.nickname}", code="bad_nickname")

    node.broadcast.on("nickname", lambda sender, heard: None, check)
    assert node.topics.arrive("swarm/identity", nickname()) == "reject"
    assert node.faults == [(ADA_ID, "bad_nickname")]
    with pytest.raises(ValueError, match="check"):
        node.broadcast.on("nickname", lambda sender, heard: None, check)


def test_a_listener_that_breaks_harms_nobody() -> None:
    node = Node(BOB)
    node.broadcast.on("nickname", lambda sender, heard: 1 / 0)
    node.broadcast.on("nickname", lambda sender, heard: node.heard.append(heard))
    assert node.topics.arrive("swarm/identity", nickname()) == "accept"
    assert len(node.heard) == 2


def test_sequences_rise_whatever_the_clock_does() -> None:
    ada, bob = Node(ADA), Node(BOB)
    for step in (0, 0, -100, 5):
        ada.stamp = NOW + step
        ada.broadcast.publish("nickname", nickname="x")
    for topic, data in ada.topics.sent:
        bob.topics.arrive(topic, data)
    sequences = [heard.sequence for heard in bob.heard]
    assert sequences == sorted(set(sequences))
    assert len(sequences) == 4


def test_an_outsider_of_a_private_network_reads_nothing_and_is_believed_nothing() -> None:
    ada, bob, eve = Node(ADA, "ours"), Node(BOB, "ours"), Node(signer(9), "theirs")
    ada.broadcast.publish("nickname", nickname="a name for us")
    topic, data = ada.said()
    assert b"name for us" not in data
    assert ADA.public_key not in data
    assert topic not in eve.topics.taken
    eve.broadcast.publish("nickname", nickname="mallory")
    assert bob.topics.arrive(topic, eve.said()[1], peer_id(signer(9).public_key)) == "reject"
    assert bob.topics.arrive(topic, nickname()) == "reject"
    assert bob.topics.arrive(topic, data) == "accept"


def test_what_cannot_be_said_is_refused() -> None:
    node = Node(ADA)
    with pytest.raises(Refused):
        node.broadcast.publish("nickname", nickname="x" * 5000)
    for kind in ("member_probe",):
        with pytest.raises(ValueError, match=kind):
            node.broadcast.publish(kind)
        with pytest.raises(ValueError, match=kind):
            node.broadcast.on(kind, lambda sender, heard: None)
    assert node.topics.sent == []
    assert node.broadcast.stats()["published"] == 0


@given(st.binary(max_size=300), st.sampled_from(["", "ours"]))
def test_whatever_comes_is_refused_and_paid_for(data: bytes, network: str) -> None:
    node = Node(BOB, network)
    assert node.topics.arrive(topic_name("models", network), data) in ("reject", "ignore")
    assert node.heard == []
