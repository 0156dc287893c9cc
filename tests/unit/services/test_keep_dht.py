"""The DHT on hosts: two and more nodes over streams in memory, and peers that misbehave on theirs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from nacl.signing import SigningKey
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.interfaces.host import Accept, StreamReceiver
from swarmnode.protocols.kademlia import vocabulary as v
from swarmnode.protocols.kademlia.calls import RPC_SECONDS
from swarmnode.protocols.kademlia.messages import Kind, Message, decode, encode
from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.services import dht_streams as ds
from swarmnode.services.keep_dht import MAX_INBOUND_PER_PEER, Dht
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo
from swarmnode.values.peer_id import peer_id

PROTOCOL = "/swarmnode/kad/1"
KEY = "/swarmnode/test"
PING = encode(Message(Kind.PING))


class Pipe:
    """One end of a stream in memory: what is written arrives in the next turn of the clock."""

    def __init__(self, clock: Clock, peer: str, link: LinkInfo) -> None:
        self.clock, self.peer, self.link, self.protocol = clock, peer, link, PROTOCOL
        self.other: Pipe | None = None
        self.receiver: StreamReceiver | None = None
        self.written, self.waiting = b"", 0
        self.ends, self.over = 0, False

    def _later(self, name: str, *args: Any) -> None:
        other = self.other
        if other is not None:
            self.clock.callLater(0.001, lambda: other.take(name, *args))

    def take(self, name: str, *args: Any) -> None:
        if self.receiver is None or self.over:
            return
        if name == "lost":
            self.over = True
        getattr(self.receiver, name)(*args)

    def write(self, data: bytes) -> None:
        if not self.over and not self.ends:
            self.written += data
            self._later("received", data)

    def end(self) -> None:
        if not self.ends and not self.over:
            self.ends = 1
            self._later("ended")
            if self.other is not None and self.other.ends:
                for pipe in (self, self.other):
                    self.clock.callLater(0.002, pipe.take, "lost", None)

    def reset(self) -> None:
        if not self.over:
            error = Unavailable("The stream was reset", code="stream_reset")
            self._later("lost", error)
            self.take("lost", error)

    def pause(self) -> None:
        raise AssertionError("nothing here pauses")

    resume = pause


class MemoryHost:
    """A host whose peers are other hosts of the same world."""

    def __init__(self, world: World, number: int) -> None:
        self.key = SigningKey(bytes([number]) * 32)
        self.peer_id = peer_id(bytes(self.key.verify_key))
        self.address = Multiaddr.parse(f"/ip4/10.0.0.{number}/tcp/8810")
        self.world = world
        self.takers: dict[str, Accept] = {}
        self.connected: list[str] = []
        self.weights: dict[str, float] = {}
        self.watchers: list[Any] = []
        self.pipes: list[Pipe] = []
        self.dials = 0
        self.deaf = False

    def addresses(self) -> tuple[Multiaddr, ...]:
        return (self.address,)

    def serve(self, protocol: str, accept: Accept) -> None:
        self.takers[protocol] = accept

    def unserve(self, protocol: str) -> None:
        del self.takers[protocol]

    def peers(self) -> tuple[str, ...]:
        return tuple(self.connected)

    def watch(self, watcher: Any) -> None:
        self.watchers.append(watcher)

    def weigh(self, peer: str, tag: str, weight: float) -> None:
        assert tag == "dht"
        self.weights[peer] = weight

    def link(self, peer: str) -> LinkInfo:
        return LinkInfo(1, peer, self.world.hosts[peer].address, self.address, False, "memory", 0.0)

    def links(self, peer: str) -> tuple[LinkInfo, ...]:
        return (self.link(peer),) if peer in self.connected else ()

    def connect(self, peer: str, addresses: Sequence[Multiaddr] = ()) -> Deferred[str]:
        self.dials += 1
        other = self.world.hosts.get(peer)
        if other is None or other.address not in addresses:
            return fail(Unavailable("Nobody answers", code="unreachable"))
        self.world.join(self, other)
        return succeed(peer)

    def open(self, peer: str, protocols: Sequence[str], receiver: StreamReceiver) -> Deferred[Pipe]:
        assert list(protocols) == [PROTOCOL]
        if peer not in self.connected:
            return fail(Unavailable(f"{peer} is not connected and has no address", code="unreachable"))
        if self.deaf:
            return Deferred()
        other = self.world.hosts[peer]
        here, there = (
            Pipe(self.world.clock, peer, self.link(peer)),
            Pipe(self.world.clock, self.peer_id, other.link(self.peer_id)),
        )
        here.other, there.other, here.receiver = there, here, receiver
        self.pipes.append(here)
        try:
            there.receiver = other.takers[PROTOCOL](there)  # type: ignore[arg-type]
        except (KeyError, SwarmnodeError) as error:
            refusal = Refused(f"Nobody takes it: {error}", code="refused")
            self.world.clock.callLater(0.001, here.take, "lost", refusal)
        return succeed(here)


class World:
    """Hosts, each with its DHT, on one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.hosts: dict[str, MemoryHost] = {}
        self.dhts: dict[str, Dht] = {}
        self.penalised: list[tuple[str, SwarmnodeError]] = []
        self.broken: list[SwarmnodeError] = []

    def host(self) -> MemoryHost:
        host = MemoryHost(self, len(self.hosts) + 1)
        self.hosts[host.peer_id] = host
        return host

    def node(self, *, server: bool = True) -> Dht:
        host = self.host()
        book: dict[str, tuple[Multiaddr, ...]] = {}
        dht = Dht(
            host,  # type: ignore[arg-type]
            self.clock,
            random.Random(len(self.hosts)),
            lambda: 1_700_000_000 + self.clock.seconds(),
            PROTOCOL,
            addresses_of=lambda peer: book.get(peer) or self.seen(host, peer),
            add_addresses=lambda peer, addresses: book.update({peer: tuple(addresses)}),
            public_key=bytes(host.key.verify_key),
            sign=lambda data: host.key.sign(data).signature,
            server=server,
            penalise=lambda peer, fault: self.penalised.append((peer, fault)),
            failed=self.broken.append,
        )
        dht.start()
        self.dhts[host.peer_id] = dht
        return dht

    def seen(self, host: MemoryHost, peer: str) -> tuple[Multiaddr, ...]:
        """Addresses that connections have proven."""
        return (self.hosts[peer].address,) if peer in host.connected else ()

    def join(self, one: MemoryHost, other: MemoryHost) -> None:
        """They connect, and are identified a moment later."""
        for here, there in ((one, other), (other, one)):
            if there.peer_id not in here.connected:
                here.connected.append(there.peer_id)
                for watcher in here.watchers:
                    watcher.peer_connected(there.peer_id, here.link(there.peer_id))
                if here.peer_id in self.dhts:
                    self.clock.callLater(0.01, self.identify, here, there)

    def identify(self, here: MemoryHost, there: MemoryHost) -> None:
        self.dhts[here.peer_id].identified(there.peer_id, tuple(there.takers))

    def run(self, seconds: float = 5.0, step: float = 0.001) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)


