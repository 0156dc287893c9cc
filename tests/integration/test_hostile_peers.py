"""Programs that mean harm, at the port of a real node: it goes on as if nothing were, says why it hangs up,
and whoever has a name loses trust. What each attack may cost is bounded in `swarmnode.testing.siege`."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from swarmnode.network.doorstep import UNDISTURBED_SECONDS
from swarmnode.protocols.connection.multistream import Offer
from swarmnode.protocols.connection.securing import Securing
from swarmnode.protocols.connection.yamux_frames import (
    DATA,
    FIN,
    GO_AWAY,
    PING,
    PROTOCOL_ERROR,
    RST,
    SYN,
    WINDOW_UPDATE,
    header,
)
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.ids import PROOF_NAME, protocol_id
from swarmnode.protocols.wire.framing import framed
from swarmnode.storage.identity import load_or_create_identity
from swarmnode.testing.honest_pair import HonestPair
from swarmnode.testing.hostile_peer import HostilePeer, make_signer
from swarmnode.testing.siege import Siege

PING_PROTOCOL = "/ipfs/ping/1.0.0"
#: Connections at once of who says nothing: more than may stand at the door.
SLOW = 200
#: How soon the node hangs up on who breaks the rules, seconds.
SOON = 3.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with Siege(tmp_path_factory.mktemp("siege")) as siege:
        yield siege


# Before anybody is proven.

STRANGE = {
    "random bytes": os.urandom(1 << 16),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + os.urandom(190),
    "an endless line": b"\xff" * 4096,
    "a line of 1 MiB": framed(b"x" * (1 << 20)),
    "no protocol of ours": Offer(("/plaintext/2.0.0",)).begin() + framed(b"/tls/1.0.0\n") * 100,
    "listings": b"\x13/multistream/1.0.0\n" + framed(b"ls\n") * 1000,
    "Noise of 64 KiB": Offer(("/noise",)).begin() + b"\xff\xff" + os.urandom(1 << 16),
    "Noise without sense": Offer(("/noise",)).begin() + b"\x00\x20" + bytes(32) + b"\x00\x60" + bytes(96),
    "empty Noise": Offer(("/noise",)).begin() + b"\x00\x00" * 100,
}


def test_what_is_no_peer_is_hung_up_on(siege: Siege) -> None:
    with siege.attack() as attack:
        for name, data in STRANGE.items():
            for _ in range(5):
                with HostilePeer(siege.port) as peer:
                    peer.send(data)
                    assert peer.closed_within(SOON), name
    assert "not secured" in attack.text


def secured_soon(siege: Siege) -> float:
    """How long it takes somebody else to get in meanwhile, seconds: it tries again when it is sent away."""
    begun = time.monotonic()
    while True:
        with HostilePeer(siege.port) as honest:
            try:
                honest.secure()
            except AssertionError:
                time.sleep(0.1)
                continue
            assert honest.ping()
            return time.monotonic() - begun


def test_who_says_nothing_keeps_nobody_out(siege: Siege) -> None:
    with siege.attack(), ExitStack() as stack:
        peers = [stack.enter_context(HostilePeer(siege.port)) for _ in range(SLOW)]
        half_open = Securing(True, make_signer(), os.urandom, None).begin()
        for index, peer in enumerate(peers):
            peer.send(half_open[: index % (len(half_open) + 1)])
        assert secured_soon(siege) < 2.0


def trickle(siege: Siege, seconds: float) -> int:
    """Handshakes at a byte a second, and who is hung up on is back at once; how often that was."""
    said = Securing(True, make_signer(), os.urandom, None).begin() + bytes(1000)
    with ExitStack() as stack:
        peers = [stack.enter_context(HostilePeer(siege.port)) for _ in range(SLOW)]
        end, again, turn = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            for index, peer in enumerate(peers):
                if not peer.send(said[turn : turn + 1], 0.2) or peer.closed_within(0.001):
                    peer.close()
                    peers[index] = stack.enter_context(HostilePeer(siege.port))
                    again += 1
            turn += 1
            assert secured_soon(siege) < 2.0
    return again


@pytest.mark.slow
def test_who_says_a_byte_a_second_keeps_nobody_out(siege: Siege) -> None:
    with siege.attack(lines=200):
        assert trickle(siege, 25.0) > 0


def test_a_byte_at_a_time_is_slow_but_no_crime(siege: Siege) -> None:
    with siege.attack(), HostilePeer(siege.port) as peer:
        whole = peer.send
        peer.send = lambda data, seconds=5.0: all(whole(data[i : i + 1]) for i in range(len(data)))  # type: ignore[method-assign]
        assert peer.secure().ping()
        assert peer.ask(PING_PROTOCOL, bytes(32), end=True) == bytes(32)


def stealing(seed: bytes = bytes(32)) -> Signer:
    """Claims a key and cannot sign for it."""
    return Signer(make_signer(seed).public_key, lambda message: os.urandom(64))


def test_a_proof_of_identity_that_is_wrong(siege: Siege) -> None:
    with siege.attack() as attack:
        for _ in range(20):
            with HostilePeer(siege.port, stealing()) as thief:
                thief.secure()  # It learns who the node is before it shows who it is.
                assert thief.closed_within(SOON)
        assert not siege.shuns(make_signer(bytes(32))), "the one whose name was used is to blame for nothing"
    assert "proof of its identity is wrong" in attack.text


def test_the_own_identity_of_the_node(siege: Siege, tmp_path: Path) -> None:
    shutil.copy(siege.node.data_dir / "identity.key", tmp_path)
    stolen = load_or_create_identity(tmp_path)
    assert stolen.peer_id == siege.peer_id
    with siege.attack() as attack:
        for _ in range(5):
            with HostilePeer(siege.port, Signer(stolen.public_key, stolen.sign)) as twin:
                assert twin.secure().closed_within(SOON)
    assert siege.peer_id not in siege.peers()
    assert "leads back to this node" in attack.text


def test_a_replayed_conversation(siege: Siege) -> None:
    sent: list[bytes] = []
    with siege.attack() as attack:
        with HostilePeer(siege.port) as honest:
            whole = honest.send

            def send(data: bytes, seconds: float = SOON) -> bool:
                sent.append(data)
                return whole(data, seconds)

            honest.send = send  # type: ignore[method-assign]
            assert honest.secure().ping()
        for _ in range(5):
            with HostilePeer(siege.port) as replayer:
                replayer.send(b"".join(sent))
                assert replayer.closed_within(SOON)
    assert attack.text.count("peer connected") == 1


def test_others_at_an_address_of_somebody(siege: Siege) -> None:
    """The node is told that a stranger is where an honest peer, or the node itself, listens."""
    honest = siege.peers()[siege.honest[0]]["addresses"][0].rpartition("/p2p/")[0]
    own = f"/ip4/127.0.0.1/tcp/{siege.port}"
    stranger = HostilePeer(siege.port).peer_id
    with siege.attack():
        for address, code in ((honest, "wrong_peer"), (own, "self_dial")):
            asked = {"address": f"{address}/p2p/{stranger}"}
            status, body, _ = siege.node.request("POST", "/api/admin/join-network", asked)
            assert status >= 400, body
            assert body["error"]["code"] == code or f"instead of {stranger}" in body["error"]["message"], body


# Proven, and breaking the rules of yamux.


def opened(peer: HostilePeer, count: int = 1, flags: int = SYN) -> bytes:
    return b"".join(header(WINDOW_UPDATE, flags, peer.new_stream(), 0) for _ in range(count))


def overrun(peer: HostilePeer) -> bytes:
    """More than a window holds, in steps."""
    piece = header(DATA, 0, 1, 1 << 20) + bytes(1 << 20)
    return opened(peer) + piece * 40


YAMUX: dict[str, tuple[str, Callable[[HostilePeer], bytes]]] = {
    "unknown type": ("bad_frame", lambda peer: header(9, 0, 1, 0)),
    "another version": ("bad_frame", lambda peer: b"\x01" + header(PING, SYN, 0, 0)[1:]),
    "data for no stream": ("bad_frame", lambda peer: header(DATA, SYN, 0, 0)),
    "a length of 4 GiB": ("window_overrun", lambda peer: opened(peer) + header(DATA, 0, 1, (1 << 32) - 1)),
    "a window overrun": ("window_overrun", overrun),
    "a stream that nobody opened": ("bad_stream_id", lambda peer: header(DATA, 0, 77, 0)),
    "a stream of the node's numbers": ("bad_stream_id", lambda peer: header(WINDOW_UPDATE, SYN, 1000, 0)),
    "a stream twice": ("bad_stream_id", lambda peer: opened(peer) + header(WINDOW_UPDATE, SYN, 1, 0)),
    "data after the end": (
        "data_after_fin",
        lambda peer: opened(peer) + header(DATA, FIN, 1, 0) + header(DATA, 0, 1, 5) + bytes(5),
    ),
    "a window beyond all bounds": (
        "bad_window",
        lambda peer: opened(peer) + header(WINDOW_UPDATE, 0, 1, (1 << 32) - 1) * 3,
    ),
    "10,000 streams": ("reset_flood", lambda peer: opened(peer, 10_000)),
    "rapid reset": ("reset_flood", lambda peer: opened(peer, 10_000, SYN | RST)),
    "a flood of pings": ("ping_flood", lambda peer: header(PING, SYN, 0, 0) * 10_000),
    "frames that say nothing": (
        "empty_frame_flood",
        lambda peer: opened(peer) + header(DATA, 0, 1, 0) * 10_000,
    ),
    "a storm of go-aways": ("go_away_storm", lambda peer: header(GO_AWAY, 0, 0, 0) * 100),
    "bytes without sense": ("bad_frame", lambda peer: b"\xa5" * 4096),
}


@pytest.mark.parametrize("name", YAMUX)
def test_breaking_the_rules_of_yamux(siege: Siege, name: str) -> None:
    code, frames = YAMUX[name]
    with siege.attack() as attack, HostilePeer(siege.port) as peer:
        peer.secure()
        peer.pump(0.1)
        peer.frames(frames(peer))
        assert peer.closed_within(SOON)
        assert peer.gone_away in ([PROTOCOL_ERROR], []), "what it is told may be lost behind what it sends"
        assert siege.shuns(peer.identity)
    assert attack.faults_of(peer.peer_id) == {code}
    assert "breaks the rules of yamux" in attack.text or "sends too many" in attack.text


def test_who_broke_the_rules_is_not_dialled_either(siege: Siege) -> None:
    with HostilePeer(siege.port) as peer:
        peer.secure().frames(YAMUX["unknown type"][1](peer))
        assert peer.closed_within(SOON)
    asked = {"address": f"/ip4/127.0.0.1/tcp/9/p2p/{peer.peer_id}"}
    status, body, _ = siege.node.request("POST", "/api/admin/join-network", asked)
    assert status >= 400 and "broke the rules" in body["error"]["message"], body


def test_a_forged_frame(siege: Siege) -> None:
    with siege.attack() as attack, HostilePeer(siege.port) as peer:
        peer.secure()
        peer.send(b"\x00\x40" + os.urandom(64))
        assert peer.closed_within(SOON)
    assert attack.faults_of(peer.peer_id) == {"bad_record"}


# Proven, and greedy.


def test_one_peer_that_connects_again_and_again(siege: Siege) -> None:
    identity = make_signer()
    with siege.attack(lines=60), ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(HostilePeer(siege.port, identity)).secure()
        assert siege.peers()[HostilePeer(siege.port, identity).peer_id]["connections"] <= 3


def test_a_crowd_of_strangers(siege: Siege) -> None:
    def come(_: int) -> HostilePeer:
        return HostilePeer(siege.port).secure()

    with siege.attack(lines=120), ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        for peer in threads.map(come, range(300)):
            stack.enter_context(peer)
        assert len(siege.peers()) <= 150


def test_who_never_reads(siege: Siege) -> None:
    """Answers wait for it, within bounds, and it is let go when it answers no ping."""
    with siege.attack(), HostilePeer(siege.port) as peer:
        peer.secure()
        ask = Offer(("/ipfs/id/1.0.0",), lazy=True).begin()
        ping = Offer((PING_PROTOCOL,), lazy=True).begin() + bytes(1 << 16)
        sent = 0
        for said in (ask, ping) * 400:
            number = peer.new_stream()
            frames = header(WINDOW_UPDATE, SYN, number, 1 << 24) + header(DATA, 0, number, len(said)) + said
            sent += peer.send_blindly(peer.seal(frames), 0.02)
        assert sent > 1 << 20


def test_proposals_without_end(siege: Siege) -> None:
    floods = {
        "proposals": framed(b"/none/1\n") * 10_000,
        "listings": framed(b"ls\n") * 10_000,
        "a long line": framed(b"x" * 100_000 + b"\n"),
        "an endless line": b"\x80" * 10_000,
        "no line": framed(b"no new line"),
    }
    with siege.attack(), HostilePeer(siege.port) as peer:
        peer.secure()
        for name, flood in floods.items():
            stream = peer.new_stream()
            said = b"\x13/multistream/1.0.0\n" + flood
            peer.frames(header(DATA, SYN, stream, len(said)) + said)
            peer.pump(SOON, lambda stream=stream: stream in peer.reset)  # type: ignore[misc]
            assert stream in peer.reset, name
        assert peer.ping()


def test_streams_that_are_opened_and_left_alone(siege: Siege) -> None:
    with siege.attack(), HostilePeer(siege.port) as peer:
        peer.secure()
        for protocol in ("/ipfs/id/push/1.0.0", PING_PROTOCOL, "/swarmnode/kad/1", "/swarmnode/request/1"):
            for _ in range(100):
                peer.open(protocol)
        peer.pump(0.5)
        assert peer.ping()


@pytest.mark.slow
def test_floods_of_connections_for_a_while(siege: Siege) -> None:
    def rush(seconds: float) -> int:
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            with socket.create_connection(("127.0.0.1", siege.port)):
                count += 1
        return count

    with siege.attack(lines=60), ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(rush, (10.0, 10.0))) > 100


# At the gate of a private network.


@pytest.fixture
def walled(tmp_path: Path) -> Iterator[Siege]:
    with Siege(tmp_path, network="at home") as siege:
        yield siege


def test_strangers_at_the_gate_of_a_private_network(walled: Siege) -> None:
    proof = protocol_id(PROOF_NAME, "at home")
    with walled.attack() as attack, ExitStack() as stack:
        guessing = stack.enter_context(HostilePeer(walled.port)).secure()
        assert guessing.ask("/ipfs/id/1.0.0", end=True, seconds=0.5) == b"", (
            "nothing is served before the proof"
        )
        assert guessing.ask(proof, os.urandom(32), seconds=0.5) == b""
        assert guessing.closed_within(SOON)
        for number in range(100):
            peer = stack.enter_context(HostilePeer(walled.port)).secure()
            if number % 2:
                peer.open(proof, os.urandom(16))
        assert set(walled.peers()) == set(walled.honest)
        time.sleep(UNDISTURBED_SECONDS)
        with HonestPair(walled.address, "at home") as later:
            assert later.report()["interruptions"] == []
    assert "its proof of the network's name is wrong" in attack.text
