"""Parts that end in a running node: a critical one ends the node in order, another one does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from swarmnode.testing.node_process import NodeProcess, is_alive

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")

SERVED = """
import os, socket, sys
from swarmnode.network import listening
serve = listening.ReservedPort.serve
def short_lived(self, reactor, factory):
    serve(self, reactor, factory)
    ours = socket.socket(fileno=os.dup(self._listening.fileno()))
    # What a broken network stack, or a debugger, would do to it.
    reactor.callLater(2.0, ours.shutdown, socket.SHUT_RDWR)
listening.ReservedPort.serve = short_lived
"""
#: The watcher of the models folder always raises, twenty times a second.
WATCHED = """
import sys
from swarmnode import assembly
from swarmnode.services import keep_catalog
assembly.RESCAN_SECONDS = 0.05
look = keep_catalog.ModelCatalog.rescan
def rescan(self, seen=[]):
    seen.append(1)
    if len(seen) > 1:
        raise RuntimeError("the folder is haunted")
    return look(self)
keep_catalog.ModelCatalog.rescan = rescan
"""
#: The loop that calls the watcher ends.
ENDED = """
import sys
from swarmnode import assembly
assembly.RESCAN_SECONDS = 0.05
def broken(work, log, what):
    def explode():
        raise RuntimeError("the loop is broken")
    return explode
assembly._logged = broken
"""
RUN = """
from swarmnode.cli.main import main
sys.exit(main(["run", *sys.argv[1:]]))
"""
TWISTD = """
sys.argv = ["twistd", "--nodaemon", "--pidfile=", "swarmnode", *sys.argv[1:]]
from twisted.scripts.twistd import run
run()
"""


def node_of(home: Path, fault: str, way: str, *arguments: str) -> NodeProcess:
    return NodeProcess(home, *arguments, command=[sys.executable, "-c", fault + way])


@pytest.mark.parametrize("way", [RUN, TWISTD], ids=["run", "twistd"])
def test_a_critical_part_that_ends_stops_the_node_in_order_and_is_named(tmp_path: Path, way: str) -> None:
    node = node_of(tmp_path, SERVED, way, "--no-browser").start().wait_ready()
    assert node.process is not None
    node.wait_until(lambda: node.children(), 20, "no worker was started")
    workers = node.children()
    assert node.process.wait(20) == 1
    log = node.log.read_text()
    assert "critical part ended, the node stops part=http_port" in log
    assert f"Port {node.port} on 127.0.0.1 is not listened on any more" in log
    assert log.index(" stopping") < log.index(" stopped")
    assert "Traceback" not in log
    assert [pid for pid in workers if is_alive(pid)] == []
    if way is RUN:
        assert log.splitlines()[-2].startswith("swarmnode: The node stopped: http_port: ")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (WATCHED, "the folder is haunted"),
        (ENDED, "part ended, the node goes on without it part=model_rescans"),
    ],
    ids=["raises", "ends"],
)
def test_a_part_that_is_not_critical_may_fail_for_ever(tmp_path: Path, fault: str, says: str) -> None:
    node = node_of(tmp_path, fault, RUN).start().wait_ready()
    try:
        node.wait_until(lambda: says in node.log.read_text(), 20, "the failure is not in the log")
        assert node.request("GET", "/health/ready", key=None)[0] == 200
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
        assert node.request("POST", "/v1/chat/completions", body)[0] == 200
    finally:
        assert node.stop() == 0
    assert "Unhandled error" not in node.log.read_text()