def host_of(dht: Dht) -> MemoryHost:
    return dht._host  # type: ignore[return-value]


def got(world: World, deferred: Deferred[Any], seconds: float = 3.0) -> Any:
    outcome: list[Any] = []
    deferred.addBoth(outcome.append)
    for _ in range(round(seconds / 0.01)):
        if outcome:
            break
        world.clock.advance(0.01)
    assert outcome, "no result in time"
    return getattr(outcome[0], "value", outcome[0])


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def line(world: World) -> list[Dht]:
    """Eight nodes, each connected with the next."""
    nodes = [world.node() for _ in range(8)]
    for one, other in zip(nodes, nodes[1:], strict=False):
        world.join(host_of(one), host_of(other))
        world.run(0.1, 0.01)
    for node in nodes:
        node.refresh()
    world.run(2.0, 0.01)
    return nodes


def test_put_get_provide_and_find_over_streams(world: World, line: list[Dht]) -> None:
    stored = got(world, line[0].put(KEY, b"hello"))
    assert len(stored.holders) == 7
    found = got(world, line[7].get(KEY))
    assert (found.payload, found.signer) == (b"hello", host_of(line[0]).peer_id)
    assert len(got(world, line[3].provide(b"k")).holders) == 7
    (provider,) = got(world, line[6].find_providers(b"k", 1))
    assert provider.peer == host_of(line[3]).peer_id and provider.addresses == host_of(line[3]).addresses()
    peer = got(world, line[0].find_peer(host_of(line[7]).peer_id))
    assert host_of(line[7]).address in peer.addresses
    assert line[0].facts().peers == 7 and line[0].facts().records == 1 and not world.broken


