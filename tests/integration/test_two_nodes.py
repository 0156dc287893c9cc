"""Two real nodes on loopback answer together, and say byte for byte what one says alone."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarmnode.config.settings import P2P_PORT_OFFSET
from swarmnode.testing.node_process import NodeProcess

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SWARMNODE_SHARED", ROOT.parent / "shared"))
STORIES = SHARED / "data/stories260K/stories260K.f32.gguf"
GUIDE = ROOT / "swarmnode/inference/guide/guide.gguf"

needs_guide = pytest.mark.skipif(not GUIDE.is_file(), reason="the guide model is not built yet")
needs_stories = pytest.mark.skipif(not STORIES.is_file(), reason=f"{STORIES} is not there")

PROMPT = "Hello! What are you, and what can I do with you?"
STORY = "Once upon a time there was a little girl who"
#: The small model's whole context, nearly: an answer that takes long enough to be cut off.
MANY_TOKENS = 480


def peer_id(node: NodeProcess) -> str:
    return str(node.request("GET", "/v1/status")[1]["peer_id"])


def address(node: NodeProcess) -> str:
    return f"/ip4/127.0.0.1/tcp/{node.port + P2P_PORT_OFFSET}/p2p/{peer_id(node)}"


def split(head: NodeProcess, peer: str, prompt: str = PROMPT, **wish: Any) -> tuple[int, dict[str, Any]]:
    status, answer, _ = head.request(
        "POST", "/api/admin/test-split", {"peer": peer, "prompt": prompt, **wish}
    )
    return status, answer


def error_code(answer: dict[str, Any]) -> str:
    return str(answer["error"]["code"])


def models(node: NodeProcess) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in node.request("GET", "/v1/status")[1]["loaded_models"]}


def is_idle(node: NodeProcess) -> bool:
    return not any(one["active_requests"] for one in models(node).values())


def part_of(answer: dict[str, Any], remote: int) -> str:
    """What the worker for a range of layers is called."""
    return f"{answer['model']} [{answer['split'].split(',')[remote]}]"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two nodes with the guide model, connected."""
    home = tmp_path_factory.mktemp("pair")
    with NodeProcess(home / "a") as ada, NodeProcess(home / "b") as bob:
        yield ada, bob


