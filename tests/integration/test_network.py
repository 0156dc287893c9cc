"""Real nodes on loopback: they meet by each discovery method, notice deaths, and say why they do not meet."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from swarmnode.testing.node_process import NodeProcess, free_port

#: Everything that was promised within 15 s.
PROMISE_SECONDS = 15.0
MEET_SECONDS = 20.0


class Nodes:
    """Nodes of one test, each with a home of its own; all are ended with the test."""

    def __init__(self, home: Path) -> None:
        self._home, self._stack, self._count = home, ExitStack(), 0

    def start(self, *arguments: str, **environment: str) -> NodeProcess:
        """Start one and wait until it is ready."""
        self._count += 1
        node = NodeProcess(
            self._home / f"node{self._count}",
            *arguments,
            environment={f"SWARMNODE_{name}": value for name, value in environment.items()},
        )
        return self._stack.enter_context(node)

    def again(self, node: NodeProcess) -> NodeProcess:
        """Start a node that has ended once more, on its own data."""
        return node.start().wait_ready()

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    made.close()


def peer_id(node: NodeProcess) -> str:
    return str(node.request("GET", "/v1/status")[1]["peer_id"])


def address(node: NodeProcess, *, with_id: bool = True) -> str:
    first = str(node.request("GET", "/v1/status")[1]["addresses"][0])
    return first if with_id else first.partition("/p2p/")[0]


def peers(node: NodeProcess) -> dict[str, Any]:
    """All live peers by id, as the API tells."""
    status, answer, _ = node.request("GET", "/api/admin/peers")
    assert status == 200
    return {peer["node_id"]: peer for peer in answer["peers"]}


def connected(node: NodeProcess) -> set[str]:
    return {peer for peer, facts in peers(node).items() if facts["connected"]}


def until(node: NodeProcess, condition: Callable[[], bool], what: str, seconds: float = MEET_SECONDS) -> None:
    node.wait_until(condition, seconds, what)


def meet(one: NodeProcess, *others: NodeProcess, seconds: float = MEET_SECONDS) -> None:
    """Wait until the one is connected to all others, and they to it."""
    ids, own = {peer_id(other) for other in others}, peer_id(one)
    until(one, lambda: ids <= connected(one), "the nodes did not meet", seconds)
    for other in others:
        until(other, lambda other=other: own in connected(other), "the nodes did not meet", seconds)


def join(node: NodeProcess, text: str) -> tuple[int, Any]:
    return node.request("POST", "/api/admin/join-network", {"code": text})[:2]


def command(node: NodeProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """A command as a user of the node gives it."""
    place = ("--port", str(node.port), "--data-dir", str(node.data_dir))
    return subprocess.run(
        [sys.executable, "-m", "swarmnode", *words, *place],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Meeting.


def test_three_nodes_meet_by_bootstrap_addresses_and_by_what_their_peers_tell(nodes: Nodes) -> None:
    first = nodes.start()
    second = nodes.start("--bootstrap", address(first))
    third = nodes.start(NETWORK_BOOTSTRAP_PEERS=address(first, with_id=False))
    meet(first, second, third)
    assert peers(second)[peer_id(first)]["how_found"] == "bootstrap"
    assert peers(third)[peer_id(first)]["how_found"] == "bootstrap"
    meet(second, third)  # neither was told of the other by the user
    found = {peers(second)[peer_id(third)]["how_found"], peers(third)[peer_id(second)]["how_found"]}
    assert found & {"exchange", "gossip"}, found
    assert peer_id(first) not in peers(first)
    assert first.request("GET", "/v1/status")[1]["peers"] == 2


def test_a_bootstrap_peer_may_come_later(nodes: Nodes, tmp_path: Path) -> None:
    port = free_port()
    early = nodes.start("--bootstrap", f"/ip4/127.0.0.1/tcp/{port + 10}")
    with NodeProcess(tmp_path / "late", port=port) as late:
        meet(early, late)


def test_nodes_meet_by_an_invite_code_and_vouch_for_each_other(nodes: Nodes) -> None:
    first, second = nodes.start(), nodes.start()
    status, answer, _ = first.request("GET", "/api/admin/network-code")
    assert status == 200 and answer["phase"] == "alone" and answer["addresses"] == [address(first)]
    status, joined = join(second, answer["code"])
    assert (status, joined["node_id"], joined["vouched"]) == (200, peer_id(first), True)
    meet(first, second)
    assert peers(second)[peer_id(first)]["how_found"] == "invite"
    assert first.request("GET", "/api/admin/network-code")[1]["phase"] == "connected"


def test_nodes_meet_without_peer_exchange_because_the_dht_and_the_swarm_know_them(nodes: Nodes) -> None:
    first = nodes.start(NETWORK_PEER_EXCHANGE="false")
    others = [nodes.start("--bootstrap", address(first), NETWORK_PEER_EXCHANGE="false") for _ in range(2)]
    meet(others[0], others[1])


def test_nodes_meet_by_mdns(nodes: Nodes) -> None:
    if not _multicast_works():
        pytest.skip("this machine does not let multicast datagrams through")
    club = {"NETWORK_ENABLE_MDNS": "true", "NETWORK_GOSSIP_NETWORK_ID": f"test-{os.getpid()}"}
    first, second = nodes.start(**club), nodes.start(**club)
    meet(first, second)
    found = {peers(first)[peer_id(second)]["how_found"], peers(second)[peer_id(first)]["how_found"]}
    assert "mdns" in found, found


def test_a_node_that_starts_again_finds_its_peers_by_itself(nodes: Nodes) -> None:
    first, second = nodes.start(), nodes.start()
    assert join(second, address(first))[0] == 200
    meet(first, second)
    assert second.stop() == 0
    until(first, lambda: not connected(first), "the end was not noticed", PROMISE_SECONDS)
    nodes.again(second)
    meet(first, second)


def _multicast_works() -> bool:
    """Whether a datagram to mDNS's group comes back to this machine."""
    group = "224.0.0.251"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.bind(("", 0))
            member = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton("0.0.0.0"))  # noqa: S104
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            ear.settimeout(1.0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.sendto(b"test", (group, ear.getsockname()[1]))
            return ear.recv(16) == b"test"
    except OSError:
        return False


# Dying.


def test_a_killed_node_is_gone_from_every_view_within_15_seconds_and_comes_back(nodes: Nodes) -> None:
    first = nodes.start()
    second, third = (nodes.start("--bootstrap", address(first)) for _ in range(2))
    meet(first, second, third)
    victim = peer_id(third)
    third.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    for other in (first, second):
        until(other, lambda other=other: victim not in peers(other), "a ghost stayed", PROMISE_SECONDS)
    assert time.monotonic() - killed < PROMISE_SECONDS
    third.process.wait()  # type: ignore[union-attr]
    nodes.again(third)
    meet(first, third)
    assert peer_id(third) == victim


def test_a_node_that_hangs_is_gone_within_15_seconds_and_comes_back_when_it_goes_on(nodes: Nodes) -> None:
    first = nodes.start()
    second = nodes.start("--bootstrap", address(first))
    third = nodes.start("--bootstrap", address(first))
    meet(first, second, third)
    victim = peer_id(third)
    third.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        for other in (first, second):
            left = PROMISE_SECONDS - (time.monotonic() - stopped)
            until(other, lambda other=other: victim not in peers(other), "a ghost stayed", left)
    finally:
        third.send_signal(signal.SIGCONT)
    meet(first, third)


# Being apart.


def test_nodes_of_a_private_network_never_meet_others(nodes: Nodes) -> None:
    club = {"NETWORK_GOSSIP_NETWORK_ID": "club"}
    inside, friend, outside = nodes.start(**club), nodes.start(**club), nodes.start()
    stranger = nodes.start(NETWORK_GOSSIP_NETWORK_ID="another")
    status, answer = join(inside, address(outside))
    assert status >= 400 and "another network" in answer["error"]["message"]
    status, answer = join(inside, address(stranger))
    assert status >= 400 and "another network" in answer["error"]["message"]
    join(outside, address(inside))  # it is let in by nobody, which takes the gate five seconds
    assert join(friend, address(inside))[0] == 200
    meet(inside, friend)
    until(outside, lambda: not peers(outside), "a stranger stayed", 10.0)
    assert connected(inside) == {peer_id(friend)}
    assert peers(outside) == {} and peers(stranger) == {}


def test_a_taken_p2p_port_is_one_clear_line(nodes: Nodes, tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port + 10)):
        node = NodeProcess(tmp_path / "blocked", port=port).start()
        assert node.process is not None and node.process.wait(30) == 2
    log = node.log.read_text("utf-8")
    assert f"Port {port + 10} on 127.0.0.1 is taken" in log and "Traceback" not in log
    with NodeProcess(tmp_path / "blocked", port=port):
        pass  # nothing of the first attempt is in the way