def test_all_streams_are_ended_in_order_and_none_is_left(world: World, line: list[Dht]) -> None:
    got(world, line[0].put(KEY, b"hello"))
    got(world, line[1].provide(b"k"))
    world.run(2.0, 0.01)
    pipes = [pipe for node in line for pipe in host_of(node).pipes]
    assert len(pipes) > 50
    assert all(pipe.over and pipe.ends and pipe.other is not None and pipe.other.ends for pipe in pipes)
    assert not any(node._inbound or node._outbound or node._asking for node in line)


def test_failures_come_in_words(world: World, line: list[Dht]) -> None:
    for deferred, kind in (
        (line[0].get("/swarmnode/none"), Unavailable),
        (line[0].get("/ipns/none"), Refused),
        (line[0].put("/pk/x", b""), Refused),
        (line[0].find_peer("nobody"), Refused),
        (line[0].find_providers(b"k", 0), Refused),
    ):
        error = got(world, deferred)
        assert isinstance(error, kind) and error.message and error.hint


def test_a_client_asks_but_is_not_asked(world: World, line: list[Dht]) -> None:
    client = world.node(server=False)
    world.join(host_of(client), host_of(line[0]))
    world.run(1.0, 0.01)
    got(world, line[2].put(KEY, b"x"))
    assert got(world, client.get(KEY)).payload == b"x"
    name = host_of(client).peer_id
    assert all(name not in node._machine.table for node in line)
    assert client.facts().peers == 8 and not client.facts().server


def test_table_peers_weigh_and_lose_their_weight_at_the_end(world: World, line: list[Dht]) -> None:
    host = host_of(line[0])
    assert set(host.weights.values()) == {1.0} and len(host.weights) == 7
    line[0].stop()
    assert set(host.weights.values()) == {0.0}
    assert PROTOCOL not in host.takers


def test_stopping_fails_what_is_under_way_and_leaves_no_timer(world: World, line: list[Dht]) -> None:
    pending = line[0].get(KEY)
    line[0].stop()
    assert got(world, pending).code == "dht_stopped"
    assert got(world, line[0].get(KEY)).code == "dht_stopped"
    for node in line[1:]:
        node.stop()
    world.run(0.1)
    assert not world.clock.getDelayedCalls()


def test_a_cancelled_query_resets_its_streams(world: World, line: list[Dht]) -> None:
    pending = line[0].get(KEY)
    pending.addErrback(lambda _: None)
    asked = len(line[0]._outbound)
    assert asked
    pending.cancel()
    assert not line[0]._outbound and line[0].facts().queries == 0


def test_a_stream_that_never_opens_is_given_up(world: World, line: list[Dht]) -> None:
    host_of(line[0]).deaf = True
    error = got(world, line[0].get(KEY), seconds=RPC_SECONDS + 1)
    assert isinstance(error, Unavailable) and not line[0]._outbound


def test_a_peer_that_broke_the_rules_leaves_the_table(world: World, line: list[Dht]) -> None:
    one, other, third = (host_of(node).peer_id for node in line[1:4])
    line[0].peer_disconnected(one, None)
    line[0].peer_disconnected(other, PeerFault("It lied", code="lied"))
    line[0].identified(third, ("/other/1",))
    assert one in line[0]._machine.table
    assert other not in line[0]._machine.table and third not in line[0]._machine.table


