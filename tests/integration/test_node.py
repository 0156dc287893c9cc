"""The node as its users meet it: real processes, the command line's own entry point, loopback only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmnode.testing.node_process import NodeProcess, free_port, is_alive

ECHO = ("--set", "inference.scripted_models=echo,steady")
GUIDE = "swarmnode-guide"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node"), *ECHO) as running:
        yield running


def ask(node: NodeProcess, model: str, text: str, **fields: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    status, answer, _ = node.request("POST", "/v1/chat/completions", body)
    assert status == 200, answer
    return answer


def cli(node: NodeProcess, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    place = ["--port", str(node.port), "--data-dir", str(node.data_dir)]
    return subprocess.run(
        [sys.executable, "-m", "swarmnode", arguments[0], *place, *arguments[1:]],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_answers_from_the_model_in_the_package(node: NodeProcess) -> None:
    answer = ask(node, "auto", "What is swarmnode?", temperature=0)
    assert answer["model"] == GUIDE
    assert "swarmnode" in answer["choices"][0]["message"]["content"]


def test_a_streamed_answer_is_the_same_text(node: NodeProcess) -> None:
    whole = ask(node, GUIDE, "How do I stop the node?", temperature=0)["choices"][0]["message"]["content"]
    body = {
        "model": GUIDE,
        "messages": [{"role": "user", "content": "How do I stop the node?"}],
        "temperature": 0,
        "stream": True,
    }
    parts = [
        chunk["choices"][0]["delta"].get("content", "") for chunk in node.stream("/v1/chat/completions", body)
    ]
    assert "".join(parts) == whole
    assert sum(1 for part in parts if part) > 3


def test_a_seed_repeats_an_answer_and_another_changes_it(node: NodeProcess) -> None:
    def text(seed: int) -> str:
        answer = ask(node, GUIDE, "zxq", temperature=2.0, seed=seed, max_tokens=24)
        return str(answer["choices"][0]["message"]["content"])

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(1, 5)}) > 1


def test_ready_lists_the_subsystems(node: NodeProcess) -> None:
    status, body, _ = node.request("GET", "/health/ready", key=None)
    assert status == 200
    assert body["ready"] is True
    assert {"inference_router", "api_server"} <= set(body["subsystems"])
    assert node.request("GET", "/health", key=None)[0] == 200


def test_status_on_the_command_line(node: NodeProcess) -> None:
    done = cli(node, "status", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert told["peer_id"].startswith("12D3KooW")
    assert told["ready"] is True
    assert isinstance(told["addresses"], list)


def test_status_without_a_node_says_so(tmp_path: Path) -> None:
    nobody = NodeProcess(tmp_path)
    done = cli(nobody, "status")
    assert done.returncode == 1
    assert str(nobody.port) in done.stderr + done.stdout


def test_chat_keeps_the_history(node: NodeProcess) -> None:
    done = cli(node, "chat", "--model", "echo", stdin="first words\nsecond words\n/exit\n")
    assert done.returncode == 0, done.stderr
    assert "first words" in done.stdout
    assert "second words" in done.stdout


def test_bench_prints_one_line_of_json(node: NodeProcess) -> None:
    done = cli(
        node, "bench", "--model-id", "echo", "--stream", "--iterations", "2", "--max-tokens", "8", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "ttft" in done.stdout


def test_an_unknown_model_is_answered_with_the_known_ones(node: NodeProcess) -> None:
    body = {"model": "nope", "messages": [{"role": "user", "content": "x"}]}
    status, answer, _ = node.request("POST", "/v1/chat/completions", body)
    assert status == 404
    assert GUIDE in answer["error"]["message"]


def test_a_missing_or_wrong_key_is_401(node: NodeProcess) -> None:
    for key in (None, "wrong"):
        status, answer, _ = node.request("GET", "/v1/models", key=key)
        assert status == 401
        assert "hint" in answer["error"]


def test_a_prompt_longer_than_the_context_names_both_numbers(node: NodeProcess) -> None:
    body = {"model": GUIDE, "messages": [{"role": "user", "content": "many words " * 20000}]}
    status, answer, _ = node.request("POST", "/v1/chat/completions", body)
    assert status == 400
    assert answer["error"]["code"] == "context_length_exceeded"
    numbers = [int(word) for word in answer["error"]["message"].replace(",", "").split() if word.isdecimal()]
    assert len(numbers) >= 2


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_takes_too_long_is_a_504(node: NodeProcess, stream: bool) -> None:
    question = {"model": GUIDE, "messages": [{"role": "user", "content": "Hello"}], "timeout": 1e-6}
    status, answer, _ = node.request("POST", "/v1/chat/completions", question | {"stream": stream})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (
        504,
        "deadline_exceeded",
        "timeout",
    )


def test_a_stream_that_takes_too_long_ends_with_an_error(node: NodeProcess) -> None:
    words = {"model": "steady", "messages": [{"role": "user", "content": "word " * 200}], "timeout": 1.5}
    chunks = list(node.stream("/v1/chat/completions", words | {"stream": True}))
    assert chunks[0]["choices"] and chunks[-1]["error"]["code"] == "deadline_exceeded"
    assert node.request("GET", "/v1/status")[1]["active_requests"] == 0


def test_metrics_count_the_requests(node: NodeProcess) -> None:
    ask(node, "echo", "count me")
    status, text, headers = node.request("GET", "/metrics", key=None)
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    counted = [line for line in text.splitlines() if line.startswith("swarmnode_inference_requests_total")]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) >= 1


def test_a_second_node_on_the_port_ends_with_2(node: NodeProcess, tmp_path: Path) -> None:
    second = NodeProcess(tmp_path, port=node.port).start()
    assert second.process is not None
    assert second.process.wait(20) == 2
    said = second.log.read_text().splitlines()
    assert [line for line in said if f"Port {node.port} on 127.0.0.1 is taken" in line]
    assert "Traceback" not in "\n".join(said)


def test_a_second_node_on_the_data_directory_ends_with_2(node: NodeProcess, tmp_path: Path) -> None:
    second = NodeProcess(tmp_path)
    second.data_dir = node.data_dir
    second._command[second._command.index("--data-dir") + 1] = str(node.data_dir)
    assert second.start().process.wait(20) == 2  # type: ignore[union-attr]
    assert str(node.pid) in second.log.read_text()


def test_files_of_the_node_are_private(node: NodeProcess) -> None:
    for name in ("identity.key", "api_key"):
        assert (node.data_dir / name).stat().st_mode & 0o077 == 0


def test_killing_the_worker_fails_its_stream_and_the_next_request_works(node: NodeProcess) -> None:
    body = {"model": "steady", "messages": [{"role": "user", "content": "word " * 2000}], "stream": True}
    chunks: list[Any] = []
    for chunk in node.stream("/v1/chat/completions", body):
        chunks.append(chunk)
        if len(chunks) == 4:
            _, status, _ = node.request("GET", "/v1/status")
            pid = next(m["pid"] for m in status["loaded_models"] if m["id"] == "steady")
            os.kill(pid, signal.SIGKILL)
    assert "error" in chunks[-1], chunks[-3:]
    assert ask(node, "steady", "Hello")["choices"][0]["message"]["content"] == "Hello"


def test_eight_streams_at_once_give_the_texts_they_give_alone(node: NodeProcess) -> None:
    questions = [f"word{i} and {i * 7}" for i in range(8)]

    def text(question: str) -> str:
        answer = ask(node, GUIDE, question, temperature=1.0, seed=5, max_tokens=24)
        return str(answer["choices"][0]["message"]["content"])

    alone = [text(question) for question in questions]
    together: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda q=question: together.__setitem__(q, text(q))) for question in questions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [together[question] for question in questions] == alone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_in_order_even_during_a_stream(tmp_path: Path, number: int) -> None:
    with NodeProcess(tmp_path, "--set", "inference.scripted_models=slow") as node:
        body = {"model": "slow", "messages": [{"role": "user", "content": "word " * 2000}], "stream": True}
        stream = node.stream("/v1/chat/completions", body)
        next(stream)
        children = node.children()
        assert children
        begun = time.monotonic()
        assert node.stop(number) == 0
        assert time.monotonic() - begun < 10
        assert not [pid for pid in children if is_alive(pid)]
    assert "Traceback" not in node.log.read_text()


def test_ctrl_c_to_the_whole_group_is_no_crash(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, *ECHO) as node:
        ask(node, "echo", "hello")
        os.killpg(node.pid, signal.SIGINT)
        assert node.process is not None
        assert node.process.wait(10) == 0
    log = node.log.read_text()
    assert "Traceback" not in log
    assert "crash" not in log.lower()


def test_kill_9_of_the_node_alone_leaves_no_orphan(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, *ECHO) as node:
        ask(node, "echo", "hello")
        ask(node, GUIDE, "hello")
        children = node.children()
        assert len(children) >= 2
        node.send_signal(signal.SIGKILL)
        end = time.monotonic() + 10
        while any(is_alive(pid) for pid in children) and time.monotonic() < end:
            time.sleep(0.02)
        assert not [pid for pid in children if is_alive(pid)]


def test_the_identity_survives_a_restart(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        with NodeProcess(tmp_path) as node:
            seen.add(node.request("GET", "/v1/status")[1]["peer_id"])
    assert len(seen) == 1


def test_a_damaged_database_is_moved_aside(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path)
    node.data_dir.mkdir()
    (node.data_dir / "swarmnode.db").write_bytes(os.urandom(8192))
    with node:
        assert ask(node, GUIDE, "Hello")["choices"]
    assert list(node.data_dir.glob("swarmnode.db.corrupt*"))
    assert "corrupt" in node.log.read_text()


def test_a_broken_model_file_harms_nobody(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + os.urandom(4000))
    with NodeProcess(tmp_path / "home", "--model", str(broken)) as node:
        assert ask(node, "auto", "Hello")["model"] == GUIDE
        status = node.request("GET", "/v1/status")[1]
        assert "broken.gguf" in status["unusable_models"]["broken"]
        code, answer, _ = node.request(
            "POST",
            "/v1/chat/completions",
            {"model": "broken", "messages": [{"role": "user", "content": "x"}]},
        )
        assert code >= 400
        assert "broken.gguf" in answer["error"]["message"]


def test_stories_from_an_empty_prompt(tmp_path: Path, shared: Path) -> None:
    model = shared / "data/stories260K/stories260K.f32.gguf"
    expected = (shared / "data/stories260K/greedy200.txt").read_text().lstrip()
    with NodeProcess(tmp_path, "--model", str(model)) as node:
        body = {"model": "auto", "prompt": "", "temperature": 0, "max_tokens": 200}
        status, answer, _ = node.request("POST", "/v1/completions", body)
    assert status == 200
    assert answer["choices"][0]["text"].lstrip() == expected


@pytest.mark.parametrize(
    "command",
    [
        [str(Path(sys.executable).with_name("twist")), "swarmnode"],
        [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "swarmnode"],
        [str(Path(sys.executable).with_name("swarmnode"))],
    ],
    ids=["twist", "twistd", "bare"],
)
def test_every_way_of_starting_gives_the_same_node(tmp_path: Path, command: list[str]) -> None:
    with NodeProcess(tmp_path, command=command) as node:
        assert ask(node, "auto", "Hello")["model"] == GUIDE
        assert node.stop(signal.SIGTERM) in (0, -signal.SIGTERM)


def test_twistd_on_a_taken_port_ends_with_2(tmp_path: Path, node: NodeProcess) -> None:
    twistd = [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "swarmnode"]
    second = NodeProcess(tmp_path, port=node.port, command=twistd).start()
    assert second.process is not None
    assert second.process.wait(20) == 2
    assert "Traceback" not in second.log.read_text()


def test_a_bad_setting_is_one_clear_error(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, environment={"SWARMNODE_NODE_LISTEN_PROT": str(free_port())}).start()
    assert node.process is not None
    assert node.process.wait(20) == 2
    log = node.log.read_text()
    assert "SWARMNODE_NODE_LISTEN_PORT" in log or "listen_port" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("inference.backend=nosuch", "The inference back end 'nosuch' (inference.backend) is not there"),
        ("inference.model_path=/nowhere/gone.gguf", "There is no model file /nowhere/gone.gguf"),
        ("storage.database_url=nonsense", "The database URL cannot be used: it is not a URL"),
        ("api.listen_address=192.0.2.1", "Cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(tmp_path: Path, setting: str, words: str) -> None:
    node = NodeProcess(tmp_path, "--set", setting).start()
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert f"swarmnode: {words}" in node.log.read_text()


def test_a_default_model_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "--set", "inference.default_model=nosuch") as node:
        node.wait_until(lambda: "no model answers by default" in node.log.read_text(), 10, "no warning")


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_fifty_starts_and_stops_leave_nothing(tmp_path: Path) -> None:
    def sockets() -> int:
        return sum(1 for line in Path("/proc/net/unix").read_text().splitlines()[1:] if "swarmnode" in line)

    scratch = tmp_path / "tmp"
    scratch.mkdir()
    before = sockets()
    left: list[int] = []
    for _ in range(50):
        with NodeProcess(tmp_path / "home", environment={"TMPDIR": str(scratch)}) as node:
            left += [node.pid, *node.children()]
    assert not [pid for pid in left if is_alive(pid)]
    assert sockets() == before
    assert list(scratch.iterdir()) == []
    kept = {path.name for path in (tmp_path / "home/data").iterdir()}
    assert not {name for name in kept if name.endswith((".tmp", ".sock", "-wal", "-shm"))}
