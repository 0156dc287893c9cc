"""Identify between fake hosts: who learns what of whom, and what a liar gets."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from swarmnode.protocols.identify.messages import (
    PROTOCOL,
    PUSH_PROTOCOL,
    Identification,
    encode_identification,
)
from swarmnode.protocols.identify.peer_record import open_record, seal_record
from swarmnode.services.identify_peers import LOOK_SECONDS, MAX_PUSHES, PUSH_DELAY, IdentifyPeers
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.services.read_one_message import MESSAGE_SECONDS
from swarmnode.testing.fake_host import FakeNetwork, FakeStream
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import encode_public_key, public_key_of


class Node:
    def __init__(self, network: FakeNetwork, clock: Clock, *addresses: str) -> None:
        self.host = network.host(*addresses)
        self.peer = self.host.peer_id
        self.book = PeerBook(self.peer, clock.seconds, self.host.addresses)
        self.host.watch(self.book)
        self.faults: list[tuple[str, str]] = []
        self.identify = IdentifyPeers(
            self.host, self.book, clock, self.host.signer, lambda: 1e9 + clock.seconds(), "1.2.3", self.blame
        )

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        self.faults.append((peer, error.code))


class Silent:
    """Takes streams and does nothing."""

    def __init__(self) -> None:
        self.got, self.over = b"", False

    def received(self, data: bytes) -> None:
        self.got += data

    def ended(self) -> None: ...

    def drained(self) -> None: ...

    def lost(self, error: Any) -> None:
        self.over = True


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.alice = Node(self.network, self.clock, "/ip4/10.0.0.1/tcp/1", "/ip4/100.64.0.1/tcp/1")
        self.bob = Node(self.network, self.clock, "/ip4/10.0.0.2/tcp/2")

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            self.clock.advance(0.01)

    def join(self, *, start: bool = True) -> None:
        if start:
            self.alice.identify.start()
            self.bob.identify.start()
        self.alice.host.connect(self.bob.peer, self.bob.host.addresses())
        self.run(0.3)

    def liar(self, answer: Identification | bytes) -> None:
        """Bob answers this in place of the truth."""
        data = answer if isinstance(answer, bytes) else encode_identification(answer)

        def accept(stream: Any) -> Silent:
            stream.write(data)
            stream.end()
            return Silent()

        self.bob.host.serve(PROTOCOL, accept)
        self.alice.identify.start()
        self.join(start=False)


def test_both_sides_learn_all_about_each_other() -> None:
    bench = Bench()
    bench.bob.host.serve("/swarmnode/kad/1", lambda stream: Silent())
    bench.join()
    facts = bench.alice.book.facts(bench.bob.peer)
    assert facts is not None
    assert facts.protocols == (PROTOCOL, PUSH_PROTOCOL, "/swarmnode/kad/1")
    assert (facts.agent, facts.protocol_version) == ("swarmnode/1.2.3", "swarmnode/1")
    assert [(one.address, one.certified) for one in facts.addresses] == [(bench.bob.host.listening[0], True)]
    assert open_record(facts.record).peer == bench.bob.peer
    assert set(bench.bob.book.addresses(bench.alice.peer)) == set(bench.alice.host.listening)
    assert bench.alice.faults == bench.bob.faults == []
    assert bench.alice.host.streams == bench.bob.host.streams == []


def test_a_peer_connected_before_the_start_is_asked_too() -> None:
    bench = Bench()
    bench.bob.identify.start()
    bench.join(start=False)
    bench.alice.identify.start()
    bench.run(0.3)
    facts = bench.alice.book.facts(bench.bob.peer)
    assert facts is not None and facts.agent == "swarmnode/1.2.3"


def test_a_change_is_pushed_once_after_a_second() -> None:
    bench = Bench()
    bench.join()
    new = Multiaddr.parse("/ip4/10.0.0.77/tcp/2")
    bench.bob.host.listening = (new,)
    bench.bob.identify.changed()
    bench.bob.host.serve("/x/1", lambda stream: Silent())
    bench.bob.identify.changed()
    bench.run(PUSH_DELAY - 0.1)
    assert new not in bench.alice.book.addresses(bench.bob.peer)
    bench.run(0.3)
    facts = bench.alice.book.facts(bench.bob.peer)
    assert facts is not None
    # The first address worked, so it is kept behind the one that the peer vouches for now.
    assert set(bench.alice.book.addresses(bench.bob.peer)) == {new, Multiaddr.parse("/ip4/10.0.0.2/tcp/2")}
    assert "/x/1" in facts.protocols
    assert open_record(facts.record).addresses == (new,)
    assert bench.alice.faults == []


def test_a_change_that_nobody_told_of_is_seen() -> None:
    bench = Bench()
    bench.join()
    bench.bob.host.listening = (Multiaddr.parse("/ip4/10.0.0.77/tcp/2"),)
    bench.run(LOOK_SECONDS + PUSH_DELAY + 0.2)
    assert bench.bob.host.listening[0] in bench.alice.book.addresses(bench.bob.peer)
    assert all(stream.protocol != PUSH_PROTOCOL for stream in bench.alice.host.streams)


def test_nothing_is_pushed_without_a_change_or_to_peers_that_take_none() -> None:
    bench = Bench()
    bench.join()
    bench.bob.identify.changed()
    opened: list[Any] = []
    bench.bob.host.open = lambda *args: opened.append(args)  # type: ignore[method-assign,assignment,return-value]
    bench.run(LOOK_SECONDS * 3)
    assert opened == []
    bench.bob.book.identified(bench.alice.peer, Identification(protocols=("/other",)))
    bench.bob.host.listening = ()
    bench.run(LOOK_SECONDS * 2)
    assert opened == []


def test_a_foreign_key_ends_the_connection() -> None:
    bench = Bench()
    key = public_key_of(bench.alice.peer)
    bench.liar(Identification(public_key=encode_public_key(key), agent="liar"))
    assert bench.alice.faults == [(bench.bob.peer, "wrong_identity")]
    assert bench.alice.host.peers() == ()
    facts = bench.alice.book.facts(bench.bob.peer)
    assert facts is not None and facts.agent == ""


def test_a_foreign_or_forged_record_ends_the_connection() -> None:
    for index, expected in ((0, "wrong_identity"), (1, "bad_signature")):
        bench = Bench()
        records = (
            seal_record(bench.alice.host.signer, 1, ()),
            seal_record(bench.bob.host.signer, 1, ())[:-1] + b"x",
        )
        bench.liar(Identification(record=records[index]))
        assert bench.alice.faults == [(bench.bob.peer, expected)]
        assert bench.alice.host.peers() == ()


def test_noise_is_penalised_and_nothing_is_believed() -> None:
    bench = Bench()
    bench.liar(b"\x05noise")
    assert bench.alice.faults == [(bench.bob.peer, "bad_message")]
    facts = bench.alice.book.facts(bench.bob.peer)
    assert facts is not None and facts.protocols == ()


def test_a_peer_that_says_nothing_is_given_up_and_not_blamed() -> None:
    bench = Bench()
    bench.bob.host.serve(PROTOCOL, lambda stream: Silent())
    bench.alice.identify.start()
    bench.join(start=False)
    assert len(bench.alice.host.streams) == 1
    bench.run(MESSAGE_SECONDS)
    assert bench.alice.host.streams == [] and bench.alice.faults == []


def open_to(bench: Bench, protocol: str) -> FakeStream:
    opened: list[FakeStream] = []
    bench.bob.host.open(bench.alice.peer, (protocol,), Silent()).addCallback(opened.append)
    return opened[0]


def test_a_peer_that_keeps_its_end_open_has_the_stream_reset() -> None:
    bench = Bench()
    bench.join()
    stream = open_to(bench, PROTOCOL)
    bench.run(MESSAGE_SECONDS - 1)
    assert stream in bench.bob.host.streams
    bench.run(2)
    assert stream not in bench.bob.host.streams and bench.alice.host.streams == []


def test_pushes_without_end_are_refused() -> None:
    bench = Bench()
    bench.join()
    for n in range(MAX_PUSHES + 2):
        stream = open_to(bench, PUSH_PROTOCOL)
        stream.write(encode_identification(Identification(agent=f"agent {n}")))
        stream.end()
        bench.run(0.1)
    facts = bench.alice.book.facts(bench.bob.peer)
    assert facts is not None and facts.agent == f"agent {MAX_PUSHES - 1}"
    assert bench.alice.faults == [(bench.bob.peer, "push_flood")] * 2


def test_where_others_see_us_is_put_to_the_vote() -> None:
    bench = Bench()
    bench.alice.host.listening = (Multiaddr.parse("/ip4/9.9.9.9/tcp/1"),)
    bench.alice.identify.start()
    for n in range(3):
        other = Node(bench.network, bench.clock, f"/ip4/1.1.{n}.1/tcp/1")
        other.identify.start()
        bench.alice.host.connect(other.peer, other.host.addresses())
    bench.run(0.5)
    (seen,) = bench.alice.identify.seen_as()
    assert (seen.ip, seen.votes, seen.voters) == ("9.9.9.9", 3, 3)


def test_stopping_leaves_no_timer_and_no_answer() -> None:
    bench = Bench()
    bench.join()
    bench.bob.host.listening = ()
    bench.bob.identify.changed()
    bench.alice.identify.stop()
    bench.bob.identify.stop()
    assert bench.clock.getDelayedCalls() == []
    assert bench.alice.host.served() == frozenset()


def test_our_record_is_newer_after_each_change_and_each_start() -> None:
    bench = Bench()
    first = open_record(bench.alice.identify.record())
    assert bench.alice.identify.record() == first.envelope
    bench.alice.host.listening = (Multiaddr.parse("/ip4/10.0.0.5/tcp/1"),)
    second = open_record(bench.alice.identify.record())
    assert second.sequence > first.sequence >= 1e12
    assert second.addresses == bench.alice.host.listening
