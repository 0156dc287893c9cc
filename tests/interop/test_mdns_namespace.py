"""Nodes find each other by multicast DNS, in a network namespace of their own: a link with nobody else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from libp2p_peers import PeerProcess, js_node, our_node, py_node

pytestmark = pytest.mark.timeout(120)

TOOLS = ("unshare", "nsenter", "ip")
#: Loopback that takes multicast, with an address that is told to others.
ADDRESS = "10.77.0.1"
LISTEN = f"/ip4/{ADDRESS}/tcp/0"
LINK = (
    "ip link set lo up multicast on && "
    f"ip addr add {ADDRESS}/24 dev lo && "
    "ip route add 224.0.0.0/4 dev lo && "
    "echo ready && exec cat"
)
#: js-libp2p asks every second here, ours more often at first.
FOUND_SECONDS = 30.0

Prefix = tuple[str, ...]


@pytest.fixture
def link() -> Iterator[Prefix]:
    """What commands are to be run by, so that they are in the namespace."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no network namespace without {', '.join(missing)}")
    with subprocess.Popen(
        ["unshare", "-Urn", "sh", "-c", LINK],  # noqa: S607
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None and holder.stderr is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip(f"a network namespace is refused here: {holder.stderr.read().strip()}")
        yield ("nsenter", "--preserve-credentials", "-U", "-n", "-t", str(holder.pid))
        holder.stdin.close()


def check_found(one: PeerProcess, other: PeerProcess) -> None:
    """One finds the other, with its address."""
    found = one.event("found", FOUND_SECONDS, peer=other.peer)
    places = [address.removesuffix(f"/p2p/{other.peer}") for address in found["addresses"]]
    assert other.address.removesuffix(f"/p2p/{other.peer}") in places


@pytest.mark.parametrize("start", [js_node, our_node])
def test_nodes_find_each_other(link: Prefix, start: Callable[..., PeerProcess]) -> None:
    with our_node(link, mdns=True, listen=LISTEN) as ours, start(link, mdns=True, listen=LISTEN) as theirs:
        check_found(ours, theirs)
        check_found(theirs, ours)
        # What was found can be dialled.
        assert ours.ask("dial", address=theirs.address) == theirs.peer
        theirs.until("peers", lambda peers: ours.peer in peers)


def test_we_find_py_libp2p(link: Prefix) -> None:
    """One way only: py-libp2p 0.8.1 asks for a peer's SRV record, of which the specification of libp2p's mDNS
    knows nothing (a PTR and TXT records are all): it finds nobody but its like, not js-libp2p either."""
    with our_node(link, mdns=True, listen=LISTEN) as ours, py_node(link, mdns=True, listen=LISTEN) as theirs:
        check_found(ours, theirs)
        assert ours.ask("dial", address=theirs.address) == theirs.peer


def test_another_service_is_not_found(link: Prefix) -> None:
    """A private network's nodes look for a service of their own name."""
    service = "_p2p-0123456789abcdef._udp.local"
    with (
        our_node(link, mdns=True, listen=LISTEN) as ours,
        js_node(link, mdns=True, listen=LISTEN, service=service) as strangers,
        js_node(link, mdns=True, listen=LISTEN) as theirs,
    ):
        ours.event("found", FOUND_SECONDS, peer=theirs.peer)
        theirs.event("found", FOUND_SECONDS, peer=ours.peer)
        assert [event for event in ours.events("found") if event["peer"] == strangers.peer] == []
        assert strangers.events("found") == []
