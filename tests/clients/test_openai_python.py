"""OpenAI's own Python SDK against a real node: real workers, real models, every field that is done.

The dialect by itself, with every value known beforehand, is tested in `tests/integration/test_openai_sdk.py`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmnode.testing.node_process import NodeProcess

openai = pytest.importorskip("openai", reason="the openai SDK is not installed")

GUIDE = "swarmnode-guide"
QUESTION: Any = [{"role": "user", "content": "What is swarmnode?"}]
NOISE: Any = [{"role": "user", "content": "xyzzy plugh"}]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(
        tmp_path_factory.mktemp("node"), "--set", "inference.scripted_models=echo,steady"
    ) as running:
        yield running


@pytest.fixture
def client(node: NodeProcess) -> Any:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{node.port}/v1", api_key=node.api_key, max_retries=0)


def wild(client: Any, **fields: Any) -> Any:
    """An answer that depends on the sampling: unusual text, high temperature."""
    settings = {"model": GUIDE, "messages": NOISE, "temperature": 2.0, "max_tokens": 16, "seed": 3} | fields
    return client.chat.completions.create(**settings)


def test_models_are_listed_and_found_by_name(client: Any) -> None:
    listed = client.models.list().data
    assert {GUIDE, "echo"} <= {model.id for model in listed}
    one = client.models.retrieve(GUIDE)
    assert (one.id, one.object, one.owned_by) == (GUIDE, "model", "builtin")
    assert one.context_length > 0


def test_an_answer_and_the_same_one_streamed(client: Any) -> None:
    whole = client.chat.completions.create(model=GUIDE, messages=QUESTION, temperature=0)
    text = whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(
        client.chat.completions.create(
            model=GUIDE, messages=QUESTION, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].choices == []
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_seeds_and_the_reported_seed_repeat_an_answer(client: Any) -> None:
    first = wild(client, seed=None)
    again = wild(client, seed=first.seed)
    assert again.choices[0].message.content == first.choices[0].message.content
    assert len({wild(client, seed=seed).choices[0].message.content for seed in range(1, 6)}) > 1


def test_n_gives_different_choices_of_one_prompt(client: Any) -> None:
    answer = wild(client, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.choices[0].message.content == wild(client).choices[0].message.content
    assert answer.usage.prompt_tokens == wild(client).usage.prompt_tokens


def test_greedy_ignores_the_seed(client: Any) -> None:
    texts = {wild(client, temperature=0, seed=seed).choices[0].message.content for seed in (1, 2)}
    assert len(texts) == 1


def test_a_stop_string_ends_the_text_before_it(client: Any) -> None:
    full = wild(client, max_tokens=40).choices[0].message.content
    middle = full[len(full) // 2 : len(full) // 2 + 3]
    cut = wild(client, max_tokens=40, stop=[middle])
    assert cut.choices[0].finish_reason == "stop"
    assert cut.choices[0].message.content == full[: full.index(middle)]


def test_max_tokens_counts_tokens(client: Any) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        fields = {"max_tokens": openai.NOT_GIVEN, field: 5}
        answer = wild(client, **fields)
        assert answer.usage.completion_tokens == 5
        assert answer.choices[0].finish_reason == "length"


def test_logprobs_are_those_of_a_distribution(client: Any) -> None:
    answer = wild(client, logprobs=True, top_logprobs=5, max_tokens=6)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    for token in content:
        assert token.logprob <= 0
        ordered = [top.logprob for top in token.top_logprobs]
        assert len(ordered) == 5
        assert ordered == sorted(ordered, reverse=True)
        assert sum(math.exp(p) for p in ordered) <= 1 + 1e-6
    text = b"".join(bytes(token.bytes) for token in content).decode("utf-8", "replace")
    assert text.strip().startswith(answer.choices[0].message.content.strip()[:4])


def test_penalties_change_a_repetitive_answer(client: Any) -> None:
    plain = wild(client, max_tokens=60).choices[0].message.content
    changed = wild(client, max_tokens=60, frequency_penalty=2, presence_penalty=2)
    assert changed.choices[0].message.content != plain


def test_filters_can_make_sampling_greedy(client: Any) -> None:
    greedy = wild(client, temperature=0).choices[0].message.content
    for fields in ({"top_p": 0.000001}, {"extra_body": {"top_k": 1}}, {"extra_body": {"min_p": 1.0}}):
        assert wild(client, **fields).choices[0].message.content == greedy


def test_typical_tokens_are_others(client: Any) -> None:
    plain, typical = (
        wild(client, temperature=1.0, extra_body={"typical_p": share}).choices[0].message.content
        for share in (1, 0.2)
    )
    assert plain == wild(client, temperature=1.0).choices[0].message.content != typical


def test_a_bias_forces_a_token_and_its_logprob_stays_raw(client: Any) -> None:
    fields = {"temperature": 1.0, "max_tokens": 5, "logprobs": True, "top_logprobs": 1}
    content = wild(client, **fields, logit_bias={"100": 100}).choices[0].logprobs.content
    assert len(content) == 5 and len({token.token for token in content}) == 1
    assert any(token.logprob < token.top_logprobs[0].logprob for token in content)


@pytest.mark.parametrize("stream", [False, True])
def test_a_bias_for_a_token_that_the_model_lacks(client: Any, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="tokens 0 to") as caught:
        wild(client, logit_bias={"5": 1, "2000000": 1}, stream=stream)
    assert (caught.value.param, caught.value.code) == ("logit_bias", "bad_token")


def test_text_completions(client: Any) -> None:
    answer = client.completions.create(model=GUIDE, prompt="swarmnode is", max_tokens=8, temperature=0)
    assert answer.object == "text_completion"
    assert 1 <= answer.usage.completion_tokens <= 8
    echoed = client.completions.create(
        model=GUIDE, prompt="swarmnode is", max_tokens=8, temperature=0, echo=True
    )
    assert echoed.choices[0].text == "swarmnode is" + answer.choices[0].text
    parts = client.completions.create(
        model=GUIDE, prompt="swarmnode is", max_tokens=8, temperature=0, stream=True
    )
    assert "".join(part.choices[0].text for part in parts) == answer.choices[0].text


def test_a_session_reuses_what_it_computed_and_says_so(client: Any) -> None:
    turns: Any = [{"role": "user", "content": "How do I stop the node?"}]
    extra = {"session_id": "a-conversation"}
    first = client.chat.completions.create(model=GUIDE, messages=turns, temperature=0, extra_body=extra)
    turns = [*turns, {"role": "assistant", "content": first.choices[0].message.content}]
    turns.append({"role": "user", "content": "Thanks"})
    second = client.chat.completions.create(model=GUIDE, messages=turns, temperature=0, extra_body=extra)
    cold = client.chat.completions.create(model=GUIDE, messages=turns, temperature=0)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens > 0
    assert cold.usage.prompt_tokens_details.cached_tokens == 0
    assert second.choices[0].message.content == cold.choices[0].message.content


def test_faults_are_the_sdks_own_exceptions(node: NodeProcess, client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match=GUIDE):
        client.chat.completions.create(model="gpt-9", messages=QUESTION)
    with pytest.raises(openai.BadRequestError, match="top_p") as caught:
        client.chat.completions.create(model=GUIDE, messages=QUESTION, top_p=7)
    assert caught.value.param == "top_p"
    with pytest.raises(openai.BadRequestError, match="context") as caught:
        client.chat.completions.create(model=GUIDE, messages=[{"role": "user", "content": "word " * 9000}])
    assert caught.value.code == "context_length_exceeded"
    stranger = openai.OpenAI(base_url=client.base_url, api_key="nope", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_client_that_leaves_stops_the_generation(node: NodeProcess, client: Any) -> None:
    long: Any = [{"role": "user", "content": "word " * 2000}]
    stream = client.chat.completions.create(model="steady", messages=long, stream=True)
    next(iter(stream))
    stream.close()
    node.wait_until(
        lambda: node.request("GET", "/v1/status")[1]["active_requests"] == 0,
        5,
        "the request is still running",
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills by pid")
def test_kill_9_of_the_worker_in_mid_stream(node: NodeProcess, client: Any) -> None:
    long: Any = [{"role": "user", "content": "word " * 2000}]
    stream = iter(client.chat.completions.create(model="steady", messages=long, stream=True))
    next(stream)
    status = node.request("GET", "/v1/status")[1]
    pid = next(model["pid"] for model in status["loaded_models"] if model["id"] == "steady")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="worker"):
        for _ in stream:
            pass
    short: Any = [{"role": "user", "content": "still here"}]
    answer = client.chat.completions.create(model="steady", messages=short)
    assert answer.choices[0].message.content == "still here"


def test_a_slow_reader_holds_up_nobody_else(node: NodeProcess, client: Any) -> None:
    long: Any = [{"role": "user", "content": "word " * 7000}]
    stalled = client.chat.completions.create(model="echo", messages=long, stream=True, max_tokens=32768)
    done = threading.Event()

    def quick() -> None:
        short: Any = [{"role": "user", "content": "quick one"}]
        answer = client.chat.completions.create(model="echo", messages=short)
        assert answer.choices[0].message.content == "quick one"
        done.set()

    thread = threading.Thread(target=quick)
    thread.start()
    thread.join(20)
    assert done.is_set()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stalled)
    assert len(text.split()) == 7000


def test_the_answers_have_the_shape_of_the_published_schema(
    node: NodeProcess, client: Any, shared: Path
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads((shared / "data/specs/openai-openapi.json").read_text())
    answer = wild(client, logprobs=True, top_logprobs=2).model_dump(exclude_unset=True)
    schema = {
        "$ref": "#/components/schemas/CreateChatCompletionResponse",
        "components": document["components"],
    }
    jsonschema.Draft202012Validator(schema).validate(answer)
