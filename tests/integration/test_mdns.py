"""Two nodes on one host meet by multicast DNS: real sockets, in a network of their own.

Loopback carries multicast of IPv4 only; with IPv6 the sockets are opened and found to lead nowhere.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys, time
from twisted.internet import defer, reactor

reactor.seconds = time.monotonic
from swarmnode.network.find_by_mdns import FindByMdns
from swarmnode.network.mdns_socket import MulticastSocket, link_interfaces
from swarmnode.testing.fake_host import FakeNetwork
from swarmnode.testing.host_bench import TestLog
from swarmnode.values.network import NetworkSettings

versions, late = sys.argv[1:]
network, log, begun, found = FakeNetwork(reactor), TestLog(), {}, {}


def interfaces():
    return [
        type(one)(one.name, one.index, tuple(a for a in one.addresses if str(a.version) in versions))
        for one in link_interfaces()
    ]


def search(number):
    host = network.host(f"/ip4/10.0.0.{number}/tcp/8810")

    def met(peer, addresses, how):
        found.setdefault(number, time.monotonic())
        if len(found) == 2:
            latest = max(begun.values())
            print(json.dumps({"seconds": max(found.values()) - latest, "log": log.of("warning")}))
            reactor.callLater(0.1, stop)

    begun[number] = time.monotonic()
    socket = MulticastSocket(reactor, log, interfaces)
    made = FindByMdns(host, met, NetworkSettings(), reactor, socket=socket, log=log)
    made.start()
    searches.append(made)


def stop():
    defer.DeferredList([one.stop() for one in searches]).addBoth(lambda _: reactor.stop())


searches = []
reactor.callLater(0, search, 1)
reactor.callLater(float(late), search, 2)
reactor.callLater(20, lambda: reactor.stop())
reactor.run()
"""


def alone(*args: str) -> subprocess.CompletedProcess[str]:
    """Runs the script where there is no network but loopback, with multicast."""
    inside = f'ip link set lo up multicast on && exec "{sys.executable}" -c "$0" "$@"'
    command = ["unshare", "-Urn", "sh", "-c", inside, SCRIPT, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare or ip is not installed")
    probe = subprocess.run(
        ["unshare", "-Urn", "ip", "link", "set", "lo", "up"], capture_output=True, check=False, timeout=30
    )
    if probe.returncode:
        pytest.skip("network namespaces are refused here")


@pytest.mark.parametrize("versions", ["4", "46"])
@pytest.mark.parametrize("late", ["0", "2.5"])
def test_two_nodes_on_one_host_meet_in_seconds(versions: str, late: str) -> None:
    done = alone(versions, late)
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert result["seconds"] < 5
    assert result["log"] == []
