"""Nodes on a link, as machines that hand one another their packets."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.mdns.dns import PTR, Message, Pointer, Question, Text, decode, encode
from swarmnode.protocols.mdns.machine import (
    FIRST_QUERIES,
    FOUND_AT_ONCE,
    MAX_TEXT_BYTES,
    PACKETS_A_SECOND,
    QUERY_SECONDS,
    REPEAT_SECONDS,
    MdnsMachine,
)
from swarmnode.protocols.mdns.vocabulary import Found, Leave, Multicast, OwnAddresses, Packet
from swarmnode.testing.fake_host import fake_key, signer_of
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

SERVICE = "_p2p._udp.local"
PEERS = [peer_id(signer_of(fake_key(n)).public_key) for n in range(300)]
NAME = f"somebody.{SERVICE}"
QUERY = encode(Message(False, (Question(SERVICE, PTR),)))


def address(number: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/10.0.{number // 250}.{number % 250 + 1}/tcp/8810")


def machine(number: int = 0, service: str = SERVICE) -> MdnsMachine:
    return MdnsMachine(service, PEERS[number], random.Random(number))


def said_by(number: int, *addresses: Multiaddr, ttl: int = 120, name: str = NAME) -> bytes:
    strings = tuple(b"dnsaddr=" + str(a.with_peer(PEERS[number])).encode() for a in addresses)
    answers = (Pointer(SERVICE, name, ttl),)
    return encode(Message(True, answers=answers, additional=(Text(name, strings, ttl),)))


class Link:
    """Everybody hears everything, ourselves included, after a millisecond."""

    def __init__(self, count: int, service: str = SERVICE) -> None:
        self.nodes = [machine(n, service) for n in range(count)]
        self.now = 0.0
        self.found: list[tuple[float, int, str]] = []
        self.packets: list[tuple[float, bytes]] = []
        self._waiting: list[tuple[float, int, Any]] = []

    def post(self, at: float, node: int, event: Any) -> None:
        self._waiting.append((at, node, event))

    def start(self, node: int, at: float) -> None:
        self.post(at, node, OwnAddresses((address(node),)))

    def run(self, until: float) -> None:
        while True:
            events = [(at, 0, i, node, event) for i, (at, node, event) in enumerate(self._waiting)]
            deadlines = [
                (m.deadline, 1, 0, n, None) for n, m in enumerate(self.nodes) if m.deadline is not None
            ]
            at, kind, index, node, event = min(
                [*events, *deadlines], key=lambda e: e[:4], default=(until,) * 5
            )
            if at >= until:
                return
            self.now = max(self.now, at)
            if kind == 0:
                del self._waiting[index]
            self._execute(node, self.nodes[node].handle(event, self.now))

    def _execute(self, node: int, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Found):
                self.found.append((self.now, node, effect.peer))
                continue
            self.packets.append((self.now, effect.data))
            for other in range(len(self.nodes)):
                self.post(self.now + 0.001, other, Packet(effect.data))


def test_two_nodes_meet_whichever_is_first() -> None:
    for first, second in permutations(range(2)):
        for gap in (0.0, 0.01, 0.5, 1.0, 7.0, 100.0):
            link = Link(2)
            link.start(first, 0.0)
            link.start(second, gap)
            link.run(gap + 5)
            met = {(node, peer): at for at, node, peer in reversed(link.found)}
            assert set(met) == {(0, PEERS[1]), (1, PEERS[0])}
            assert max(met.values()) <= gap + 1.2


def test_a_link_of_many_goes_quiet() -> None:
    link = Link(30)
    for node in range(30):
        link.start(node, node * 0.01)
    link.run(30)
    assert {(n, p) for _, n, p in link.found} == {
        (n, PEERS[m]) for n in range(30) for m in range(30) if n != m
    }
    before = len(link.packets)
    link.run(30 + 10 * QUERY_SECONDS)
    queries = [p for _, p in link.packets[before:] if not decode(p).response]
    # One question serves all, and each answers it once.
    assert 6 <= len(queries) <= 14
    assert len(link.packets) - before <= 31 * len(queries)


def test_answers_are_a_second_apart_and_none_is_lost() -> None:
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    sent = [0.0]
    now = 5.0
    for _ in range(2000):
        now += 0.005
        effects = node.handle(Packet(QUERY), now)
        sent += [now for e in effects if isinstance(e, Multicast) and decode(e.data).response]
    gaps = [b - a for a, b in zip(sent, sent[1:], strict=False)]
    assert 10 <= len(sent) <= 14
    assert min(gaps) >= 1.0


def test_what_is_sent_holds_all_addresses_that_fit() -> None:
    node = machine()
    relay = Multiaddr.parse(f"/ip4/1.2.3.4/tcp/1/p2p/{PEERS[5]}/p2p-circuit")
    many = (relay, *map(address, range(40)))
    sent = node.handle(OwnAddresses(many), 0.0)
    query, answer = (decode(effect.data) for effect in sent)
    assert query == Message(False, (Question(SERVICE, PTR),))
    (pointer,), (text,) = answer.answers, answer.additional
    assert isinstance(pointer, Pointer) and isinstance(text, Text)
    assert pointer.name == SERVICE and pointer.target == text.name
    label = pointer.target.removesuffix(f".{SERVICE}")
    assert 32 <= len(label) <= 63 and PEERS[0].lower() not in label
    assert all(
        s.decode() == f"dnsaddr={a}/p2p/{PEERS[0]}" for s, a in zip(text.strings, many[1:], strict=False)
    )
    assert 8 <= len(text.strings) <= 16
    assert len(sent[1].data) <= MAX_TEXT_BYTES + 150


def test_a_node_without_addresses_asks_and_does_not_answer() -> None:
    node = machine()
    sent = node.handle(OwnAddresses(()), 0.0) + node.handle(Packet(QUERY), 5.0) + node.handle(None, 6.0)
    assert [decode(e.data).response for e in sent] == [False, False]


def test_questions_come_at_the_start_and_again_after_a_change() -> None:
    node = machine()
    times: list[float] = []
    effects, now = node.handle(OwnAddresses((address(0),)), 0.0), 0.0
    while now < 40:
        times += [now for e in effects if not decode(e.data).response]
        now = min(node.deadline or 40, 40)
        effects = node.handle(None, now)
    assert times == list(FIRST_QUERIES)
    assert node.handle(OwnAddresses((address(0),)), 40.0) == []
    assert [decode(e.data).response for e in node.handle(OwnAddresses((address(1),)), 41.0)] == [False, True]


def test_what_js_sends_is_understood() -> None:
    """Everything in the answers, a TXT record an address, and not a word about which peer it is."""
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    strings = [f"dnsaddr={address(n)}/p2p/{PEERS[7]}".encode() for n in (1, 2)]
    answers = (Pointer(SERVICE, NAME, 120), *(Text(NAME, (s,), 120) for s in strings))
    (found,) = node.handle(Packet(encode(Message(True, answers=answers))), 0.5)
    assert found == Found(PEERS[7], (address(1), address(2)))


def test_news_is_told_once_and_again_after_a_while_or_a_change() -> None:
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    same = Packet(said_by(1, address(1)))

    def told(event: Any, now: float) -> list[Any]:
        return [e for e in node.handle(event, now) if isinstance(e, Found)]

    assert len(told(same, 0.1)) == 1
    assert told(same, 0.2) == []
    assert told(Packet(said_by(1, address(2))), 0.3) == [Found(PEERS[1], (address(2),))]
    assert len(told(Packet(said_by(1, address(2))), 0.3 + REPEAT_SECONDS)) == 1
    assert told(Packet(said_by(1, address(2), ttl=0)), 61.0) == []
    assert len(told(Packet(said_by(1, address(2))), 62.0)) == 1


def test_what_is_not_a_peer_is_left_out() -> None:
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    bad = (b"dnsaddr=", b"dnsaddr=/ip4/1.2.3.4/tcp/1", b"dnsaddr=/quux/1", b"dnsaddr=\xff", b"x=1", b"")
    bad += (f"dnsaddr=/p2p/{PEERS[3]}".encode(), f"dnsaddr={address(4)}/p2p/{PEERS[0]}".encode())
    other, texts = f"other.{SERVICE}", decode(said_by(1, address(1))).additional
    messages = [
        Message(True, answers=(Pointer(SERVICE, NAME, 120),), additional=(Text(NAME, bad, 120),)),
        # Texts of names that are not of the service.
        Message(
            True,
            answers=(Pointer(SERVICE, other, 120),),
            additional=texts,
        ),
        Message(
            True,
            answers=(Pointer("_http._tcp.local", NAME, 1),),
            additional=texts,
        ),
    ]
    for message in messages:
        assert node.handle(Packet(encode(message)), 0.5) == []


def test_networks_do_not_see_one_another() -> None:
    node = machine(service="_p2p-0123456789abcdef._udp.local")
    node.handle(OwnAddresses((address(0),)), 0.0)
    assert node.handle(Packet(said_by(1, address(1))), 0.5) == []
    node.handle(Packet(QUERY), 2.0)
    assert all(not decode(e.data).response for e in node.handle(None, 2.9) if isinstance(e, Multicast))


def test_a_flood_of_made_up_peers_is_cut() -> None:
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    told = [
        effect
        for n in range(1, 180)
        for effect in node.handle(Packet(said_by(n, address(n))), 0.5)
        if isinstance(effect, Found)
    ]
    assert FOUND_AT_ONCE <= len(told) <= FOUND_AT_ONCE + 5
    assert node.dropped >= 100


def test_a_flood_of_packets_is_not_looked_at() -> None:
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    for _ in range(3 * PACKETS_A_SECOND):
        node.handle(Packet(b"noise"), 0.5)
    assert node.malformed == PACKETS_A_SECOND
    assert node.dropped == 2 * PACKETS_A_SECOND


def test_leaving_takes_the_records_back_and_ends_it() -> None:
    node = machine()
    assert node.handle(Leave(), 0.0) == []
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    (goodbye,) = node.handle(Leave(), 0.5)
    assert [record.ttl for record in decode(goodbye.data).answers] == [0]
    assert node.deadline is None
    assert node.handle(Packet(QUERY), 5.0) == []


@given(st.lists(st.tuples(st.binary(max_size=80), st.floats(0, 3))), st.binary(max_size=60))
def test_noise_harms_nobody(packets: list[tuple[bytes, float]], strings: bytes) -> None:
    node = machine()
    node.handle(OwnAddresses((address(0),)), 0.0)
    now = 0.0
    shaped = encode(
        Message(
            True, answers=(Pointer(SERVICE, NAME, 1),), additional=(Text(NAME, (b"dnsaddr=" + strings,), 1),)
        )
    )
    for data, gap in [*packets, (shaped, 0.1)]:
        now += gap
        assert all(isinstance(e, Multicast | Found) for e in node.handle(Packet(data), now))
        assert node.deadline is not None and node.deadline > now
