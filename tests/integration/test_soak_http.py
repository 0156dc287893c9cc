"""A whole node under fifty requests at once over HTTP, half of whose clients go away."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from swarmnode.testing.node_process import NodeProcess

REQUESTS = 50
PATH = "/v1/completions"
WORDS = ("the", "node", "a", "model", "page", "key", "stop", "start", "swarm", "layer", "prompt", "file")
IDLE_SECONDS = 20

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    # Fewer places than clients, so that most wait, in the node and in the worker.
    settings = ("inference.max_concurrent_requests=12", "inference.max_batch_size=4")
    with NodeProcess(
        tmp_path_factory.mktemp("node"), *(a for s in settings for a in ("--set", s))
    ) as running:
        yield running


def body(number: int) -> dict[str, Any]:
    """A question whose answer is a function of it."""
    rng = Random(number)
    return {
        "model": "auto",
        "prompt": " ".join(rng.choices(WORDS, k=rng.choice([2, 30, 120]))),
        "max_tokens": rng.choice([3, 40, 120]),
        "temperature": rng.choice([0.0, 1.2]),
        "seed": number,
        "n": rng.choice([1, 1, 2]),
        "frequency_penalty": rng.choice([0.0, 0.5]),
        **rng.choice([{}, {"logprobs": 2}, {"stop": ["the", "."]}, {"session_id": f"talk {number % 3}"}]),
    }


def whole(node: NodeProcess, number: int) -> dict[int, str]:
    status, answer, _ = node.request("POST", PATH, body(number))
    assert status == 200, answer
    return {choice["index"]: choice["text"] for choice in answer["choices"]}


def streamed(node: NodeProcess, number: int, most: int | None = None) -> dict[int, str]:
    """The texts of a stream that is read to its end, or left after so many pieces."""
    texts: dict[int, str] = {}
    stream = node.stream(PATH, body(number) | {"stream": True})
    for count, chunk in enumerate(stream):
        if count == most:
            stream.close()  # closes the connection
            break
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    return texts


def client(node: NodeProcess, index: int) -> tuple[int, bool, dict[int, str]]:
    """What the client got: the number of its question, whether it stayed, the texts."""
    number, leaves = index // 2, index % 2 == 1
    if leaves:
        return number, False, streamed(node, number, number % 4)
    return number, True, streamed(node, number) if number % 2 else whole(node, number)


def idle(node: NodeProcess) -> bool:
    status = node.request("GET", "/v1/status")[1]
    return bool(status["active_requests"] == status["queued_requests"] == 0) and not any(
        model["active_requests"] for model in status["loaded_models"]
    )


def test_fifty_at_once_half_of_which_leave(node: NodeProcess) -> None:
    alone = {number: whole(node, number) for number in range(REQUESTS // 2)}
    before = node.request("GET", "/v1/status")[1]["loaded_models"]
    with ThreadPoolExecutor(REQUESTS) as clients:
        answers = list(clients.map(lambda index: client(node, index), range(REQUESTS)))
    node.wait_until(lambda: idle(node), IDLE_SECONDS, "a request that nobody reads goes on")
    assert [a for a in answers if a[1]] == [(n, True, alone[n]) for n in sorted(alone)]
    for number, _stayed, texts in answers:
        assert all(alone[number][choice].startswith(text) for choice, text in texts.items())
    after = node.request("GET", "/v1/status")[1]["loaded_models"]
    assert [model["pid"] for model in after] == [model["pid"] for model in before]
    assert "Traceback" not in Path(node.log).read_text()