FAILING = """
import socket, sys
from swarmnode.assembly import make_service
from swarmnode.config import Override, load_config
from swarmnode.values.errors import Refused
flags = {"node.data_dir": sys.argv[1], "node.listen_port": sys.argv[2], "inference.backend": "nonsense",
         "network.listen_address": "127.0.0.1"}
config = load_config([Override(key, value, "--set") for key, value in flags.items()])
try:
    make_service(config)
except Refused as error:
    print(error.code)
for port in (int(sys.argv[2]), int(sys.argv[2]) + 10):
    socket.create_server(("127.0.0.1", port)).close()
"""


def test_a_node_that_cannot_be_built_gives_its_ports_back(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FAILING, str(tmp_path / "data"), str(free_port())]
    told = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout.strip()) == (0, "backend_missing"), told.stderr


def test_offline_mode_dials_nobody_that_the_user_names(nodes: Nodes) -> None:
    first = nodes.start()
    hermit = nodes.start("--bootstrap", address(first), POOL_OFFLINE_MODE="true")
    status, answer = join(hermit, address(first))
    assert status == 400 and answer["error"]["code"] == "offline_mode"
    assert peers(hermit) == {}


# As a user.


def test_the_commands_as_a_user_runs_them(nodes: Nodes) -> None:
    first, second = nodes.start(), nodes.start()
    told = command(second, "peers")
    assert told.returncode == 0 and told.stdout.startswith("No peers.")

    code = command(first, "invite")
    assert code.returncode == 0 and code.stdout.startswith("swarm://")
    joined = command(second, "join", code.stdout.strip())
    assert joined.returncode == 0 and f"connected to {peer_id(first)}" in joined.stdout, joined.stderr
    assert "vouch for each other" in joined.stdout

    meet(first, second)
    listed = json.loads(command(second, "peers", "--json").stdout)["peers"]
    assert [peer["node_id"] for peer in listed] == [peer_id(first)]
    told = command(second, "peers", "--long")
    assert told.stdout.startswith("1 connected\n") and peer_id(first) in told.stdout

    examined = json.loads(command(second, "doctor", "--json").stdout)
    (measured,) = examined["peers"]
    assert measured["rtt_ms"] > 0 and measured["down_mbit_s"] > 0 and measured["up_mbit_s"] > 0
    assert abs(measured["clock_skew_seconds"]) < 5
    assert {finding["code"] for finding in examined["findings"]} >= {"loopback_only", "connected", "clock"}
    assert "addresses announced:" in command(second, "doctor").stdout


