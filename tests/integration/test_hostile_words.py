"""Peers that are proven, keep to the rules of connections, and lie or shout in what they say over them, at a
real node: as in test_hostile_peers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pytest

from swarmnode.observability.repetition import BURST
from swarmnode.protocols.gossipsub.messages import make_message
from swarmnode.protocols.gossipsub.parameters import MAX_RPC_BYTES, PROTOCOL_1_1
from swarmnode.protocols.gossipsub.rpc import Prune, control_rpc, publish_field
from swarmnode.protocols.identify import peer_exchange
from swarmnode.protocols.identify.messages import PROTOCOL as IDENTIFY
from swarmnode.protocols.identify.messages import PUSH_PROTOCOL, Identification, encode_identification
from swarmnode.protocols.identify.peer_record import seal_record
from swarmnode.protocols.kademlia.distance import provider_key
from swarmnode.protocols.kademlia.messages import Kind as DhtKind
from swarmnode.protocols.kademlia.messages import Message, PeerEntry, Record, decode, encode
from swarmnode.protocols.kademlia.records import signed_record
from swarmnode.protocols.swarm import hello
from swarmnode.protocols.swarm.frames import LIMITS, Tag, head
from swarmnode.protocols.swarm.ids import protocol_id, topic_name
from swarmnode.protocols.swarm.member_claims import sign_claim, sign_suspicion
from swarmnode.protocols.swarm.messages import KINDS
from swarmnode.protocols.swarm.request_frames import Question, Result, Spoken, SpokenReader
from swarmnode.protocols.swarm.request_frames import encode as spoken
from swarmnode.protocols.swarm.requests import SHORT
from swarmnode.protocols.swarm.signed import sign_message
from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.testing.hostile_peer import HostilePeer, make_signer
from swarmnode.testing.siege import Siege
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.peer_id import encode_public_key, peer_id

KAD, REQUESTS = protocol_id("kad/1", ""), protocol_id(SHORT.name, "")
EXCHANGE, HELLO = protocol_id(peer_exchange.NAME, ""), protocol_id(hello.NAME, "")
HEALTH = topic_name("health", "")
TEN_MINUTES = 600
#: What is thought of peers on the same machine.
TRUSTED = 0.6
#: How soon the node answers, or finds out, seconds.
SOON = 3.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with Siege(tmp_path_factory.mktemp("siege")) as siege:
        yield siege


@pytest.fixture
def peer(siege: Siege) -> Iterator[HostilePeer]:
    with HostilePeer(siege.port) as peer:
        yield peer


@contextmanager
def all_at_once(siege: Siege, cases: Mapping[str, object]) -> Iterator[dict[str, HostilePeer]]:
    """A peer for each of the cases, not secured yet."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(HostilePeer(siege.port)) for name in cases}


