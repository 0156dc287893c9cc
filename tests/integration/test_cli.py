"""The command line as a process: what it imports, a terminal, a pipe, Ctrl-C. The node is a stand-in."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PATIENCE_SECONDS = 30.0
ENDLESS = "Count for ever"


class StandIn(ThreadingHTTPServer):
    """A node that answers `You said: ...` word by word, and an endless answer to ENDLESS."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []
        self.given_up = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        answers: dict[str, Any] = {
            "/health/ready": {"ready": True, "subsystems": {"api_server": True}},
            "/v1/models": {"data": [{"id": "guide"}]},
            "/v1/models/auto": {"id": "guide"},
            "/v1/models/guide": {"id": "guide"},
            "/v1/status": {"peer_id": "12D3KooWTest", "addresses": []},
        }
        allowed = self.path == "/health/ready" or self.headers["Authorization"] == "Bearer the-key"
        self._json(200, answers[self.path]) if allowed else self._json(401, {"error": {"message": "no"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        said = body["messages"][-1]["content"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        words = iter(lambda: "more", None) if said == ENDLESS else f"You said: {said}".split(" ")
        try:
            for word in words:
                event = {"choices": [{"delta": {"content": f"{word} "}}]}
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                time.sleep(0.01)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.given_up.set()

    def _json(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing to standard error."""


@pytest.fixture
def node() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "api_key").write_text("the-key\n")
    return tmp_path


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(node: StandIn, home: Path, name: str, *words: str) -> list[str]:
    place = ("--port", str(node.server_port), "--data-dir", str(home))
    return [sys.executable, "-m", "swarmnode", name, *place, *words]


def run(words: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, input=text, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def test_status(node: StandIn, home: Path) -> None:
    done = run(command(node, home, "status", "--json"))
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    told = json.loads(done.stdout)
    assert (told["peer_id"], told["addresses"], told["ready"]) == ("12D3KooWTest", [], True)


def test_status_with_the_key_of_another_node(node: StandIn, home: Path) -> None:
    (home / "api_key").write_text("another-key\n")
    done = run(command(node, home, "status"))
    assert done.returncode == 2
    assert str(home / "api_key") in done.stderr


def test_status_without_a_node(home: Path) -> None:
    words = [sys.executable, "-m", "swarmnode", "status", "--data-dir", str(home), "--port", str(free_port())]
    done = run(words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No node answers at http://127.0.0.1:" in done.stderr
    done = run([*words, "--json"])
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert json.loads(done.stdout)["error"]["code"] == "node_not_running"


@pytest.mark.parametrize(
    "words", [["--help"], ["status", "--help"], ["status"], ["config", "show"], ["version"]]
)
def test_quick_commands_import_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from swarmnode.cli.main import main; main(sys.argv[1:]);"
        "heavy = {'twisted', 'klein', 'zope', 'sqlalchemy', 'numpy', 'structlog', 'swarmnode.assembly'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "SWARMNODE_NODE_LISTEN_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


def test_chat_in_a_pipe(node: StandIn, home: Path) -> None:
    done = run(
        command(node, home, "chat", "--system", "Be brief", "--temperature", "0"),
        "one\ntwo words\n/exit\nthree\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "You said: one \nYou said: two words \n"
    first, second = node.bodies
    assert (first["temperature"], first["max_tokens"], first["model"]) == (0.0, 2048, "auto")
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "swarmnode", "config", "reference"]
    shown = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shown.stdout
    assert shown.stderr
    shown.stdout.close()
    assert shown.wait(PATIENCE_SECONDS) == 1
    assert shown.stderr.read() == b""
    shown.stderr.close()


def test_chat_with_the_output_closed(node: StandIn, home: Path) -> None:
    words = command(node, home, "chat")
    chat = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert chat.stdin
    assert chat.stdout
    assert chat.stderr
    chat.stdout.close()
    chat.stdin.write(f"{ENDLESS}\n".encode())
    chat.stdin.close()
    assert chat.wait(PATIENCE_SECONDS) == 1
    assert b"Traceback" not in chat.stderr.read()
    chat.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_chat_in_a_terminal(node: StandIn, home: Path) -> None:
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, command(node, home, "chat", "--model", "guide"))  # noqa: S606
    screen = Screen(terminal)
    screen.wait_for("> ")
    screen.type("hello\n")
    screen.wait_for("You said: hello")
    screen.wait_for("> ")
    screen.type(f"{ENDLESS}\n")
    screen.wait_for("more more more")
    screen.type("\x03")
    screen.wait_for("[stopped]")
    assert node.given_up.wait(PATIENCE_SECONDS), "the node is told that the answer is not wanted"
    screen.wait_for("> ")
    screen.type("still there?\n")
    screen.wait_for("You said: still there?")
    screen.wait_for("> ")
    screen.type("/exit\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    assert [message["role"] for message in node.bodies[-1]["messages"]] == ["user", "assistant"] * 2 + [
        "user"
    ]


class Screen:
    """The other end of a pseudo-terminal."""

    def __init__(self, terminal: int) -> None:
        self.terminal, self.seen = terminal, ""

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def wait_for(self, text: str) -> None:
        """Until the text has appeared; what came before it is forgotten."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come; there is {self.seen!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
        self.seen = self.seen[self.seen.index(text) + len(text) :]


def test_ctrl_c_ends_a_command_quietly(node: StandIn, home: Path) -> None:
    words = command(node, home, "bench", "--stream", "--no-warm-up", "--prompt", ENDLESS, "--json")
    bench = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + PATIENCE_SECONDS
    while not node.bodies and time.monotonic() < end:
        time.sleep(0.01)
    bench.send_signal(signal.SIGINT)
    out, err = bench.communicate(timeout=PATIENCE_SECONDS)
    assert (bench.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_ctrl_c_ends_a_split_quietly() -> None:
    words = [
        sys.executable,
        "-m",
        "swarmnode",
        "test-split",
        "--kill",
        "both",
        "--max-tokens",
        "4096",
        "--json",
    ]
    check = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert check.stderr is not None
    check.stderr.readline()  # its first worker starts
    check.send_signal(signal.SIGINT)
    out, err = check.communicate(timeout=PATIENCE_SECONDS)
    assert (check.returncode, out) == (130, b"")
    assert b"Traceback" not in err