@contextmanager
def two_tellers(home: Path) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two nodes with the same story teller, each with a file of its own."""
    nodes = []
    for name in ("a", "b"):
        model = home / f"{name}.folder" / "teller.gguf"
        model.parent.mkdir()
        model.write_bytes(STORIES.read_bytes())
        nodes.append(NodeProcess(home / name, "--model", str(model)))
    with nodes[0], nodes[1]:
        yield nodes[0], nodes[1]


@pytest.fixture(scope="module")
def tellers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two for all tests that leave them alive."""
    with two_tellers(tmp_path_factory.mktemp("tellers")) as nodes:
        yield nodes


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two of which one is to die."""
    with two_tellers(tmp_path) as nodes:
        yield nodes


@needs_guide
@pytest.mark.parametrize("remote", [[1], [0], [0, 1]], ids=["last", "first", "both"])
def test_the_guide_answers_over_two_nodes(pair: tuple[NodeProcess, NodeProcess], remote: list[int]) -> None:
    ada, bob = pair
    status, answer = split(ada, address(bob), remote=remote)
    assert status == 200 and answer["ok"], answer
    assert (answer["peer"], answer["remote"]) == (peer_id(bob), remote)
    assert [row["identical"] for row in answer["scenarios"]] == [True, True]
    assert all(row["tokens"] > 10 for row in answer["scenarios"])
    # It is what the node says when it is asked as usual.
    asked = {
        "model": "auto",
        "messages": [{"role": "user", "content": PROMPT}],
        "temperature": 0,
        "max_tokens": 32,
    }
    usual = ada.request("POST", "/v1/chat/completions", asked)[1]["choices"][0]["message"]["content"]
    assert answer["texts"]["greedy"] == usual
    wanted = {f"swarmnode-guide [{part}]" for i, part in enumerate(answer["split"].split(",")) if i in remote}
    assert wanted <= set(models(bob))


@needs_guide
def test_a_middle_of_three_by_peer_id(pair: tuple[NodeProcess, NodeProcess]) -> None:
    ada, bob = pair
    split(ada, address(bob), max_tokens=1)  # so that they know each other
    status, answer = split(ada, peer_id(bob), split="0-0,1-3,4-99", remote=[1], max_tokens=16)
    assert status == 200 and answer["ok"], answer
    assert [row["identical"] for row in answer["scenarios"]] == [True, True]


@needs_guide
def test_the_command_line_tells_what_came_of_it(pair: tuple[NodeProcess, NodeProcess]) -> None:
    ada, bob = pair
    command = [sys.executable, "-m", "swarmnode", "test-split", "--peer", address(bob), "--max-tokens", "8"]
    command += ["--port", str(ada.port), "--data-dir", str(ada.data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert "greedy: identical, 8 tokens" in done.stderr and "all answers are identical" in done.stderr
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert json.loads(done.stdout)["peer"] == peer_id(bob)


@needs_guide
@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"split": "0-2,4-5"}, "bad_layer_range"),
        ({"remote": [2]}, "bad_layer_range"),
        ({"remote": []}, "invalid_value"),
        ({"model": "nothing"}, "model_not_found"),
        ({"max_tokens": 0}, "invalid_value"),
        ({"peer": "12D3KooWnonsense"}, None),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused(
    pair: tuple[NodeProcess, NodeProcess], wish: dict[str, Any], code: str | None
) -> None:
    ada, bob = pair
    status, answer = split(ada, **{"peer": address(bob), **wish})
    assert status in (400, 404)
    assert code is None or error_code(answer) == code


@needs_guide
def test_a_node_is_no_peer_of_itself_and_strangers_are_not_found(
    pair: tuple[NodeProcess, NodeProcess],
) -> None:
    ada, _bob = pair
    status, answer = split(ada, peer_id(ada))
    assert (status, error_code(answer)) == (400, "self_dial")
    status, _ = split(ada, "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5")
    assert status == 503


@needs_guide
@needs_stories
def test_another_file_is_another_model(pair: tuple[NodeProcess, NodeProcess], tmp_path: Path) -> None:
    _ada, bob = pair
    with NodeProcess(tmp_path / "c", "--model", str(STORIES)) as carol:
        status, answer = split(carol, address(bob), STORY)
    assert (status, error_code(answer)) == (400, "no_such_model")
    assert peer_id(bob) in answer["error"]["message"]


@needs_stories
def test_other_numbers_are_not_mixed(tmp_path: Path) -> None:
    model = ("--model", str(STORIES))
    with (
        NodeProcess(tmp_path / "a", *model) as ada,
        NodeProcess(tmp_path / "b", *model, "--set", "inference.backend=numpy") as bob,
    ):
        status, answer = split(ada, address(bob), STORY)
    assert (status, error_code(answer)) == (400, "other_numerics")


@needs_stories
@pytest.mark.parametrize("remote", [0, 1])
def test_a_worker_that_is_killed_over_there_is_replaced(
    tellers: tuple[NodeProcess, NodeProcess], remote: int
) -> None:
    ada, bob = tellers
    status, answer = split(ada, address(bob), STORY, remote=[remote], max_tokens=4)  # all is loaded
    assert status == 200 and answer["ok"], answer
    name = part_of(answer, remote)
    worker = models(bob)[name]["pid"]
    asked = Asked(ada, peer_id(bob), remote=[remote])
    bob.wait_until(lambda: models(bob)[name]["active_requests"], 20, "no session")
    os.kill(worker, signal.SIGKILL)
    status, answer = asked.wait()
    assert status == 200 and answer["ok"], answer
    assert [row["identical"] for row in answer["scenarios"]] == [True, True]
    assert models(bob)[name]["pid"] != worker


@needs_stories
def test_a_node_that_dies_in_mid_answer_is_named(doomed: tuple[NodeProcess, NodeProcess]) -> None:
    ada, bob = doomed
    split(ada, address(bob), STORY, max_tokens=1)
    peer = peer_id(bob)
    asked = Asked(ada, peer)
    bob.wait_until(lambda: not is_idle(bob), 20, "no session")
    bob.kill_group()
    status, answer = asked.wait()
    assert (status, error_code(answer)) == (503, "stage_lost")
    assert peer in answer["error"]["message"]
    assert is_idle(ada)


@needs_stories
def test_when_the_head_dies_its_sessions_end(doomed: tuple[NodeProcess, NodeProcess]) -> None:
    ada, bob = doomed
    split(ada, address(bob), STORY, max_tokens=1)
    Asked(ada, peer_id(bob))
    bob.wait_until(lambda: not is_idle(bob), 20, "no session")
    ada.kill_group()
    bob.wait_until(lambda: is_idle(bob), 15, "the session stays")


@needs_stories
def test_who_hangs_up_stops_the_work_on_both_nodes(tellers: tuple[NodeProcess, NodeProcess]) -> None:
    ada, bob = tellers
    split(ada, address(bob), STORY, max_tokens=1)
    connection = http.client.HTTPConnection("127.0.0.1", ada.port)
    wish = {"peer": peer_id(bob), "prompt": STORY, "max_tokens": MANY_TOKENS}
    headers = {"Authorization": f"Bearer {ada.api_key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/admin/test-split", json.dumps(wish), headers)
    bob.wait_until(lambda: not is_idle(bob), 20, "no session")
    connection.close()
    begun = time.monotonic()
    for node in (ada, bob):
        node.wait_until(partial(is_idle, node), 10, "it goes on")
    assert time.monotonic() - begun < 10
    status, answer = split(ada, peer_id(bob), STORY, max_tokens=2)
    assert status == 200 and answer["ok"]


class Asked:
    """A split that is tried meanwhile."""

    def __init__(self, head: NodeProcess, peer: str, **wish: Any) -> None:
        self._result: list[tuple[int, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self._run, args=(head, peer, wish), daemon=True)
        self._thread.start()

    def _run(self, head: NodeProcess, peer: str, wish: dict[str, Any]) -> None:
        try:
            self._result.append(split(head, peer, STORY, max_tokens=MANY_TOKENS, **wish))
        except OSError:
            return  # the node was killed

    def wait(self) -> tuple[int, dict[str, Any]]:
        self._thread.join(60)
        return self._result[0]