def pump(peers: Mapping[str, HostilePeer], seconds: float) -> None:
    """Let all of them read for so long, by turns."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for peer in peers.values():
            peer.pump(0.01)


# identify


def identification(peer: HostilePeer, **fields: object) -> bytes:
    said = {"public_key": encode_public_key(peer.identity.public_key), "protocols": (IDENTIFY,)} | fields
    return encode_identification(Identification(**said))  # type: ignore[arg-type]


def somewhere(number: int) -> Multiaddr:
    return tcp_address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 4001)


def forged_record(peer: HostilePeer) -> bytes:
    return identification(peer, record=seal_record(peer.identity, 1, ())[:-1] + b"\0")


def record_of_another(peer: HostilePeer) -> bytes:
    return identification(peer, record=seal_record(make_signer(), 1, (somewhere(1),)))


IDENTIFICATIONS = {
    "64 KiB of garbage": (
        lambda peer: os.urandom(64 << 10),
        {"bad_frame", "bad_message", "oversized_message"},
    ),
    "more than 64 KiB": (lambda peer: framed(bytes(60 << 10)) * 2, {"bad_message", "oversized_message"}),
    "a message announced and not sent": (lambda peer: b"\xff\xff\x03" + bytes(100), {"bad_message"}),
    "the key of somebody else": (
        lambda peer: identification(peer, public_key=encode_public_key(make_signer().public_key)),
        {"wrong_identity"},
    ),
    "a forged record": (forged_record, {"bad_signature"}),
    "a record of somebody else": (record_of_another, {"wrong_identity"}),
}


def test_identification(siege: Siege) -> None:
    with siege.attack(lines=100) as attack, all_at_once(siege, IDENTIFICATIONS) as peers:
        for name, peer in peers.items():
            peer.serves[IDENTIFY] = IDENTIFICATIONS[name][0](peer)
            peer.secure()
        pump(peers, 0.3)
    for name, peer in peers.items():
        faults = attack.faults_of(peer.peer_id)
        assert len(faults) == 1 and faults <= IDENTIFICATIONS[name][1], (name, attack.text)
        if faults & {"wrong_identity", "bad_signature"}:
            assert siege.shuns(peer.identity)


def test_addresses_by_the_thousand_and_those_of_others(siege: Siege, peer: HostilePeer) -> None:
    others = [
        Multiaddr.parse(siege.peers()[honest]["addresses"][0]).without_peer() for honest in siege.honest
    ]
    addresses = (*others, tcp_address("127.0.0.1", siege.port), *map(somewhere, range(1000)))
    peer.serves[IDENTIFY] = b"".join(
        framed(identification(peer, addresses=addresses[start : start + 200]).removeprefix(b"")[2:])
        for start in range(0, len(addresses), 200)
    )
    with siege.attack():
        peer.secure().pump(0.2)
        told = siege.peers()[peer.peer_id]["addresses"]
        assert len(told) <= 32
        assert not any(f"/tcp/{siege.port}/" in address for address in told), (
            "the node's own is nobody else's"
        )


def test_a_flood_of_pushes(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack() as attack:
        peer.secure()
        for number in range(100):
            stream = peer.open(PUSH_PROTOCOL, identification(peer, agent=f"number {number}"))
            peer.end(stream)
        peer.pump(0.2)
    assert attack.faults_of(peer.peer_id) == {"push_flood"}


# Gossip


def capability(peer: HostilePeer, about: str, stamp: float, sequence: int, software: str = "x") -> bytes:
    kind = KINDS["capability"]
    body = kind.new(peer=about, software=software).SerializeToString()
    return sign_message(peer.identity, kind, HEALTH, body, stamp=int(stamp), sequence=sequence)


def published(peer: HostilePeer, data: bytes, number: int, topic: str = HEALTH, source: str = "") -> bytes:
    author = source or peer.peer_id
    return publish_field(make_message(author, peer.identity.sign, number, topic, data).encoded)


def unsigned(peer: HostilePeer) -> bytes:
    data = capability(peer, peer.peer_id, time.time(), 1)
    message = make_message(peer.peer_id, lambda _: b"", 1, HEALTH, data)
    return publish_field(message.encoded)


def sequence() -> int:
    return int(time.time() * 1000)


def statement(peer: HostilePeer, said: bytes) -> bytes:
    kind = KINDS["member_claim"]
    body = kind.new(peer=peer.peer_id, statement=said).SerializeToString()
    data = sign_message(peer.identity, kind, HEALTH, body, stamp=int(time.time()), sequence=sequence())
    return published(peer, data, time.time_ns())


def claim_of(peer: HostilePeer, subject: str) -> bytes:
    """Says of somebody else that it left, with a signature of this peer's."""
    other = make_signer()
    said = sign_claim(other, "", sequence=sequence(), stamp=int(time.time()), left=True)
    mine = sign_claim(peer.identity, "", sequence=sequence(), stamp=int(time.time()), left=True)
    assert len(said) == len(mine) and subject
    # The payload of the other, the key and the signature of this one.
    return said[:-64] + mine[-64:]


