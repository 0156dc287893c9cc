"""The tables of fields: each bound and what lies just beyond, defaults, names in errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmnode.api.openai_fields import MAX_ECHO_CHARS, chat_call, completion_call
from swarmnode.api.openai_prompts import MAX_PROMPT_BYTES
from swarmnode.api.openai_tables import CHAT, COMPLETION, reference_page
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Conversation, GenerationRequest, Message, RawText, Sampling, TokenIds
from swarmnode.values.settings import ServingSettings

SERVING = ServingSettings()
HELLO = [{"role": "user", "content": "hello"}]
ROOT = Path(__file__).resolve().parents[3]


def chat(**fields: Any) -> GenerationRequest:
    return chat_call({"model": "m", "messages": HELLO} | fields, "id", SERVING).requests[0]


def complete(**fields: Any) -> GenerationRequest:
    return completion_call({"model": "m", "prompt": "p"} | fields, "id", SERVING).requests[0]


def refused(param: str | None, code: str, function: Any = chat, **fields: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        function(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert param is None or param in caught.value.message
    return caught.value


def test_defaults() -> None:
    assert chat() == GenerationRequest("id", "m", Conversation((Message("user", "hello"),)), Sampling(), 2048)
    assert complete() == GenerationRequest("id", "m", RawText("p"), Sampling(), 16)


def test_every_sampling_field_arrives() -> None:
    wanted: dict[str, Any] = {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 40,
        "min_p": 0.05,
        "typical_p": 0.95,
        "frequency_penalty": -2,
        "presence_penalty": 2,
        "repetition_penalty": 1.1,
        "seed": 5,
    }
    assert chat(**wanted).sampling == Sampling(**wanted)
    assert complete(**wanted).sampling == Sampling(**wanted)


RANGES = [
    ("temperature", 0, 2, 0.001),
    ("top_p", 0, 1, 0.001),
    ("top_k", 0, 1 << 20, 1),
    ("min_p", 0, 1, 0.001),
    ("typical_p", 0, 1, 0.001),
    ("frequency_penalty", -2, 2, 0.001),
    ("presence_penalty", -2, 2, 0.001),
    ("n", 1, 128, 1),
    ("seed", -(1 << 63), (1 << 64) - 1, 1),
]


@pytest.mark.parametrize(("name", "low", "high", "step"), RANGES)
def test_ranges_hold_at_both_ends(name: str, low: float, high: float, step: float) -> None:
    for function in (chat, complete):
        function(**{name: low})
        function(**{name: high})
        refused(name, "invalid_value", function, **{name: low - step})
        refused(name, "invalid_value", function, **{name: high + step})


NUMBERS = [
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_finite_numbers(name: str) -> None:
    for function in (chat, complete):
        for value in (float("inf"), float("-inf"), float("nan"), 10**400):
            refused(name, "invalid_value", function, **{name: value})
        for value in ("0.5", True, [0.5], {}):
            refused(name, "invalid_type", function, **{name: value})


@pytest.mark.parametrize("name", ["n", "seed", "top_k", "max_tokens", "best_of", "top_logprobs"])
def test_integers_are_integers(name: str) -> None:
    function = complete if name in COMPLETION else chat
    for value in (1.0, "1", True, [1], {}):
        refused(name, "invalid_type", function, **{name: value})


@pytest.mark.parametrize("name", ["n", "seed", "top_k", "best_of", "top_logprobs"])
def test_absurd_integers_are_refused(name: str) -> None:
    function = complete if name in COMPLETION else chat
    for value in (10**30, -(10**30)):
        refused(name, "invalid_value", function, **{name: value})


def test_logit_bias() -> None:
    for function in (chat, complete):
        wanted = {"7": 1, "100257": -0.5, "0": -100, "2147483647": 100.0}
        pairs = ((0, -100.0), (7, 1.0), (100257, -0.5), (2147483647, 100.0))
        assert function(logit_bias=wanted).sampling.logit_bias == pairs
        assert function(logit_bias={}).sampling == Sampling()
        most = {str(token): 0.5 for token in range(300)}
        assert len(function(logit_bias=most).sampling.logit_bias) == 300
        refused("logit_bias", "invalid_value", function, logit_bias=most | {"300": 0.5})


WRONG_BIASES: list[tuple[Any, str, str]] = [
    ([[1, 2]], "logit_bias", "invalid_type"),
    ("5", "logit_bias", "invalid_type"),
    ({"5": 100.001}, "logit_bias.5", "invalid_value"),
    ({"5": -100.001}, "logit_bias.5", "invalid_value"),
    ({"5": float("nan")}, "logit_bias.5", "invalid_value"),
    ({"5": "1"}, "logit_bias.5", "invalid_type"),
    ({"5": True}, "logit_bias.5", "invalid_type"),
    ({"5": None}, "logit_bias.5", "invalid_type"),
    ({"": 1}, "logit_bias.", "invalid_value"),
    ({"-1": 1}, "logit_bias.-1", "invalid_value"),
    ({"1.0": 1}, "logit_bias.1.0", "invalid_value"),
    ({"05": 1}, "logit_bias.05", "invalid_value"),
    ({" 5": 1}, "logit_bias. 5", "invalid_value"),
    ({"5\n": 1}, "logit_bias.5\n", "invalid_value"),
    ({"٣": 1}, "logit_bias.٣", "invalid_value"),
    ({"hello": 1}, "logit_bias.hello", "invalid_value"),
    ({"2147483648": 1}, "logit_bias.2147483648", "invalid_value"),
    ({"9" * 5000: 1}, "logit_bias." + "9" * 60, "invalid_value"),
]


@pytest.mark.parametrize(("value", "param", "code"), WRONG_BIASES)
def test_wrong_biases_are_named(value: Any, param: str, code: str) -> None:
    refused(param, code, chat, logit_bias=value)
    refused(param, code, complete, logit_bias=value)


def test_another_programs_name_of_a_field_is_refused_with_ours() -> None:
    assert "`typical_p`" in refused("typical", "unknown_parameter", typical=0.5).hint
    assert "`repetition_penalty`" in refused("repeat_penalty", "unknown_parameter", repeat_penalty=1.1).hint


def test_repetition_penalty_is_above_zero() -> None:
    refused("repetition_penalty", "invalid_value", repetition_penalty=0)
    assert chat(repetition_penalty=10).sampling.repetition_penalty == 10.0


@pytest.mark.parametrize(
    ("given", "used"), [(-5, 1), (0, 1), (1, 1), (32768, 32768), (32769, 32768), (10**18, 32768)]
)
def test_max_tokens_is_clamped(given: int, used: int) -> None:
    assert chat(max_tokens=given).max_tokens == used
    assert complete(max_tokens=given).max_tokens == used
    assert chat(max_tokens=7, max_completion_tokens=given).max_tokens == used


def test_top_logprobs_needs_logprobs() -> None:
    assert chat(logprobs=True).logprobs == 0
    assert chat(logprobs=True, top_logprobs=20).logprobs == 20
    assert chat(logprobs=False).logprobs is None
    refused("top_logprobs", "invalid_value", top_logprobs=1)
    refused("top_logprobs", "invalid_value", logprobs=True, top_logprobs=21)
    assert complete(logprobs=5).logprobs == 5
    refused("logprobs", "invalid_value", complete, logprobs=6)
    refused("logprobs", "invalid_type", complete, logprobs=True)


def test_a_negative_seed_stands_for_its_bits() -> None:
    assert chat(seed=-1).sampling.seed == (1 << 64) - 1


def test_timeout() -> None:
    assert chat().timeout_seconds is None
    assert chat(timeout=0.5).timeout_seconds == 0.5
    assert complete(timeout=86_400).timeout_seconds == 86_400
    refused("timeout", "invalid_value", timeout=0)
    refused("timeout", "invalid_value", timeout=86_401)
    refused("timeout", "invalid_type", timeout="5")


def test_stop() -> None:
    assert chat(stop="END").stop == ("END",)
    assert chat(stop=[]).stop == ()
    assert chat(stop=["x" * 256] * 16).stop == ("x" * 256,) * 16
    refused("stop", "invalid_value", stop=["x"] * 17)
    refused("stop[1]", "invalid_value", stop=["x", "x" * 257])
    refused("stop", "invalid_value", stop="")
    refused("stop[0]", "invalid_type", stop=[1])
    refused("stop", "invalid_type", stop={})


def test_the_models_name() -> None:
    assert chat(model="x" * 256).model == "x" * 256
    refused("model", "invalid_value", model="x" * 257)
    refused("model", "invalid_value", model="")
    refused("model", "missing_required_parameter", model=None)
    refused("messages", "missing_required_parameter", messages=None)


WRONG_TYPES = [
    ("model", 1),
    ("messages", {}),
    ("messages", "hello"),
    ("stream", 1),
    ("stream", "true"),
    ("temperature", "hot"),
    ("temperature", True),
    ("n", 1.0),
    ("n", True),
    ("max_tokens", "many"),
    ("seed", 1.5),
    ("logprobs", 1),
    ("stream_options", []),
    ("session_id", 1),
    ("user", 1),
    ("metadata", []),
]


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES)
def test_wrong_types_are_named(name: str, value: Any) -> None:
    refused(name, "invalid_type", **{name: value})


@pytest.mark.parametrize("name", sorted(set(CHAT) - {"model", "messages"}))
def test_null_is_the_same_as_absent_in_a_chat(name: str) -> None:
    assert chat(**{name: None}) == chat()


@pytest.mark.parametrize("name", sorted(set(COMPLETION) - {"model", "prompt"}))
def test_null_is_the_same_as_absent_in_a_completion(name: str) -> None:
    assert complete(**{name: None}) == complete()


HARMLESS: list[tuple[str, Any]] = [
    ("user", "u"),
    ("metadata", {"a": "b"}),
    ("store", False),
    ("service_tier", "auto"),
    ("service_tier", "default"),
    ("prompt_cache_key", "k"),
    ("safety_identifier", "s"),
    ("parallel_tool_calls", True),
    ("response_format", {"type": "text"}),
    ("logit_bias", {}),
    ("tools", []),
    ("tool_choice", "none"),
    ("tool_choice", "auto"),
    ("modalities", ["text"]),
    ("lora_adapter", ""),
]


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_what_cannot_change_the_answer_is_taken(name: str, value: Any) -> None:
    assert chat(**{name: value}) == chat()


NOT_BUILT: list[tuple[str, Any]] = [
    ("store", True),
    ("store", 0),
    ("service_tier", "flex"),
    ("response_format", {"type": "json_object"}),
    ("tools", [{"type": "function"}]),
    ("tool_choice", "required"),
    ("functions", [{}]),
    ("modalities", ["text", "audio"]),
    ("reasoning_effort", "high"),
    ("web_search_options", {}),
    ("prediction", {}),
    ("audio", {}),
    ("lora_adapter", "mine"),
]


@pytest.mark.parametrize(("name", "value"), NOT_BUILT)
def test_what_is_not_built_is_refused_by_name(name: str, value: Any) -> None:
    assert name in refused(name, "unsupported_parameter", **{name: value}).hint


def test_unknown_names_are_refused_with_the_nearest() -> None:
    assert "`temperature`" in refused("temprature", "unknown_parameter", temprature=1).hint
    refused("suffix", "unknown_parameter", suffix="x")
    refused("x" * 60, "unknown_parameter", **{"x" * 4000: 1})
    refused("messages[0].contant", "unknown_parameter", messages=[{"role": "user", "contant": "x"}])


def test_stream_options() -> None:
    body = {"model": "m", "messages": HELLO, "stream": True}
    options = {"include_usage": True, "include_obfuscation": False}
    assert chat_call(body | {"stream_options": options}, "id", SERVING).include_usage
    assert not chat_call(body | {"stream_options": {}}, "id", SERVING).include_usage
    refused("stream_options", "invalid_value", stream_options={"include_usage": True})
    refused("stream_options.x", "unknown_parameter", stream=True, stream_options={"x": 1})


# Messages.


def test_roles_and_parts() -> None:
    messages = [
        {"role": "developer", "content": "be kind"},
        {
            "role": "user",
            "name": "ann",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
        {"role": "assistant", "content": "", "refusal": None, "annotations": [], "tool_calls": None},
    ]
    assert chat(messages=messages).prompt == Conversation(
        (Message("system", "be kind"), Message("user", "a\nb", "ann"), Message("assistant", ""))
    )


WRONG_MESSAGES: list[tuple[Any, str, str]] = [
    ([], "messages", "invalid_value"),
    (["hi"], "messages[0]", "invalid_type"),
    ([{"content": "x"}], "messages[0].role", "missing_required_parameter"),
    ([{"role": "user"}], "messages[0].content", "missing_required_parameter"),
    ([{"role": "user", "content": None}], "messages[0].content", "missing_required_parameter"),
    ([{"role": "robot", "content": "x"}], "messages[0].role", "invalid_value"),
    ([{"role": "tool", "content": "x", "tool_call_id": None}], "messages[0].role", "unsupported_parameter"),
    ([{"role": "user", "content": 5}], "messages[0].content", "invalid_type"),
    ([{"role": "user", "content": []}], "messages[0].content", "invalid_value"),
    ([{"role": "user", "content": ["x"]}], "messages[0].content[0]", "invalid_type"),
    (
        HELLO + [{"role": "user", "content": [{"type": "image_url"}]}],
        "messages[1].content[0].type",
        "unsupported_parameter",
    ),
    (
        [{"role": "user", "content": [{"type": "text"}]}],
        "messages[0].content[0].text",
        "missing_required_parameter",
    ),
    (
        [{"role": "assistant", "content": "", "tool_calls": [{}]}],
        "messages[0].tool_calls",
        "unsupported_parameter",
    ),
]


@pytest.mark.parametrize(("messages", "param", "code"), WRONG_MESSAGES)
def test_wrong_messages_are_named(messages: Any, param: str, code: str) -> None:
    refused(param, code, messages=messages)


def test_text_is_counted_in_bytes_over_all_messages() -> None:
    half = {"role": "user", "content": "é" * (MAX_PROMPT_BYTES // 4)}
    assert chat(messages=[half, half])
    refused("messages", "invalid_value", messages=[half, half, {"role": "user", "content": "x"}])


# Prompts of completions.


def test_prompts() -> None:
    def of(prompt: Any, **more: Any) -> list[Any]:
        body = {"model": "m", "prompt": prompt} | more
        return [request.prompt for request in completion_call(body, "id", SERVING).requests]

    assert of("") == [RawText("")]
    assert of(None) == [RawText("")]
    assert of([1, 2]) == [TokenIds((1, 2))]
    assert of(["a", [3], ""]) == [RawText("a"), TokenIds((3,)), RawText("")]
    assert len(of(["a"] * 128)) == 128
    with pytest.raises(Refused):
        of(["a"] * 129)
    with pytest.raises(Refused):
        of(["a"] * 65, n=2)


def test_several_prompts_have_different_request_ids() -> None:
    call = completion_call({"model": "m", "prompt": ["a", "b"]}, "id", SERVING)
    assert [request.request_id for request in call.requests] == ["id", "id-1"]


WRONG_PROMPTS: list[tuple[Any, str, str]] = [
    (5, "prompt", "invalid_type"),
    ([], "prompt", "invalid_value"),
    ([[]], "prompt[0]", "invalid_value"),
    ([1, "a"], "prompt[1]", "invalid_type"),
    ([1, True], "prompt[1]", "invalid_type"),
    ([1, -1], "prompt[1]", "invalid_value"),
    ([1, 1 << 31], "prompt[1]", "invalid_value"),
    (["a", 1], "prompt[1]", "invalid_type"),
    ([True], "prompt[0]", "invalid_type"),
    ("x" * (MAX_PROMPT_BYTES + 1), "prompt", "invalid_value"),
]


@pytest.mark.parametrize(("prompt", "param", "code"), WRONG_PROMPTS)
def test_wrong_prompts_are_named(prompt: Any, param: str, code: str) -> None:
    refused(param, code, complete, prompt=prompt)


def test_best_of_echo_and_suffix() -> None:
    assert complete(n=2, best_of=2).n == 2
    refused("best_of", "invalid_value", complete, n=1, best_of=2)
    assert completion_call({"model": "m", "prompt": "p", "echo": True}, "id", SERVING).echoes == ("p",)
    refused("echo", "invalid_value", complete, echo=True, logprobs=0)
    long = "x" * (MAX_ECHO_CHARS // 2)
    assert (
        len(completion_call({"model": "m", "prompt": long, "echo": True, "n": 2}, "id", SERVING).echoes) == 1
    )
    refused("echo", "invalid_value", complete, echo=True, prompt=long, n=3)
    refused("echo", "invalid_value", complete, echo=True, prompt=[long, long, "x"])
    refused("echo", "invalid_value", complete, echo=True, prompt=[1])
    refused("suffix", "unsupported_parameter", complete, suffix="x")


def test_every_field_of_openais_document_is_in_a_table(shared: Path) -> None:
    import json

    schemas = json.loads((shared / "data/specs/openai-openapi.json").read_text("utf-8"))["components"][
        "schemas"
    ]

    def names(schema: dict[str, Any]) -> set[str]:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        found = set(schema.get("properties", ()))
        return found.union(*(names(part) for part in schema.get("allOf", ())))

    assert names(schemas["CreateChatCompletionRequest"]) <= set(CHAT)
    assert names(schemas["CreateCompletionRequest"]) <= set(COMPLETION)


def test_the_reference_page_is_the_tables() -> None:
    written = (ROOT / "docs/reference/openai-fields.md").read_text("utf-8")
    assert written == reference_page(), (
        "run `python -m swarmnode.api.openai_tables > docs/reference/openai-fields.md`"
    )