def test_being_identified_again_is_no_sign_of_life(world: World, line: list[Dht]) -> None:
    peer = host_of(line[1]).peer_id
    entry = line[0]._machine.table.get(peer)
    assert entry is not None
    seen, entry.failures = entry.seen, 1
    world.run(0.1)
    line[0].identified(peer, (PROTOCOL,))
    assert (entry.seen, entry.failures) == (seen, 1)
    line[0].peer_disconnected(peer, None)
    line[0].identified(peer, (PROTOCOL,))
    assert entry.seen > seen and entry.failures == 0


def test_of_hearsay_a_few_addresses_are_dialled_and_never_our_own(world: World) -> None:
    node, dialled = world.node(), []
    stranger = "12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK"
    host_of(node).connect = lambda peer, addresses: dialled.append(tuple(addresses)) or Deferred()  # type: ignore
    told = (host_of(node).address, *(Multiaddr.parse(f"/ip4/10.0.1.{n}/tcp/1") for n in range(20)))
    node._ask(v.Rpc(1, stranger, told, PING))
    assert len(dialled[0]) == 8 and host_of(node).address not in dialled[0]


# Peers that speak as they like.


class Stranger:
    """A host without a DHT that opens a stream to one, or takes those that are opened."""

    def __init__(self, world: World, node: Dht) -> None:
        self.world, self.host = world, world.host()
        self.frames = Frames(1 << 20, "test")
        self.answers: list[bytes] = []
        self.was_ended = False
        self.error: SwarmnodeError | None | str = "open"
        world.join(self.host, host_of(node))
        self.pipe: Pipe | None = None
        self.node = node

    def open(self) -> Pipe:
        opened: list[Pipe] = []
        self.host.open(host_of(self.node).peer_id, [PROTOCOL], self).addCallback(opened.append)
        self.pipe = opened[0]
        return self.pipe

    def received(self, data: bytes) -> None:
        self.answers += self.frames.feed(data)

    def ended(self) -> None:
        self.was_ended = True

    def lost(self, error: SwarmnodeError | None) -> None:
        self.error = error

    def drained(self) -> None:
        pass


def test_several_requests_come_on_one_stream(world: World, line: list[Dht]) -> None:
    stranger = Stranger(world, line[0])
    pipe = stranger.open()
    get = framed(encode(Message(Kind.GET_VALUE, KEY.encode())))
    pipe.write(framed(PING) + get[:5])
    world.run(0.01)
    assert [decode(answer).kind for answer in stranger.answers] == [Kind.PING]
    pipe.write(get[5:] + framed(PING))
    pipe.end()
    world.run(0.02)
    assert [decode(answer).kind for answer in stranger.answers] == [Kind.PING, Kind.GET_VALUE, Kind.PING]
    assert stranger.was_ended and stranger.error is None


@pytest.mark.parametrize("data", [framed(b"\xff\xff"), b"\xff\xff\xff\x7f", b"\xff" * 12])
def test_garbage_resets_the_stream_and_is_penalised(world: World, line: list[Dht], data: bytes) -> None:
    stranger = Stranger(world, line[0])
    stranger.open().write(data)
    world.run(0.01)
    assert isinstance(stranger.error, Unavailable) and stranger.answers == []
    assert [peer for peer, _ in world.penalised] == [stranger.host.peer_id]
    assert not line[0]._asking and not line[0]._inbound


def test_an_idle_stream_is_reset(world: World, line: list[Dht]) -> None:
    stranger = Stranger(world, line[0])
    pipe = stranger.open()
    world.run(ds.IDLE_SECONDS - 1, 0.5)
    pipe.write(framed(PING))
    world.run(ds.IDLE_SECONDS - 1, 0.5)
    assert stranger.error == "open" and len(stranger.answers) == 1
    world.run(2, 0.5)
    assert isinstance(stranger.error, Unavailable)