GOSSIP = {
    "unsigned": (unsigned, "bad_message"),
    "in another's name": (
        lambda peer: published(peer, b"x", 1, source=peer_id(make_signer().public_key)),
        "bad_message",
    ),
    "about another": (
        lambda peer: published(peer, capability(peer, peer_id(make_signer().public_key), time.time(), 1), 1),
        "signature_violation",
    ),
    "without sense": (lambda peer: published(peer, os.urandom(1000), 1), "invalid_gossip"),
    "on the wrong topic": (
        lambda peer: published(
            peer, capability(peer, peer.peer_id, time.time(), 1), 1, topic_name("models", "")
        ),
        "invalid_gossip",
    ),
    "a claim that is forged": (lambda peer: statement(peer, claim_of(peer, "somebody")), "bad_signature"),
    "a claim of next year": (
        lambda peer: statement(
            peer,
            sign_claim(peer.identity, "", sequence=sequence() + 10**10, stamp=int(time.time())),
        ),
        "stale",
    ),
}


def test_gossip_that_is_a_lie(siege: Siege) -> None:
    with siege.attack(lines=100) as attack, all_at_once(siege, GOSSIP) as peers:
        for name, peer in peers.items():
            peer.secure().open(PROTOCOL_1_1, framed(GOSSIP[name][0](peer)))
        pump(peers, 0.3)
        trust = {honest: siege.peers()[honest]["trust_score"] for honest in siege.honest}
    assert set(trust.values()) == {TRUSTED}, "nothing of it is held against those in whose name it was said"
    assert "ahead of the time" in attack.text
    for name, peer in peers.items():
        code = GOSSIP[name][1]
        # The peer is the author, and also who passed it on.
        expected = ({code}, {code, "invalid_gossip"}) if code != "stale" else (set(),)
        assert attack.faults_of(peer.peer_id) in expected, (name, attack.text)


@pytest.mark.parametrize("seconds", [-TEN_MINUTES, TEN_MINUTES])
def test_gossip_of_another_time(siege: Siege, peer: HostilePeer, seconds: int) -> None:
    """It may have been kept by somebody else, and so costs no trust; it goes no further, and fills no log."""
    with siege.attack() as attack:
        peer.secure()
        rpcs = [
            framed(published(peer, capability(peer, peer.peer_id, time.time() + seconds, number), number))
            for number in range(1, 200)
        ]
        peer.open(PROTOCOL_1_1, b"".join(rpcs))
        peer.pump(0.2)
        assert peer.ping()
    assert attack.faults_of(peer.peer_id) == set()
    assert attack.text.count("gossip was refused") <= BURST


