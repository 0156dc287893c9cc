"""No worker outlives its node, and none ends before its node says so."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmnode.protocols.worker.frames import FrameDecoder, Outbox
from swarmnode.protocols.worker.messages import LINK_VERSION, Message, json_bytes
from swarmnode.protocols.worker.specs import spec_as_dict
from swarmnode.values.generation import GenerationRequest, RawText, request_as_dict
from swarmnode.values.loading import LoadSpec
from swarmnode.workers.spawning import LINK_FD, worker_command, worker_environment

SHARED = Path(os.environ.get("SWARMNODE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
STORIES = SHARED / "data/stories260K/stories260K.f32.gguf"
SCRIPTED = "swarmnode.inference.scripted:make_engine"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: A node's process with one worker. It says `ready PID` when the model is loaded, then writes every
#: event; at an orderly stop it asks the worker once more and says what it answered.
NODE = """
import sys, time
from twisted.internet import reactor
reactor.seconds = time.monotonic
from swarmnode.workers.process import WorkerProcess
from swarmnode.values.loading import LoadSpec
from swarmnode.values.generation import *

def say(*what):
    print(*what, flush=True)

class Sink:
    def __init__(self, then):
        self.texts, self.then = [], then
    def event(self, event):
        if isinstance(event, TextDelta):
            self.texts.append(event.text)
            say("token")
        elif isinstance(event, (Finished, Failed)):
            self.then("".join(self.texts))

def ask(then, **fields):
    prompt = Conversation((Message("user", "hello"),))
    worker.generate(GenerationRequest("r", "m", prompt, **fields), Sink(then))

def last_words():
    from twisted.internet.defer import Deferred
    done = Deferred()
    ask(lambda text: (say("answered", repr(text)), worker.leave().chainDeferred(done)), max_tokens=3)
    return done

path, factory, asking = sys.argv[1:]
worker = WorkerProcess(reactor, "m", lambda error: say("lost", error.message))
reactor.callWhenRunning(say, "started", worker.pid)  # from here on it handles signals
options = {"say": "word " * 10, "fault": {"kind": "hang", "after": 1} if asking == "hang" else {}}
loading = worker.load(LoadSpec("m", path, options=options), factory)

def loaded(_description):
    say("ready", worker.pid)
    if asking != "no":
        ask(say, max_tokens=400)

loading.addCallback(loaded)
reactor.addSystemEventTrigger("before", "shutdown", last_words)
reactor.run()
say("over")
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def descendants(pid: int) -> list[int]:
    parents = {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                stat = (place / "stat").read_text()
            except OSError:
                continue
            parents[int(place.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


@contextmanager
def node(path: str = "", factory: str = SCRIPTED, asking: str = "no") -> Iterator[subprocess.Popen[str]]:
    """A node in a process group of its own, its lines on stdout."""
    process = subprocess.Popen(
        [sys.executable, "-c", NODE, path, factory, asking],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for(process: subprocess.Popen[str], word: str) -> list[str]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line.split()
    pytest.fail(f"the node never said {word!r}")


@pytest.mark.parametrize("asking", ["no", "hang"])
def test_a_killed_node_takes_its_worker_with_it(asking: str) -> None:
    with node(asking=asking) as process:
        pid = int(wait_for(process, "ready")[1])
        if asking == "hang":
            wait_for(process, "token")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: gone(pid))


@pytest.mark.skipif(not STORIES.is_file(), reason=f"{STORIES} is not there")
def test_a_killed_node_takes_its_worker_and_the_template_process_with_it() -> None:
    with node(str(STORIES), "swarmnode.inference.serving:make_engine", "yes") as process:
        pid = int(wait_for(process, "ready")[1])
        wait_for(process, "token")
        family = [pid, *descendants(pid)]
        assert len(family) == 2, "the worker renders in a process of its own"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: all(map(gone, family)))


@pytest.mark.parametrize("moment", ["started", "ready"])
def test_ctrl_c_reaches_all_but_the_worker_answers_until_the_node_ends_it(moment: str) -> None:
    with node() as process:
        pid = int(wait_for(process, "started")[1])
        if moment == "ready":
            wait_for(process, "ready")
        os.killpg(process.pid, signal.SIGINT if moment == "ready" else signal.SIGTERM)
        if moment == "ready":
            assert "word word" in " ".join(wait_for(process, "answered"))
        wait_for(process, "over")
        until(lambda: gone(pid))
        assert process.wait() == 0


@pytest.mark.parametrize("hangs", [False, True])
def test_a_worker_ends_when_its_link_is_closed_though_its_parent_lives(hangs: bool) -> None:
    ours, theirs = socket.socketpair()
    assert LINK_FD == 3
    worker = subprocess.Popen(
        worker_command(f"fd:{theirs.fileno()}"),
        env=worker_environment(os.environ),
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    fault = {"fault": {"kind": "hang", "after": 1}} if hangs else {}
    request = GenerationRequest("r", "m", RawText("x"))
    spec = LoadSpec("m", "", options={"say": "a b", **fault})
    say(ours, Message("hello", {"version": LINK_VERSION}))
    say(ours, Message("load", {"factory": SCRIPTED}, json_bytes(spec_as_dict(spec))))
    hear(ours, "loaded")
    say(ours, Message("generate", {"slot": 0}, json_bytes(request_as_dict(request))))
    hear(ours, "events")
    ours.close()
    assert worker.wait(timeout=10) == 0


def say(link: socket.socket, message: Message) -> None:
    outbox = Outbox()
    outbox.push(message)
    while frame := outbox.pop():
        link.sendall(frame)


def hear(link: socket.socket, kind: str) -> None:
    decoder = FrameDecoder("W")
    link.settimeout(20)
    while data := link.recv(1 << 16):
        if kind in [message.kind for message in decoder.feed(data)]:
            return
    pytest.fail(f"the worker never said {kind!r}")


#: Maps more than the limit leaves, before and after it is set; nothing of it is ever touched.
GREEDY = """
import mmap
from swarmnode.inference.watchdog import ADDRESS_HEADROOM, limit_address_space
mmap.mmap(-1, ADDRESS_HEADROOM + (2 << 30)).close()
limit_address_space(1 << 30)
mmap.mmap(-1, 1 << 30).close()
try:
    mmap.mmap(-1, ADDRESS_HEADROOM + (2 << 30))
except OSError as error:
    print("refused:", error.strerror)
"""


def test_a_worker_cannot_take_the_whole_machine() -> None:
    done = subprocess.run([sys.executable, "-c", GREEDY], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refused: Cannot allocate memory\n", done.stderr
