"""The gate of a private network, over hosts in memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.interfaces.host import Connection, Stream, StreamReceiver
from swarmnode.protocols.swarm.ids import PROOF_NAME, network_proof, protocol_id
from swarmnode.services.prove_network import PROOF_SECONDS, NetworkProof, Proving
from swarmnode.testing.host_bench import HostBench, Node, Recorder
from swarmnode.values.errors import PeerFault, Unavailable
from swarmnode.values.multiaddr import tcp_address

ECHO = "/test/echo/1"


def private(bench: HostBench, number: int, network: str = "home") -> Node:
    node = bench.node(number, gate=NetworkProof(network, bench.clock))
    node.echo(ECHO)
    return node


def test_peers_of_one_network_meet() -> None:
    bench = HostBench(lambda source, target, size: 0.02)
    a, b = private(bench, 1), private(bench, 2)
    receiver = Recorder()
    assert bench.result(a.host.connect(b.peer, [b.address])) == b.peer
    # The dialling side may use it at once, before the other side was told.
    stream = bench.result(a.host.open(b.peer, [ECHO], receiver))
    stream.write(b"hello")
    bench.run(0.2)
    assert receiver.data == b"hello"
    for node, other in ((a, b), (b, a)):
        assert node.witness.changes() == [("connected", other.peer)]
    back = Recorder()
    bench.result(b.host.open(a.peer, [ECHO], back)).write(b"back")
    bench.run(0.2)
    assert back.data == b"back"
    bench.run(2 * PROOF_SECONDS)
    assert a.host.peers() == (b.peer,)


@pytest.mark.parametrize("stranger", ["", "elsewhere"])
@pytest.mark.parametrize("dials", [True, False])
def test_others_are_kept_out(stranger: str, dials: bool) -> None:
    bench = HostBench()
    inside = private(bench, 1)
    outside = private(bench, 2, stranger) if stranger else bench.node(2)
    if not stranger:
        outside.echo(ECHO)
    caller, called = (inside, outside) if dials else (outside, inside)
    connecting = caller.host.connect(called.peer, [called.address])
    if dials or stranger:
        with pytest.raises(Unavailable) as found:
            bench.result(connecting)
        assert "of another network, or of the public one" in found.value.message
    else:
        # A public node knows of no proof; it is let go when none came.
        bench.result(connecting)
        receiver = Recorder()
        bench.result(outside.host.open(inside.peer, [ECHO], receiver))
        bench.run(0.1)
        assert len(receiver.losses) == 1
    bench.run(PROOF_SECONDS + 1)
    assert inside.host.peers() == outside.host.peers() == ()
    assert inside.witness.told == []
    assert not inside.accepted


def test_the_dialled_stranger_is_a_fault_that_is_not_tried_again_soon() -> None:
    bench = HostBench()
    inside, outside = private(bench, 1), bench.node(2)
    for code in ("unreachable", "dial_backoff"):
        with pytest.raises(Unavailable) as found:
            bench.result(inside.host.connect(outside.peer, [outside.address]))
        assert found.value.code == code


class Forger:
    """Owns a connection to a private node, knows the id of the protocol, and proves something wrong."""

    def __init__(self, connection: Connection, proof: bytes) -> None:
        self.receiver, self.closed_with = Recorder(), []
        connection.attend(self)  # type: ignore[arg-type]
        self.stream = connection.open((protocol_id(PROOF_NAME, "home"),), self.receiver, lambda: None)
        for byte in proof:
            self.stream.write(bytes([byte]))

    def serves(self) -> Collection[str]:
        return ()

    def stream_opened(self, connection: Connection, stream: Stream) -> StreamReceiver:
        raise AssertionError

    def alive(self, connection: Connection, rtt: float) -> None: ...

    def quiet(self, connection: Connection, seconds: float) -> None: ...

    def closed(self, connection: Connection, error: Any) -> None:
        self.closed_with.append(error)


def forge(kind: str, secret: bytes) -> bytes:
    return {
        "random": bytes(range(32)),
        "reflected": network_proof("home", secret, dialer=False),
        "replayed": network_proof("home", b"another connection" * 2, dialer=True),
        "too long": network_proof("home", secret, dialer=True) + b"x",
        "short": b"x",
        "right": network_proof("home", secret, dialer=True),
    }[kind]


@pytest.mark.parametrize("kind", ["random", "reflected", "replayed", "short", "right"])
def test_proofs_that_prove_nothing(kind: str) -> None:
    bench = HostBench()
    inside = private(bench, 1)
    # No host: a peer that does as it likes.
    forging = bench.node(2, start=False).carrier
    connection = bench.result(forging.dial(tcp_address("10.0.0.1", 8810), None))
    forger = Forger(connection, forge(kind, connection.info.handshake_hash))
    forger.stream.end()
    bench.run(0.1)
    assert len(inside.host.peers()) == (kind == "right")
    assert (len(forger.closed_with) == 0) is (kind == "right")
    assert bool(forger.receiver.data) is (kind == "right")


def test_a_proof_with_more_behind_it_is_wrong() -> None:
    bench = HostBench()
    settled: list[Any] = []
    gate = NetworkProof("home", bench.clock)
    private(bench, 1)
    connection = bench.result(bench.node(2, start=False).carrier.dial(tcp_address("10.0.0.1", 8810), None))
    proving = gate.admit(connection, settled.append)
    proving.received(forge("too long", connection.info.handshake_hash))
    assert [error.code for error in settled] == ["other_network"]
    assert not proving.verified
    proving.ended()
    proving.lost(None)
    bench.run(PROOF_SECONDS + 1)
    assert len(settled) == 1


def test_a_peer_that_goes_away_at_the_gate_is_not_blamed() -> None:
    bench = HostBench()
    inside = private(bench, 1)
    connection = bench.result(bench.node(2, start=False).carrier.dial(tcp_address("10.0.0.1", 8810), None))
    forger = Forger(connection, b"xx")
    bench.run(0.1)
    connection.abort()
    bench.run(PROOF_SECONDS + 1)
    assert inside.log.of("info") == ["peer not let in"]
    reason = inside.log.lines[-1][2]["reason"]
    assert "network" not in reason
    assert forger.receiver.data == b""


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_nothing_but_the_proof_is_let_in(chunks: list[bytes]) -> None:
    settled: list[Any] = []
    proving = Proving("/proof", ours=b"o" * 32, theirs=b"t" * 32, inbound=True, settled=settled.append)
    stream = Written()
    proving.stream_opened(stream)  # type: ignore[arg-type]
    for chunk in chunks:
        proving.received(chunk)
    assert proving.verified is (b"".join(chunks) == b"t" * 32)
    assert len(proving._received) <= 2 * 33
    proving.ended()
    assert [type(error) for error in settled] == ([type(None)] if proving.verified else [PeerFault])
    assert bool(stream.data) is proving.verified


@given(st.lists(st.integers(1, 31), max_size=31, unique=True))
def test_the_proof_may_come_in_any_pieces(cuts: list[int]) -> None:
    settled: list[Any] = []
    proving = Proving("/proof", ours=b"o" * 32, theirs=bytes(range(32)), inbound=True, settled=settled.append)
    stream = Written()
    proving.stream_opened(stream)  # type: ignore[arg-type]
    places = [0, *sorted(cuts), 32]
    for start, end in zip(places, places[1:], strict=False):
        assert not proving.verified
        proving.received(bytes(range(32))[start:end])
    assert proving.verified
    assert (stream.data, stream.has_ended, settled) == (b"o" * 32, True, [])
    proving.confirm()
    proving.ended()
    assert settled == [None]


class Written:
    """A stream that keeps what is written."""

    def __init__(self) -> None:
        self.data, self.has_ended = b"", False

    def write(self, data: bytes) -> None:
        self.data += data

    def end(self) -> None:
        self.has_ended = True