CAUSES: dict[str, Callable[[NodeProcess, NodeProcess], str]] = {
    "refused": lambda here, there: f"/ip4/127.0.0.1/tcp/{free_port()}",
    "not_a_node": lambda here, there: f"/ip4/127.0.0.1/tcp/{_babbler()}",
    "wrong_peer": lambda here, there: (
        f"{address(there, with_id=False)}/p2p/{peer_id(here)[:-1]}{_last(here)}"
    ),
    "self": lambda here, there: address(here),
    "cannot_resolve": lambda here, there: "/dns4/nowhere.invalid/tcp/8810",
    "no_address": lambda here, there: "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    made = Nodes(tmp_path_factory.mktemp("pair"))
    yield made.start(), made.start()
    made.close()


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_the_doctor_names_the_cause(pair: tuple[NodeProcess, NodeProcess], cause: str) -> None:
    here, there = pair
    told = command(here, "doctor", "--json", "--peer", CAUSES[cause](here, there))
    answer = json.loads(told.stdout)
    assert (answer["meets"], answer["cause"]) == (False, cause), answer
    assert answer["advice"] and answer["message"]
    assert told.returncode == 1


def test_the_doctor_says_that_two_nodes_meet(pair: tuple[NodeProcess, NodeProcess]) -> None:
    here, there = pair
    told = command(here, "doctor", "--peer", address(there))
    assert told.returncode == 0 and "The two nodes meet" in told.stdout, told.stdout


def test_the_doctor_knows_another_network(nodes: Nodes) -> None:
    club, public = nodes.start(NETWORK_GOSSIP_NETWORK_ID="club"), nodes.start()
    from_inside = json.loads(command(club, "doctor", "--json", "--peer", address(public)).stdout)
    assert from_inside["cause"] == "other_network"
    from_outside = json.loads(command(public, "doctor", "--json", "--peer", address(club)).stdout)
    assert from_outside["cause"] == "closed_by_peer" and "private network" in from_outside["advice"]


def _last(node: NodeProcess) -> str:
    """Another last character for a peer id."""
    return "2" if peer_id(node).endswith("1") else "1"


def _babbler() -> int:
    """The port of something that says what no libp2p node says, once."""
    import threading

    server = socket.create_server(("127.0.0.1", 0))

    def babble() -> None:
        with server:
            for _ in range(4):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"220 mail.example ESMTP\r\n")
                    connection.recv(1000)

    threading.Thread(target=babble, daemon=True).start()
    return int(server.getsockname()[1])
