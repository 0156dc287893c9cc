"""What cannot be answered, over HTTP and down to the kernels: a named error in bounded time, and only for
who asked for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnode.models.gguf import GgufFile
from swarmnode.testing.node_process import NodeProcess
from swarmnode.testing.random_model import RandomModel, write_random_model

#: A request may take this long to be refused, or to be answered by a model of a megabyte.
SECONDS = 20.0
BAD_TOKEN = 299
GUIDE_CONTEXT = 512
MODEL = RandomModel(weights="Q8_0", layers=2, context=256)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


def damage(path: Path, tensor: str, block: int, number: float) -> Path:
    """Make the factor of one block (32 numbers) of a Q8_0 tensor no number."""
    with GgufFile(path) as gguf:
        data = bytes(gguf.data(gguf.tensors[tensor]))
    content = bytearray(path.read_bytes())
    at = content.find(data) + 34 * block
    content[at : at + 2] = np.float16(number).tobytes()
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    home = tmp_path_factory.mktemp("node")
    models = home / "data" / "models"
    models.mkdir(parents=True)
    one_row = write_random_model(models / "one-row.gguf", MODEL)
    damage(one_row, "token_embd.weight", BAD_TOKEN * MODEL.hidden // 32, np.nan)
    damage(write_random_model(models / "whole.gguf", MODEL), "blk.1.ffn_down.weight", 0, np.inf)
    # A context longer than any of the models was trained for: theirs hold all the same.
    with NodeProcess(home, "--set", "inference.max_seq_len_override=100000") as running:
        yield running


def complete(node: NodeProcess, model: str, prompt: Any, **fields: Any) -> tuple[int, Any]:
    body = {"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 8, **fields}
    status, answer, _ = node.request("POST", "/v1/completions", body, timeout=SECONDS)
    return status, answer


def pids(node: NodeProcess) -> dict[str, int]:
    return {model["id"]: model["pid"] for model in node.request("GET", "/v1/status")[1]["loaded_models"]}


@pytest.mark.parametrize("stream", [False, True])
def test_a_weight_that_is_no_number_ends_the_requests_that_meet_it(node: NodeProcess, stream: bool) -> None:
    good = {"logit_bias": {str(BAD_TOKEN): -100}, "max_tokens": 100}
    prompts = [[1, 260 + i] for i in range(3)]
    alone = [complete(node, "one-row", prompt, **good) for prompt in prompts]
    assert [status for status, _ in alone] == [200] * 3
    before = pids(node)
    with ThreadPoolExecutor(6) as clients:
        bad = [clients.submit(complete, node, "one-row", [1, 5, BAD_TOKEN], stream=stream) for _ in range(3)]
        others = [clients.submit(complete, node, "one-row", prompt, **good) for prompt in prompts]
    for asked in bad:
        status, answer = asked.result()
        if stream:  # it had begun: the error comes as the only, and last, event
            answer = json.loads(answer.removeprefix("data: "))
        assert status == (200 if stream else 500)
        assert answer["error"]["code"] == "not_finite" and "one-row.gguf" in answer["error"]["message"]
    texts = [asked.result()[1]["choices"][0]["text"] for asked in others]
    assert texts == [answer["choices"][0]["text"] for _, answer in alone]
    assert pids(node)["one-row"] == before["one-row"]


def test_a_weight_that_every_request_would_meet_is_found_when_the_model_is_loaded(node: NodeProcess) -> None:
    status, answer = complete(node, "whole", [1, 2])
    assert status == 400
    assert answer["error"]["code"] == "bad_model_file" and "whole.gguf" in answer["error"]["message"]
    assert complete(node, "swarmnode-guide", "What is swarmnode?")[0] == 200


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "as long as the context": ({"prompt": [5] * GUIDE_CONTEXT}, "context_length_exceeded", "prompt"),
    "far longer": ({"prompt": [5] * 200_000}, "context_length_exceeded", "prompt"),
    "text far longer": ({"prompt": "word " * 200_000}, "context_length_exceeded", "prompt"),
    "no ids": ({"prompt": []}, "invalid_value", "prompt"),
    "no ids among others": ({"prompt": [[1, 2], []]}, "invalid_value", "prompt[1]"),
    "an id too many": ({"prompt": [1, 2048]}, "bad_token", "prompt"),
    "a huge id": ({"prompt": [1, (1 << 31) - 1]}, "bad_token", "prompt"),
    "an id beyond all bounds": ({"prompt": [1, 10**30]}, "invalid_value", "prompt[1]"),
    "an id below 0": ({"prompt": [1, -1]}, "invalid_value", "prompt[1]"),
    "half an id": ({"prompt": [1, 0.5]}, "invalid_type", "prompt[1]"),
    "n too large": ({"n": 129}, "invalid_value", "n"),
    "n absurd": ({"n": 10**15}, "invalid_value", "n"),
    "n times prompts": ({"n": 65, "prompt": ["a", "b"]}, "invalid_value", "n"),
    "17 stops": ({"stop": ["x"] * 17}, "invalid_value", "stop"),
    "a stop too long": ({"stop": ["x" * 257]}, "invalid_value", "stop[0]"),
    "an empty stop": ({"stop": [""]}, "invalid_value", "stop[0]"),
    "a bias for no token": ({"logit_bias": {"2048": 1}}, "bad_token", "logit_bias"),
    "no time": ({"timeout": 0}, "invalid_value", "timeout"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(node: NodeProcess, case: str) -> None:
    fields, code, param = WRONG[case]
    status, answer = complete(node, "swarmnode-guide", **{"prompt": "x"} | fields)
    error = answer["error"]
    assert (status, error["code"], error["param"]) == (400, code, param), error


def test_what_is_at_its_bound_is_answered(node: NodeProcess) -> None:
    stops = [chr(ord("a") + i) * 256 for i in range(16)]
    prompt = [5] * (GUIDE_CONTEXT - 1)
    for fields in ({"stop": stops}, {"n": 128, "max_tokens": 2}, {"max_tokens": 10**12}):
        status, answer = complete(node, "swarmnode-guide", prompt, **fields)
        assert status == 200, answer
        assert answer["usage"]["completion_tokens"] <= 128
