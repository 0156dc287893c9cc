"""What our node and somebody else's libp2p must be able to do with each other, each way. A test class for one
implementation inherits these and says how a node of it is started."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from bulk_pattern import pattern_sha256
from libp2p_peers import KAD, PeerError, PeerProcess, our_node

BULK_BYTES = 64 << 20
#: The peer id of nobody.
NOBODY = "12D3KooWPA6ax6t3jqTyGq73Zm1RmwppYqxaXzrtarfcTWGp5Wzx"
TOPIC = "swarm/interop"
AGENTS = {"our node": "swarmnode/", "js-libp2p": "js-libp2p/", "py-libp2p": "py-libp2p/"}
#: What a ping may take on a busy machine: this is no measurement.
PING_SECONDS = 2.0

Pair = tuple[PeerProcess, PeerProcess]


class Conversations:
    """start: starts a node of theirs, from a configuration."""

    start: ClassVar[Callable[..., PeerProcess]]

    def test_ping(self, pair: Pair) -> None:
        ours, theirs = pair
        for one, other in ((ours, theirs), (theirs, ours)):
            times = one.ask("ping", peer=other.peer, count=5)
            assert len(times) == 5
            assert all(0 <= time < PING_SECONDS for time in times)

    def test_identify(self, pair: Pair) -> None:
        ours, theirs = pair
        for one, other in ((ours, theirs), (theirs, ours)):
            said = one.until("identified", bool, peer=other.peer)
            listens = [other.address.removesuffix(f"/p2p/{other.peer}")]
            assert {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/meshsub/1.1.0", KAD} <= set(said["protocols"])
            assert [a.removesuffix(f"/p2p/{other.peer}") for a in said["addresses"]] == listens
            # The signed peer record: its signature was checked by whoever tells of it.
            assert said["record"]["addresses"] == listens
            assert int(said["record"]["sequence"]) > 0
            if "agent" in said:
                assert said["agent"].startswith(AGENTS[other.name])

    def test_echo(self, pair: Pair) -> None:
        ours, theirs = pair
        for one, other in ((ours, theirs), (theirs, ours)):
            for data in (b"", b"x", bytes(range(256)) * 300):
                assert bytes.fromhex(one.ask("echo", peer=other.peer, data=data.hex())) == data

    @pytest.mark.parametrize("way", ["send", "fetch"])
    @pytest.mark.parametrize("who", ["ours", "theirs"])
    def test_bulk(self, pair: Pair, who: str, way: str) -> None:
        one, other = pair if who == "ours" else (pair[1], pair[0])
        result = one.ask(way, peer=other.peer, bytes=BULK_BYTES, seconds=90)
        arrived = result["answer"] if way == "send" else result
        assert arrived["bytes"] == BULK_BYTES
        assert arrived["sha256"] == pattern_sha256(BULK_BYTES)

    def test_gossip(self, pair: Pair) -> None:
        ours, theirs = pair
        ours.until("mesh", lambda mesh: theirs.peer in mesh, topic=TOPIC)
        theirs.until("mesh", lambda mesh: ours.peer in mesh, topic=TOPIC)
        for one, other in ((ours, theirs), (theirs, ours)):
            sent = [f"{one.name} {number}".encode().hex() for number in range(3)]
            for data in sent:
                one.ask("publish", topic=TOPIC, data=data)
            got = [other.event("message", topic=TOPIC)["data"] for _ in sent]
            assert sorted(got) == sorted(sent)
        # Nobody hears itself, nor anything twice.
        assert ours.events("message") == theirs.events("message") == []

    def test_gossip_names_its_author(self, pair: Pair) -> None:
        ours, theirs = pair
        for one, other in ((ours, theirs), (theirs, ours)):
            one.ask("publish", topic=TOPIC, data=one.peer.encode().hex())
            assert other.event("message")["from"] == one.peer

    def test_gossip_is_passed_on(self, pair: Pair, request: pytest.FixtureRequest) -> None:
        """Through the other implementation to a third node: the signature is kept."""
        ours, theirs = pair
        with our_node(topics=[TOPIC]) as our_third, request.cls.start(topics=[TOPIC]) as their_third:
            for middle, third in ((theirs, our_third), (ours, their_third)):
                third.ask("dial", address=middle.address)
                third.until("mesh", lambda mesh, middle=middle: middle.peer in mesh, topic=TOPIC)
                middle.until("mesh", lambda mesh, third=third: third.peer in mesh, topic=TOPIC)
            ours.ask("publish", topic=TOPIC, data="0a")
            assert our_third.event("message", data="0a")["from"] == ours.peer
            theirs.ask("publish", topic=TOPIC, data="0b")
            assert their_third.event("message", data="0b")["from"] == theirs.peer

    @pytest.mark.parametrize("middle", ["theirs", "ours"])
    def test_dht(self, request: pytest.FixtureRequest, middle: str) -> None:
        """What one node publishes is found by another of its kind that knows only a node of the other kind,
        and from that one alone, because the first is gone."""
        start = {"ours": our_node, "theirs": request.cls.start}
        outer = "ours" if middle == "theirs" else "theirs"
        with start[middle](kad=KAD) as keeper, start[outer](kad=KAD) as seeker:
            with start[outer](kad=KAD) as publisher:
                publisher.ask("dial", address=keeper.address)
                publisher.until("table", bool)
                keeper.until("table", bool)
                publisher.ask("put", key="/swarmnode/interop/colour", data=b"green".hex())
                publisher.ask("provide", key="interop content")
                seeker.ask("dial", address=keeper.address)
                seeker.until("table", bool)
                found = seeker.until("find", bool, peer=publisher.peer)
                assert publisher.address.removesuffix(f"/p2p/{publisher.peer}") in [
                    address.removesuffix(f"/p2p/{publisher.peer}") for address in found
                ]
            keeper.until("peers", lambda peers: publisher.peer not in peers)
            value = seeker.until("get", bool, key="/swarmnode/interop/colour")
            assert bytes.fromhex(value) == b"green"
            assert seeker.until("providers", bool, key="interop content") == [publisher.peer]

    def test_dht_finds_nothing_where_nothing_is(self, pair: Pair) -> None:
        for one in pair:
            assert _result_or_none(one, "get", key="/swarmnode/interop/nothing") is None
            assert not _result_or_none(one, "providers", key="interop nothing")

    def test_wrong_peer_id(self, request: pytest.FixtureRequest) -> None:
        """Whoever answers as somebody else is refused, by either side."""
        with our_node() as ours, request.cls.start() as theirs:
            for one, other in ((ours, theirs), (theirs, ours)):
                place = other.address.removesuffix(other.peer)
                with pytest.raises(PeerError):
                    one.ask("dial", address=place + NOBODY)
                assert one.ask("peers") == []
                other.until("peers", lambda peers: peers == [])
                assert one.ask("dial", address=place + other.peer) == other.peer
                one.ask("hangUp", peer=other.peer)
                other.until("peers", lambda peers: peers == [])
                one.until("peers", lambda peers: peers == [])

    def test_a_private_network_keeps_strangers_out(self, request: pytest.FixtureRequest) -> None:
        with our_node(network="home") as ours, request.cls.start() as stranger:
            for one, other in ((stranger, ours), (ours, stranger)):
                with suppress(PeerError):  # it may be told only afterwards
                    one.ask("dial", address=other.address)
                with pytest.raises(PeerError):
                    stranger.ask("echo", peer=ours.peer, data="00")
                stranger.until("peers", lambda peers: peers == [])
                assert ours.ask("peers") == []


def _result_or_none(peer: PeerProcess, do: str, **values: Any) -> Any:
    """Some fail when they find nothing, others find nothing."""
    try:
        return peer.ask(do, **values)
    except PeerError:
        return None