def test_one_peer_opens_so_many_streams_and_no_more(world: World, line: list[Dht]) -> None:
    stranger = Stranger(world, line[0])
    for _ in range(MAX_INBOUND_PER_PEER):
        stranger.open()
    world.run(0.01)
    assert stranger.error == "open"
    stranger.open()
    world.run(0.01)
    assert isinstance(stranger.error, Refused)


def test_a_peer_that_does_not_read_its_answers_is_cut_off(world: World, line: list[Dht]) -> None:
    stranger = Stranger(world, line[0])
    pipe = stranger.open()
    assert pipe.other is not None
    pipe.other.waiting = ds.MAX_UNREAD_BYTES + 1
    pipe.write(framed(PING))
    world.run(0.01)
    assert isinstance(stranger.error, Unavailable)


Take = Callable[[Pipe, bytes], None]


def never(pipe: Pipe) -> None:
    """The stream is not ended."""


def serving(world: World, node: Dht, take: Take, ended: Callable[[Pipe], None] = never) -> Stranger:
    """A stranger that says it serves the DHT and answers each stream in its own way."""
    stranger = Stranger(world, node)

    class Taker(Stranger):
        def __init__(self, pipe: Pipe) -> None:
            self.pipe, self.error = pipe, "open"

        def received(self, data: bytes) -> None:
            assert self.pipe is not None
            take(self.pipe, data)

        def ended(self) -> None:
            assert self.pipe is not None
            ended(self.pipe)

    stranger.host.takers[PROTOCOL] = Taker  # type: ignore[assignment]
    return stranger


@pytest.mark.parametrize(
    "take",
    [
        lambda pipe, data: pipe.reset(),
        lambda pipe, data: pipe.end(),
        lambda pipe, data: pipe.write(b"\xff" * 20),
        lambda pipe, data: pipe.write(framed(b"\xff\xff")),
        lambda pipe, data: pipe.write(framed(PING)[:1]),
    ],
    ids=["reset", "ended", "endless length", "garbage", "half"],
)
def test_a_bad_answer_fails_the_request_and_nothing_else(world: World, take: Take) -> None:
    node = world.node()
    stranger = serving(world, node, take)
    world.run(0.011)
    assert node.facts().peers == 1
    error = got(world, node.get(KEY), seconds=RPC_SECONDS + 1)
    assert isinstance(error, Unavailable) and error.code == "record_not_found"
    world.run(RPC_SECONDS, 0.1)
    assert not node._outbound and not world.broken
    assert all(pipe.over for pipe in host_of(node).pipes)
    assert all(peer == stranger.host.peer_id for peer, _ in world.penalised)


def test_a_provider_record_needs_no_answer_but_bears_one(world: World) -> None:
    """libp2p's kad-dht does not say; js and go send none, others echo."""
    for echo in (False, True):
        node = world.node()

        def take(pipe: Pipe, data: bytes, echo: bool = echo) -> None:
            message = decode(Frames(1 << 20, "test").feed(data)[0])
            if message.kind is not Kind.ADD_PROVIDER:
                pipe.write(framed(encode(Message(message.kind, message.key))))
            elif echo:
                pipe.write(data)

        stranger = serving(world, node, take, ended=lambda pipe: pipe.end())
        world.run(0.1)
        assert got(world, node.provide(b"k")) == v.Stored((stranger.host.peer_id,))
        world.run(0.1)
        assert all(pipe.over for pipe in host_of(node).pipes)


def test_a_stream_that_the_peer_does_not_end_is_reset_after_a_while(world: World) -> None:
    node = world.node()

    def take(pipe: Pipe, data: bytes) -> None:
        message = decode(Frames(1 << 20, "test").feed(data)[0])
        pipe.write(framed(encode(Message(message.kind, message.key))))

    serving(world, node, take)
    world.run(0.1)
    pipes = host_of(node).pipes
    assert pipes and not pipes[0].over and pipes[0].ends
    world.run(ds.LINGER_SECONDS, 0.1)
    assert pipes[0].over
