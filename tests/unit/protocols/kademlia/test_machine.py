"""The machine alone: requests and answers, time-outs, refreshing, bounds, and hostile input."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.kademlia import machine as mc
from swarmnode.protocols.kademlia import messages as m
from swarmnode.protocols.kademlia import vocabulary as v
from swarmnode.protocols.kademlia.calls import RPC_SECONDS
from swarmnode.protocols.kademlia.records import signed_record
from swarmnode.protocols.kademlia.searching import LOOKUP_SECONDS, MAX_QUERIES, QUERY_SECONDS
from swarmnode.protocols.kademlia.serving import MAX_REQUESTS, WINDOW_SECONDS
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import encode_public_key, peer_id, peer_id_bytes

STAMP = 1_700_000_000
KEY = b"/swarmnode/test"
OURS, THEIRS = SigningKey(b"o" * 32), SigningKey(b"t" * 32)
OWN = peer_id(bytes(OURS.verify_key))
PEERS = [peer_id(bytes([n]) * 32) for n in range(40)]
ADDRESS = Multiaddr.parse("/ip4/10.0.0.1/tcp/8810")
LATER = Unavailable("not now", code="later")


def value(payload: bytes, stamp: int = STAMP, key: bytes = KEY) -> bytes:
    public = bytes(THEIRS.verify_key)
    return signed_record(key, payload, stamp, public, lambda data: THEIRS.sign(data).signature)


class Bench:
    """The machine, its clock, and what it asked for."""

    def __init__(self, peers: int = 0) -> None:
        self.now = 100.0
        self.book = dict.fromkeys((OWN, *PEERS), (ADDRESS,))
        self.machine = mc.Kademlia(
            OWN,
            rng=random.Random(1),
            stamp=lambda: STAMP + self.now - 100.0,
            addresses_of=lambda peer: self.book.get(peer, ()),
            public_key=bytes(OURS.verify_key),
            sign=lambda data: OURS.sign(data).signature,
        )
        for peer in PEERS[:peers]:
            self.give(v.PeerServes(peer, ADDRESS))
        if peers:
            self.settle()

    def give(self, event: Any | None) -> list[Any]:
        return self.machine.handle(event, self.now)

    def settle(self) -> None:
        """Let the refresh that follows the first peers fail to find anybody."""
        effects = self.give(None)
        pending = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, *range(11, 60)]
        for rpc in pending:
            self.give(v.Reply(rpc, m.encode(m.Message(m.Kind.FIND_NODE)), ADDRESS))
        assert effects is not None

    def ask(self, message: m.Message | bytes, peer: str = PEERS[0]) -> list[Any]:
        data = message if isinstance(message, bytes) else m.encode(message)
        return self.give(v.Asked(7, peer, data, ADDRESS))

    def answer(self, message: m.Message | bytes, peer: str = PEERS[0]) -> m.Message:
        (effect,) = [e for e in self.ask(message, peer) if isinstance(e, v.Answer)]
        assert effect.request == 7 and effect.data is not None
        return m.decode(effect.data)

    def rejected(self, message: m.Message | bytes, peer: str = PEERS[0]) -> tuple[str, bool]:
        """The code of a rejection, and whether the peer was penalised for it."""
        effects = self.ask(message, peer)
        (reject,) = [e for e in effects if isinstance(e, v.Reject)]
        assert not any(isinstance(e, v.Answer) for e in effects)
        return reject.error.code, any(isinstance(e, v.Penalise) for e in effects)


def rpcs(effects: list[Any]) -> list[v.Rpc]:
    return [effect for effect in effects if isinstance(effect, v.Rpc)]


def result(effects: list[Any]) -> Any:
    (done,) = [effect for effect in effects if isinstance(effect, v.QueryDone)]
    return done.result


# Serving.


def test_ping_is_answered() -> None:
    assert Bench().answer(m.Message(m.Kind.PING)) == m.Message(m.Kind.PING)


def test_find_node_tells_the_nearest_but_not_the_asker_nor_those_without_addresses() -> None:
    bench = Bench(30)
    bench.book[PEERS[4]] = ()
    told = bench.answer(m.Message(m.Kind.FIND_NODE, peer_id_bytes(PEERS[5]))).closer
    assert told[0] == m.PeerEntry(PEERS[5], (ADDRESS,), connected=True)
    assert len(told) >= 19 and not {PEERS[0], PEERS[4], OWN} & {entry.peer for entry in told}


def test_find_node_tells_of_this_node_and_of_peers_that_are_no_servers() -> None:
    bench = Bench()
    for peer in (OWN, PEERS[9]):
        assert [e.peer for e in bench.answer(m.Message(m.Kind.FIND_NODE, peer_id_bytes(peer))).closer] == [
            peer
        ]


def test_a_value_is_stored_and_told() -> None:
    bench = Bench()
    record = m.Record(KEY, value(b"hello"))
    assert bench.answer(m.Message(m.Kind.PUT_VALUE, KEY, record)) == m.Message(m.Kind.PUT_VALUE, KEY, record)
    told = bench.answer(m.Message(m.Kind.GET_VALUE, KEY), PEERS[3]).record
    assert told is not None
    # js-libp2p refuses a record without the time its holder got it.
    assert (told.key, told.value, told.received) == (KEY, record.value, "2023-11-14T22:13:20.000000000Z")


def test_an_older_value_does_not_replace_a_newer_one() -> None:
    bench = Bench()
    for payload, stamp in ((b"new", STAMP), (b"old", STAMP - 5)):
        bench.answer(m.Message(m.Kind.PUT_VALUE, KEY, m.Record(KEY, value(payload, stamp))))
    told = bench.answer(m.Message(m.Kind.GET_VALUE, KEY)).record
    assert told is not None and told.value.endswith(b"new")


def test_a_public_key_record_is_kept_as_libp2p_does() -> None:
    key, raw = b"/pk/" + peer_id_bytes(PEERS[2]), encode_public_key(bytes([2]) * 32)
    bench = Bench()
    bench.answer(m.Message(m.Kind.PUT_VALUE, key, m.Record(key, raw)))
    told = bench.answer(m.Message(m.Kind.GET_VALUE, key)).record
    assert told is not None and told.value == raw


@pytest.mark.parametrize(
    ("message", "code", "penalised"),
    [
        (b"\x08\x63", "bad_dht_message", True),
        (b"\xff\xff", "bad_message", True),
        (m.Message(m.Kind.FIND_NODE), "bad_dht_message", True),
        (m.Message(m.Kind.GET_PROVIDERS), "bad_dht_message", True),
        (m.Message(m.Kind.ADD_PROVIDER), "bad_dht_message", True),
        (m.Message(m.Kind.PUT_VALUE, KEY), "bad_record", True),
        (m.Message(m.Kind.PUT_VALUE, KEY, m.Record(b"/swarmnode/b", value(b"x"))), "bad_record", True),
        (m.Message(m.Kind.PUT_VALUE, KEY, m.Record(KEY, b"x" * 200)), "bad_signature", True),
        (m.Message(m.Kind.PUT_VALUE, KEY, m.Record(KEY, value(b"x", STAMP - 3600))), "stale_record", False),
        (m.Message(m.Kind.PUT_VALUE, b"/ipns/x", m.Record(b"/ipns/x", b"x")), "unknown_namespace", False),
        (m.Message(m.Kind.GET_VALUE, b"/ipns/x"), "unknown_namespace", False),
    ],
)
def test_what_must_not_be_asked_is_rejected_by_name(message: Any, code: str, penalised: bool) -> None:
    bench = Bench(3)
    assert bench.rejected(message) == (code, penalised)
    assert (PEERS[0] in bench.machine.table) is not penalised


def test_a_provider_counts_only_if_it_is_the_sender() -> None:
    bench = Bench()
    both = tuple(m.PeerEntry(peer, (ADDRESS,)) for peer in PEERS[:2])
    effects = bench.ask(m.Message(m.Kind.ADD_PROVIDER, b"k", providers=both))
    assert effects == [v.AddressesLearnt(PEERS[0], (ADDRESS,)), v.Answer(7, None)]
    assert [e.peer for e in bench.answer(m.Message(m.Kind.GET_PROVIDERS, b"k")).providers] == [PEERS[0]]


def test_a_peer_that_asks_without_pause_is_slowed_down() -> None:
    bench = Bench()
    ping = m.Message(m.Kind.PING)
    for _ in range(MAX_REQUESTS):
        bench.answer(ping)
    assert bench.rejected(ping) == ("dht_too_fast", False)
    assert bench.answer(ping, PEERS[1])
    bench.now += WINDOW_SECONDS
    assert bench.answer(ping)


# Asking.


def test_the_first_peer_brings_a_self_lookup_at_once() -> None:
    bench = Bench()
    effects = bench.give(v.PeerServes(PEERS[0], ADDRESS))
    assert effects[0] == v.Kept(PEERS[0], True)
    (rpc,) = rpcs(effects)
    assert m.decode(rpc.data) == m.Message(m.Kind.FIND_NODE, peer_id_bytes(OWN))


def test_nobody_to_ask_is_said_in_words() -> None:
    bench = Bench()
    for event in (v.GetValue(1, KEY), v.PutValue(1, KEY, b"x"), v.FindPeer(1, PEERS[0]), v.Provide(1, b"k")):
        bench.book.clear()
        error = result(bench.give(event))
        assert isinstance(error, Unavailable) and error.code == "no_dht_peers"


def test_a_value_put_before_there_was_a_peer_is_published_when_there_is_one() -> None:
    bench = Bench()
    bench.give(v.PutValue(1, KEY, b"x"))
    for rpc in rpcs(bench.give(v.PeerServes(PEERS[0], ADDRESS))):
        bench.give(v.Reply(rpc.rpc, m.encode(m.Message(m.Kind.FIND_NODE)), ADDRESS))
    kinds = []
    for _ in range(20):
        deadline = bench.machine.deadline
        assert deadline is not None
        bench.now = max(bench.now, deadline)
        todo = rpcs(bench.give(None))
        while todo:
            rpc = todo.pop()
            kinds.append(m.decode(rpc.data).kind)
            todo += rpcs(bench.give(v.Reply(rpc.rpc, m.encode(m.Message(kinds[-1])), ADDRESS)))
    assert m.Kind.PUT_VALUE in kinds


def test_a_local_value_is_found_although_nobody_else_is_there() -> None:
    bench = Bench()
    bench.ask(m.Message(m.Kind.PUT_VALUE, KEY, m.Record(KEY, value(b"mine"))))
    found = result(bench.give(v.GetValue(1, KEY)))
    assert isinstance(found, v.ValueFound) and found.payload == b"mine"


def test_a_request_that_is_not_answered_is_given_up_and_counts_against_the_peer() -> None:
    bench = Bench(1)
    (rpc,) = rpcs(bench.give(v.GetValue(1, KEY)))
    bench.now += RPC_SECONDS
    effects = bench.give(None)
    assert v.CancelRpc(rpc.rpc) in effects and isinstance(result(effects), Unavailable)
    entry = bench.machine.table.get(PEERS[0])
    assert entry is not None and entry.failures == 1
    assert bench.give(v.Reply(rpc.rpc, m.encode(m.Message(m.Kind.GET_VALUE)))) == [], "too late"


def test_garbage_for_an_answer_is_penalised_and_the_peer_left_out() -> None:
    for data in (b"\xff", m.encode(m.Message(m.Kind.PING)), b"\x08\x63"):
        bench = Bench(1)
        (rpc,) = rpcs(bench.give(v.GetValue(1, KEY)))
        effects = bench.give(v.Reply(rpc.rpc, data, ADDRESS))
        assert [e.peer for e in effects if isinstance(e, v.Penalise)] == [PEERS[0]]
        assert v.Kept(PEERS[0], False) in effects and PEERS[0] not in bench.machine.table
        assert isinstance(result(effects), Unavailable)


def test_a_forged_record_is_penalised_but_an_expired_one_is_not() -> None:
    for content, penalised in ((b"x" * 150, True), (value(b"x", STAMP - 4000), False)):
        bench = Bench(1)
        (rpc,) = rpcs(bench.give(v.GetValue(1, KEY)))
        reply = m.Message(m.Kind.GET_VALUE, KEY, m.Record(KEY, content))
        effects = bench.give(v.Reply(rpc.rpc, m.encode(reply), ADDRESS))
        assert any(isinstance(e, v.Penalise) for e in effects) is penalised
        assert isinstance(result(effects), Unavailable)


def test_a_get_ends_when_five_agree_and_corrects_who_lags_behind() -> None:
    bench = Bench(20)
    asked = rpcs(bench.give(v.GetValue(1, KEY)))
    assert len(asked) == 10
    contents = [value(b"old", STAMP - 9), *[value(b"new")] * 5]
    effects: list[Any] = []
    for rpc, content in zip(asked, contents, strict=False):
        assert not any(isinstance(e, v.QueryDone) for e in effects)
        reply = m.Message(m.Kind.GET_VALUE, KEY, m.Record(KEY, content))
        effects = bench.give(v.Reply(rpc.rpc, m.encode(reply), ADDRESS))
    found = result(effects)
    assert (found.payload, found.agreed) == (b"new", 5)
    (correction,) = rpcs(effects)
    assert correction.peer == asked[0].peer
    assert m.decode(correction.data).record == m.Record(KEY, value(b"new"), "2023-11-14T22:13:20.000000000Z")
    cancelled = {e.rpc for e in effects if isinstance(e, v.CancelRpc)}
    assert cancelled >= {rpc.rpc for rpc in asked[6:]}


def test_add_provider_expects_no_answer() -> None:
    bench = Bench(1)
    (rpc,) = rpcs(bench.give(v.Provide(1, b"k")))
    assert rpc.answered
    effects = bench.give(v.Reply(rpc.rpc, m.encode(m.Message(m.Kind.FIND_NODE)), ADDRESS))
    (tell,) = rpcs(effects)
    assert not tell.answered
    own = m.PeerEntry(OWN, (ADDRESS,))
    assert m.decode(tell.data) == m.Message(m.Kind.ADD_PROVIDER, b"k", providers=(own,))
    assert result(bench.give(v.Reply(tell.rpc, b"", ADDRESS))) == v.Stored((PEERS[0],))


def test_a_query_ends_within_its_minute_whatever_the_peers_do() -> None:
    """Everybody names new peers and keeps silent when told to store."""
    bench, rng = Bench(3), random.Random(9)
    start, done, todo = bench.now, [], rpcs(bench.give(v.PutValue(1, KEY, b"x")))
    while not done:
        for rpc in todo:
            if m.decode(rpc.data).kind is m.Kind.FIND_NODE:
                named = tuple(m.PeerEntry(peer_id(rng.randbytes(32)), (ADDRESS,)) for _ in range(20))
                reply = m.encode(m.Message(m.Kind.FIND_NODE, closer=named))
                done += bench.give(v.Reply(rpc.rpc, reply, ADDRESS))
        bench.now += 0.5
        effects = bench.give(None)
        todo = rpcs(effects + done)
        done = [e for e in effects + done if isinstance(e, v.QueryDone)]
    assert bench.now - start <= QUERY_SECONDS + 0.5
    assert LOOKUP_SECONDS < QUERY_SECONDS


def test_finding_a_peer_ends_with_its_own_answer() -> None:
    bench = Bench(2)
    asked = rpcs(bench.give(v.FindPeer(1, PEERS[30])))
    named = m.PeerEntry(PEERS[30], (ADDRESS,))
    effects = bench.give(
        v.Reply(asked[0].rpc, m.encode(m.Message(m.Kind.FIND_NODE, closer=(named,))), ADDRESS)
    )
    (to_it,) = rpcs(effects)
    assert (to_it.peer, to_it.addresses) == (PEERS[30], (ADDRESS,))
    effects = bench.give(v.Reply(to_it.rpc, m.encode(m.Message(m.Kind.FIND_NODE)), ADDRESS))
    assert result(effects) == v.PeerFound(PEERS[30], (ADDRESS,), confirmed=True)
    assert v.CancelRpc(asked[1].rpc) in effects


def test_hearsay_of_a_peer_is_told_as_such() -> None:
    bench = Bench(1)
    (rpc,) = rpcs(bench.give(v.FindPeer(1, PEERS[30])))
    named = m.PeerEntry(PEERS[30], (ADDRESS,))
    reply = m.encode(m.Message(m.Kind.FIND_NODE, closer=(named,)))
    (to_it,) = rpcs(bench.give(v.Reply(rpc.rpc, reply, ADDRESS)))
    effects = bench.give(v.RpcFailed(to_it.rpc, LATER))
    assert result(effects) == v.PeerFound(PEERS[30], (ADDRESS,), confirmed=False)


@pytest.mark.parametrize(
    "event",
    [
        v.PutValue(1, b"/ipns/x", b""),
        v.PutValue(1, KEY, b"x" * 9000),
        v.GetValue(1, b"nothing"),
        v.GetValue(1, KEY, "nobody"),
        v.FindPeer(1, "nobody"),
        v.Provide(1, b""),
        v.Provide(1, b"k" * 999),
        v.FindProviders(1, b"k", 0),
        v.FindProviders(1, b"k", 9999),
    ],
)
def test_what_cannot_be_wanted_is_refused(event: Any) -> None:
    assert isinstance(result(Bench(2).give(event)), Refused)


def test_so_many_queries_at_a_time_and_no_more() -> None:
    bench = Bench(2)
    for number in range(1, MAX_QUERIES + 1):
        assert not any(isinstance(e, v.QueryDone) for e in bench.give(v.GetValue(number, KEY)))
    assert result(bench.give(v.GetValue(99, KEY))).code == "dht_busy"
    assert result(bench.give(v.PutValue(98, KEY, b"x"))).code == "dht_busy"
    bench.give(v.GiveUp(1))
    assert not any(isinstance(e, v.QueryDone) for e in bench.give(v.GetValue(100, KEY)))


def test_a_query_given_up_cancels_its_requests_and_says_nothing() -> None:
    bench = Bench(2)
    asked = rpcs(bench.give(v.GetValue(1, KEY)))
    assert bench.give(v.GiveUp(1)) == [v.CancelRpc(rpc.rpc) for rpc in asked]
    assert bench.give(v.Reply(asked[0].rpc, b"anything")) == []


def test_the_machine_is_never_due_twice_at_one_moment() -> None:
    """Or the driver would spin. Nobody answers, until the table is empty and nothing is due any more."""
    bench, steps = Bench(5), 0
    bench.give(v.PutValue(1, KEY, b"x"))
    while (deadline := bench.machine.deadline) is not None:
        bench.now, steps = max(bench.now, deadline), steps + 1
        bench.give(None)
        after = bench.machine.deadline
        assert after is None or after > bench.now
        assert steps < 500
    assert steps > 5 and len(bench.machine.table) == 0


# Hostile input of every kind.

NAMES = st.sampled_from([*PEERS[:6], OWN])
EVENTS = st.one_of(
    st.builds(v.PeerServes, NAMES, st.sampled_from([None, ADDRESS])),
    st.builds(v.PeerLeft, NAMES),
    st.builds(v.PeerDropped, NAMES),
    st.builds(v.GetValue, st.integers(1, 5), st.sampled_from([KEY, b"", b"/pk/x"])),
    st.builds(v.PutValue, st.integers(1, 5), st.sampled_from([KEY, b"x"]), st.binary(max_size=20)),
    st.builds(v.Provide, st.integers(1, 5), st.binary(max_size=3)),
    st.builds(v.FindProviders, st.integers(1, 5), st.binary(max_size=3), st.integers(-1, 3)),
    st.builds(v.FindPeer, st.integers(1, 5), st.sampled_from([PEERS[0], PEERS[20], OWN, "?"])),
    st.builds(v.Withdraw, st.sampled_from([KEY, b""])),
    st.builds(v.GiveUp, st.integers(1, 5)),
    st.just(v.Refresh()),
    st.builds(v.RpcFailed, st.integers(1, 40), st.sampled_from([LATER, PeerFault("bad", code="bad")])),
    st.none(),
)
MESSAGES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda kind, key, record, peers: m.encode(m.Message(kind, key, record, peers, peers)),
        st.sampled_from(list(m.Kind)),
        st.sampled_from([b"", KEY, b"k", peer_id_bytes(OWN), peer_id_bytes(PEERS[1])]),
        st.sampled_from([None, m.Record(KEY, value(b"v")), m.Record(KEY, b"bad"), m.Record(b"", b"")]),
        st.sampled_from([(), (m.PeerEntry(PEERS[1], (ADDRESS,)), m.PeerEntry(OWN), m.PeerEntry(PEERS[9]))]),
    ),
)
TRAFFIC = st.one_of(
    EVENTS,
    st.builds(v.Reply, st.integers(1, 40), MESSAGES, st.sampled_from([None, ADDRESS])),
    st.builds(v.Asked, st.integers(1, 9), NAMES, MESSAGES, st.sampled_from([None, ADDRESS])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TRAFFIC, st.sampled_from([0.0, 0.1, 3.0, 11.0, 61.0, 4000.0])), max_size=60))
def test_no_order_of_events_ends_the_machine(traffic: list[tuple[Any, float]]) -> None:
    bench, answered, asked, finished = Bench(), 0, 0, 0
    for event, later in traffic:
        asked += isinstance(event, v.Asked)
        for effect in bench.give(event):
            answered += isinstance(effect, v.Answer | v.Reject)
            if isinstance(effect, v.QueryDone):
                finished += 1
                assert isinstance(effect.result, v.QueryResult | SwarmnodeError)
            if isinstance(effect, v.Rpc):
                assert effect.peer != OWN and len(effect.data) <= m.MAX_MESSAGE_BYTES
        bench.now += later
        deadline = bench.machine.deadline
        assert deadline is None or deadline > 0
    assert answered == asked
    assert len(bench.machine.table) <= 6
