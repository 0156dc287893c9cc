"""OpenAI's own Python SDK, unchanged, against the site: field by field, streamed and not.

The site runs in a process of its own over a core that answers by rule, so that every value is known
beforehand. `SWARMNODE_TEST_URL` and `SWARMNODE_TEST_KEY` are not read: what is asserted here is the dialect.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

openai = pytest.importorskip("openai", reason="the openai SDK is not installed")

ROOT = Path(__file__).resolve().parents[2]
HELLO: Any = [{"role": "user", "content": "one two three"}]


@dataclass(frozen=True)
class Node:
    port: int
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **more: Any) -> Any:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, **more)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    command = [sys.executable, "-m", "swarmnode.testing.fake_site"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        hello = json.loads(process.stdout.readline())
        yield Node(hello["port"], hello["api_key"])
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.fixture
def client(node: Node) -> Any:
    return node.client()


# Chat.


def test_a_chat(client: Any) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "echo"
    assert answer.system_fingerprint == "fake-1:kv=f32:residual=f32"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        3,
        3,
        6,
    )
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer._request_id == answer.id.removeprefix("chatcmpl-")


def test_a_streamed_chat(client: Any) -> None:
    chunks = list(client.chat.completions.create(model="echo", messages=HELLO, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "one", " two", " three", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 4 + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


def test_include_usage(client: Any) -> None:
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="echo", messages=HELLO, stream=True, stream_options=options)
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 6
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_sdks_own_streaming_helper(client: Any) -> None:
    with client.chat.completions.stream(model="echo", messages=HELLO, n=2) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
    assert "".join(texts) == "0 one two three1 one two three"
    final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["0 one two three", "1 one two three"]


def test_n(client: Any) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, n=3)
    assert [(one.index, one.message.content) for one in answer.choices] == [
        (index, f"{index} one two three") for index in range(3)
    ]


def test_seed(client: Any) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, seed=12)
    assert answer.choices[0].message.content == "seed12 one two three"
    assert answer.seed == 12
    assert client.chat.completions.create(model="echo", messages=HELLO).seed == 7


def test_stop(client: Any) -> None:
    for stop in ("two", ["zzz", "two"]):
        answer = client.chat.completions.create(model="echo", messages=HELLO, stop=stop)
        assert answer.choices[0].message.content == "one "
        assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens(client: Any, name: str) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, **{name: 2})
    assert answer.choices[0].message.content == "one two"
    assert answer.choices[0].finish_reason == "length"


def test_logprobs(client: Any) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, logprobs=True, top_logprobs=2)
    content = answer.choices[0].logprobs.content
    assert [entry.token for entry in content] == ["one", " two", " three"]
    assert bytes(content[1].bytes) == b" two"
    assert [entry.logprob for entry in content] == [-0.25] * 3
    assert [(top.token, top.logprob) for top in content[0].top_logprobs] == [
        ("other0", -1.25),
        ("other1", -2.25),
    ]


def test_streamed_logprobs(client: Any) -> None:
    chunks = client.chat.completions.create(model="echo", messages=HELLO, logprobs=True, stream=True)
    found = [one.choices[0].logprobs.content[0] for one in chunks if one.choices[0].logprobs]
    assert [(entry.token, entry.logprob, entry.top_logprobs) for entry in found] == [
        ("one", -0.25, []),
        (" two", -0.25, []),
        (" three", -0.25, []),
    ]


def test_harmless_fields(client: Any) -> None:
    answer = client.chat.completions.create(
        model="auto",
        messages=[
            {"role": "developer", "content": "x"},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
        ],
        user="me",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        prompt_cache_key="k",
        safety_identifier="s",
        parallel_tool_calls=True,
        response_format={"type": "text"},
        temperature=0.5,
        top_p=0.9,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "session_id": "s"},
    )
    assert answer.choices[0].message.content == "a"


def test_an_answer_can_be_sent_back_as_it_came(client: Any) -> None:
    message = client.chat.completions.create(model="echo", messages=HELLO).choices[0].message
    again = client.chat.completions.create(model="echo", messages=[*HELLO, message, *HELLO])
    assert again.choices[0].message.content == "one two three"
    as_data: Any = [*HELLO, message.model_dump(), *HELLO]
    assert client.chat.completions.create(model="echo", messages=as_data).choices[0].message.content


# Completions.


def test_a_completion(client: Any) -> None:
    answer = client.completions.create(model="echo", prompt="one two", echo=True)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one twoone two", "stop")
    assert answer.usage.total_tokens == 4


def test_a_streamed_completion_with_usage(client: Any) -> None:
    options = {"include_usage": True}
    chunks = list(client.completions.create(model="echo", prompt="a b", stream=True, stream_options=options))
    assert [chunk.choices[0].text for chunk in chunks[:-1]] == ["a", " b", ""]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == 4


def test_completion_logprobs(client: Any) -> None:
    logprobs = client.completions.create(model="echo", prompt="a b", logprobs=1).choices[0].logprobs
    assert (logprobs.tokens, logprobs.token_logprobs, logprobs.text_offset) == (
        ["a", " b"],
        [-0.25, -0.25],
        [0, 1],
    )
    assert logprobs.top_logprobs[1] == {"other0": -1.25, " b": -0.25}


def test_prompts_of_every_kind(client: Any) -> None:
    def texts(prompt: Any, **more: Any) -> list[str]:
        answer = client.completions.create(model="echo", prompt=prompt, **more)
        assert [choice.index for choice in answer.choices] == list(range(len(answer.choices)))
        return [choice.text for choice in answer.choices]

    assert texts("") == [""]
    assert texts([5, 6]) == ["5 6"]
    assert texts(["a", "b c"]) == ["a", "b c"]
    assert texts([[1], [2, 3]]) == ["1", "2 3"]
    assert texts(["a", "b"], n=2) == ["0 a", "1 a", "0 b", "1 b"]


# Models and errors.


def test_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["echo", "full", "crash"]
    assert client.models.retrieve("echo").owned_by == "local"


def test_errors_become_the_sdks_exceptions(node: Node, client: Any) -> None:
    def error(kind: Any, **body: Any) -> Any:
        with pytest.raises(kind) as caught:
            client.chat.completions.create(**({"model": "echo", "messages": HELLO} | body))
        return caught.value

    wrong = error(openai.BadRequestError, temperature=3)
    assert (wrong.param, wrong.code, wrong.type) == ("temperature", "invalid_value", "invalid_request_error")
    assert error(openai.BadRequestError, extra_body={"nonsense": 1}).param == "nonsense"
    assert (
        error(openai.BadRequestError, tools=[{"type": "function", "function": {"name": "f"}}]).param
        == "tools"
    )
    assert error(openai.NotFoundError, model="none").code == "model_not_found"
    busy = error(openai.InternalServerError, model="full")
    assert (busy.status_code, busy.response.headers["retry-after"], busy.body["hint"]) == (
        503,
        "2",
        "Try again in a moment.",
    )
    assert error(openai.InternalServerError, model="crash").status_code == 500
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=f"{node.url}/v1", api_key="wrong", max_retries=0).models.list()
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.APIStatusError) as missing:
        client.embeddings.create(model="echo", input="x")
    assert missing.value.status_code == 501


def test_a_failure_in_the_middle_of_a_stream_raises(client: Any) -> None:
    received = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(model="crash", messages=HELLO, stream=True):
            received.append(chunk.choices[0].delta.content)
    assert received == ["", "one", " two"]
    assert caught.value.code == "worker_lost"


# Real sockets.


def test_a_body_over_the_cap_is_refused_and_the_answer_arrives(node: Node) -> None:
    headers = {"Authorization": f"Bearer {node.key}"}
    answer = httpx.post(f"{node.url}/v1/chat/completions", content=b" " * (33 << 20), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    exact = httpx.post(f"{node.url}/v1/chat/completions", content=b" " * (32 << 20), headers=headers)
    assert exact.json()["error"]["code"] == "invalid_json"


def test_head_of_the_root(node: Node) -> None:
    assert httpx.head(f"{node.url}/").status_code == 200


def test_a_reader_who_stops_reading_gets_everything_later(node: Node) -> None:
    """Megabytes wait for a reader who has stopped: others are served meanwhile, and nothing is lost."""
    words = " ".join(["word"] * 10_000)
    body = json.dumps(
        {
            "model": "echo",
            "messages": [{"role": "user", "content": words}],
            "stream": True,
            "max_tokens": 32768,
        }
    )
    with socket.create_connection(("127.0.0.1", node.port)) as slow:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\nx-api-key: {node.key}\r\n"
        )
        slow.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert slow.recv(1)
        assert httpx.get(f"{node.url}/health").status_code == 200
        received = b"".join(iter(lambda: slow.recv(1 << 16), b""))
    assert received.count(b'"content":') == 10_001
    assert b"data: [DONE]" in received


def test_connections_are_kept_alive(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.port)
    for _ in range(3):
        connection.request("GET", "/v1/models", headers={"x-api-key": node.key})
        assert connection.getresponse().read()
    connection.close()