FLOODS = {
    "an RPC of 1 MiB": (lambda peer: framed(os.urandom(MAX_RPC_BYTES)), {"bad_message"}),
    "an RPC of 1 GiB": (lambda peer: b"\x80\x80\x80\x80\x04" + bytes(1000), {"bad_frame"}),
    "100,000 topics at once": (
        lambda peer: framed(control_rpc(subscriptions=[(f"t{n}", True) for n in range(100_000)])),
        {"too_many", "bad_message", "bad_frame"},
    ),
    "100,000 topics by and by": (
        lambda peer: b"".join(
            framed(control_rpc(subscriptions=[(f"t{n}", True) for n in range(start, start + 5000)]))
            for start in range(0, 100_000, 5000)
        ),
        set(),
    ),
    "IHAVE": (
        lambda peer: framed(control_rpc(ihave=[(HEALTH, [os.urandom(46) for _ in range(5000)])])) * 50,
        set(),
    ),
    "IWANT": (lambda peer: framed(control_rpc(iwant=[os.urandom(46) for _ in range(5000)])) * 50, set()),
    "GRAFT": (lambda peer: framed(control_rpc(graft=[HEALTH])) * 5000, {"graylisted", "graft_flood"}),
    "GRAFT of topics that nobody has": (
        lambda peer: framed(control_rpc(graft=[f"t{n}" for n in range(5000)])) * 20,
        set(),
    ),
    "PRUNE": (
        lambda peer: framed(control_rpc(prune=[Prune(HEALTH, (), 10**6)] * 1000)) * 20,
        set(),
    ),
    "subscribing and leaving": (
        lambda peer: (
            (
                framed(control_rpc(subscriptions=[(HEALTH, True)]))
                + framed(control_rpc(subscriptions=[(HEALTH, False)]))
            )
            * 5000
        ),
        set(),
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_gossip(siege: Siege, peer: HostilePeer, name: str) -> None:
    make, codes = FLOODS[name]
    with siege.attack() as attack:
        peer.secure()
        peer.open(PROTOCOL_1_1, make(peer))
        peer.pump(0.2)
    assert attack.faults_of(peer.peer_id) <= codes or not codes, attack.text
    if codes and "GRAFT" not in name:
        assert attack.faults_of(peer.peer_id) and peer.is_closed


def test_a_flood_of_messages_that_are_all_in_order(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack() as attack:
        peer.secure()
        stream = peer.open(PROTOCOL_1_1, framed(control_rpc(subscriptions=[(HEALTH, True)])))
        now = sequence()
        for number in range(1000):
            data = capability(peer, peer.peer_id, time.time(), now + number, "x" * 60)
            if not peer.write(stream, framed(published(peer, data, now + number))):
                break
        peer.pump(0.2)
    assert attack.faults_of(peer.peer_id) == {"gossip_flood"}


def test_suspicions_about_everybody(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack():
        peer.secure()
        stamp = int(time.time())
        subjects = [*siege.honest, siege.peer_id]
        said = [sign_suspicion(peer.identity, "", subject, sequence(), stamp) for subject in subjects]
        peer.open(PROTOCOL_1_1, b"".join(framed(statement(peer, one)) for one in said))
        peer.pump(0.5)
        assert all(siege.peers()[honest]["healthy"] for honest in siege.honest)


# The DHT


def put(key: bytes, value: bytes) -> bytes:
    return framed(encode(Message(DhtKind.PUT_VALUE, key, Record(key, value))))


def record(peer: HostilePeer, key: bytes) -> bytes:
    return signed_record(key, b"payload", int(time.time()), peer.identity.public_key, peer.identity.sign)


RECORDS = {
    "a signature that is wrong": (
        lambda peer: put(b"/swarmnode/x", record(peer, b"/swarmnode/y")),
        "bad_signature",
    ),
    "a key of somebody else": (
        lambda peer: put(
            f"/swarmnode/{peer_id(make_signer().public_key)}".encode(), record(peer, b"/swarmnode/x")
        ),
        "bad_signature",
    ),
    "nothing but noise": (lambda peer: framed(os.urandom(2000)), "bad_message"),
    "a request of 1 GiB": (lambda peer: b"\x80\x80\x80\x80\x04" + bytes(1000), "bad_frame"),
    "a record too large": (lambda peer: put(b"/swarmnode/x", bytes(60_000)), "bad_dht_message"),
}


def test_poison_for_the_dht(siege: Siege) -> None:
    with siege.attack(lines=100) as attack, all_at_once(siege, RECORDS) as peers:
        for name, peer in peers.items():
            peer.secure().open(KAD, RECORDS[name][0](peer))
        pump(peers, 0.3)
        known = siege.peers()
    for name, peer in peers.items():
        assert attack.faults_of(peer.peer_id) == {RECORDS[name][1]}, (name, attack.text)
        assert known[peer.peer_id]["trust_score"] < TRUSTED


def asked(peer: HostilePeer, message: Message) -> Message | None:
    frames = Frames(1 << 20, "an answer").feed(peer.ask(KAD, framed(encode(message)), end=True))
    return decode(frames[0]) if frames else None


def test_only_what_a_peer_provides_itself_counts(siege: Siege, peer: HostilePeer) -> None:
    key = provider_key(b"something")
    entries = tuple(PeerEntry(peer_id(make_signer().public_key), (somewhere(n),)) for n in range(20))
    with siege.attack():
        peer.secure()
        asked(peer, Message(DhtKind.ADD_PROVIDER, key, providers=entries))
        found = asked(peer, Message(DhtKind.GET_PROVIDERS, key))
        assert found is not None and found.providers == ()


def test_a_flood_of_dht_requests(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack():
        peer.secure()
        find = framed(encode(Message(DhtKind.FIND_NODE, os.urandom(32))))
        for _ in range(20):
            peer.open(KAD, find * 1000)
        peer.pump(0.2)


def test_authors_by_the_thousand(siege: Siege, peer: HostilePeer) -> None:
    """Made-up members cost their maker a key each, and the node little."""
    kind = KINDS["member_claim"]

    def arrival(number: int) -> bytes:
        author, stamp = make_signer(), int(time.time())
        said = sign_claim(author, "", sequence=sequence(), stamp=stamp, addresses=(somewhere(number),))
        name = peer_id(author.public_key)
        body = kind.new(peer=name, statement=said).SerializeToString()
        data = sign_message(author, kind, HEALTH, body, stamp=stamp, sequence=sequence())
        return framed(publish_field(make_message(name, author.sign, 1, HEALTH, data).encoded))

    said = b"".join(map(arrival, range(1000)))
    with siege.attack():
        peer.secure()
        peer.open(PROTOCOL_1_1, said)
        peer.pump(2.0)
        assert peer.ping()


# Requests


def question(number: int, kind: str, body: bytes = b"", tag: Tag | None = None) -> bytes:
    said = Question(number, kind, 10.0, body, tag, None if tag is None else b"")
    return b"".join(spoken(said))


LIES = {
    "a control of 128 MiB": (lambda: b"\x08\x00\x00\x00\x00" + bytes(10), "frame_too_large"),
    "a control of no bytes": (lambda: b"\x00\x00\x00\x00\x00", "bad_frame"),
    "an unknown frame": (lambda: b"\x00\x00\x00\x05\x99abcd", "bad_frame"),
    "a payload that nothing announced": (lambda: head(Tag.TENSOR, 1 << 20) + bytes(10), "bad_frame"),
    "a control without sense": (lambda: head(Tag.CONTROL, 1000) + os.urandom(1000), "bad_message"),
    "an answer to a question never asked": (lambda: b"".join(spoken(Result(1, b"x"))), "bad_message"),
    "questions that count backwards": (
        lambda: question(2, "member_probe") + question(1, "member_probe"),
        "bad_message",
    ),
}


def test_requests_that_are_none(siege: Siege) -> None:
    with siege.attack(lines=100) as attack, all_at_once(siege, LIES) as peers:
        for name, peer in peers.items():
            stream = peer.secure().open(REQUESTS, LIES[name][0]())
            peer.pump(SOON, lambda peer=peer, stream=stream: stream in peer.reset)  # type: ignore[misc]
            assert stream in peer.reset, name
            assert peer.ping()
    for name, peer in peers.items():
        assert attack.faults_of(peer.peer_id) == {LIES[name][1]}, (name, attack.text)


def test_a_payload_of_128_mib_that_never_comes(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack():
        peer.secure()
        whole = question(1, "stage_step", b"", Tag.TENSOR)
        before = siege.memory()
        for _ in range(2):
            peer.open(REQUESTS, whole[:-5] + head(Tag.TENSOR, LIMITS[Tag.TENSOR]) + bytes(10))
        peer.pump(0.2)
        assert peer.ping()
        assert siege.memory() - before < 4 << 20


def answers_on(peer: HostilePeer, stream: int) -> list[Spoken]:
    return SpokenReader(lambda said, tag: False).feed(bytes(peer.said[stream]))


def test_kinds_that_do_not_exist(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack():
        peer.secure()
        stream = peer.open(REQUESTS, b"".join(question(n, f"kind_{n}") for n in range(1, 1001)))
        peer.pump(SOON, lambda: len(answers_on(peer, stream)) == 1000)
        codes = [said.error.code for said in answers_on(peer, stream)]  # type: ignore[union-attr]
    assert codes == ["unsupported"] * 1000


def test_a_thousand_requests_at_once(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack():
        peer.secure()
        stream = peer.open(REQUESTS, b"".join(question(n, "member_probe") for n in range(1, 1001)))
        peer.pump(SOON, lambda: len(answers_on(peer, stream)) == 1000)
        answers = answers_on(peer, stream)
    refused = [said for said in answers if not isinstance(said, Result)]
    assert len(answers) == 1000 and len(refused) > 800


def test_guessing_invites(siege: Siege, peer: HostilePeer) -> None:
    kind = KINDS["invite_redeem"]
    with siege.attack():
        peer.secure()
        bodies = (kind.new(token=os.urandom(16)).SerializeToString() for _ in range(200))
        stream = peer.open(
            REQUESTS, b"".join(question(n, "invite_redeem", body) for n, body in enumerate(bodies, 1))
        )
        peer.pump(SOON, lambda: len(answers_on(peer, stream)) == 200)
        answers = answers_on(peer, stream)
    results = [said for said in answers if isinstance(said, Result)]
    assert len(results) <= 10
    assert not any(kind.new_reply().FromString(said.body).vouched for said in results)


def view(*statements: bytes) -> bytes:
    body = KINDS["member_view"].new_reply(statements=statements, more=True).SerializeToString()
    return b"".join(spoken(Result(1, body)))


ANSWERS = {
    "noise": (lambda peer: b"\x00\x00\x00\x05\x99abcd", {"bad_frame"}),
    "no message": (lambda peer: b"".join(spoken(Result(1, b"\x0a\x05abc"))), {"bad_message"}),
    "the answer to another question": (lambda peer: b"".join(spoken(Result(99, b""))), {"bad_message"}),
    "members that are noise": (lambda peer: view(b"\xa5" * 200), {"bad_statement"}),
    "members that are forged": (lambda peer: view(claim_of(peer, "somebody")), {"bad_signature"}),
    "a suspicion for a member": (
        lambda peer: view(sign_suspicion(peer.identity, "", peer.peer_id, 1, int(time.time()))),
        {"bad_claim"},
    ),
}


def test_a_view_of_the_swarm_that_is_a_lie(siege: Siege) -> None:
    """The node asks everybody that comes whom they know."""
    liars: dict[str, str] = {}
    with siege.attack(lines=100) as attack:
        for name, (make, _) in ANSWERS.items():
            with HostilePeer(siege.port) as peer:
                peer.serves[REQUESTS] = make(peer)
                peer.secure().pump(0.25)
                liars[name] = peer.peer_id
    for name, liar in liars.items():
        faults = attack.faults_of(liar)
        assert len(faults) == 1 and faults <= ANSWERS[name][1], (name, attack.text)


# Greetings, and whom they know


def told_peers(count: int) -> bytes:
    answer = peer_exchange._WIRE.Answer()
    for number in range(count):
        answer.peers.add(id=make_signer(number.to_bytes(32, "big")).public_key[:1] + os.urandom(33))
    return framed(answer.SerializeToString())


def test_peers_by_the_thousand(siege: Siege, peer: HostilePeer) -> None:
    peer.serves[EXCHANGE] = told_peers(21)
    with siege.attack() as attack, HostilePeer(siege.port) as greedy:
        greedy.serves[EXCHANGE] = told_peers(10_000)
        for each in (peer, greedy):
            each.secure()
        for _ in range(12):
            peer.pump(0.1)
            greedy.pump(0.1)
    assert attack.faults_of(peer.peer_id) == {"oversized_message"}
    assert attack.faults_of(greedy.peer_id) == {"bad_frame"}


def greeting(**fields: object) -> bytes:
    return hello.encode_hello(hello.Hello("\x1b[31mred\n" * 10, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("stamp_ms", [0, (1 << 64) - 1])
def test_an_absurd_clock(siege: Siege, peer: HostilePeer, stamp_ms: int) -> None:
    with siege.attack() as attack:
        peer.secure()
        for _ in range(20):
            peer.open(HELLO, greeting(stamp_ms=stamp_ms))
        peer.pump(0.2)
        skew = siege.peers()[peer.peer_id]["clock_skew_seconds"]
        assert abs(skew) > 1e9
        assert siege.node.request("GET", "/v1/status")[0] == 200
    assert attack.text.count("clocks of two nodes differ") <= 2
    assert "\x1b" not in attack.text


def test_greetings_without_sense(siege: Siege, peer: HostilePeer) -> None:
    with siege.attack() as attack:
        peer.secure()
        for data in (
            os.urandom(100),
            framed(os.urandom(1000)),
            b"\xff\xff\x7f",
            greeting(protocol_version=99),
        ):
            peer.open(HELLO, data)
        peer.pump(0.2)
    assert attack.faults_of(peer.peer_id) == {"bad_frame", "bad_message", "other_version"}
