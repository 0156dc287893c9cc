"""Chat templates: which one is chosen, what it is given, and conversations that it does not want."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from swarmnode.inference.text import render_process
from swarmnode.inference.text.fallback_templates import FALLBACKS, fallback_name
from swarmnode.inference.text.templates import MAX_TEMPLATE_BYTES, ChatTemplate, folded, joined
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Message

NOW = "2026-11-20T09:30:00"
CHAT = (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Why?"))
SYSTEM = Message("system", "Be brief.")


class InProcess:
    """A renderer without a process, for templates that are known to be harmless."""

    def render(self, template: str, variables: Mapping[str, Any], *, now: str) -> str:
        answer = render_process.answer({"template": template, "now": now, "variables": dict(variables)})
        if "text" in answer:
            return answer["text"]
        raise Refused(answer["error"], code=answer["code"])


def _template(source: str, **tokens: str) -> ChatTemplate:
    renderer: Any = InProcess()
    return ChatTemplate(source, "file", renderer=renderer, **tokens)


def _render(source: str, *messages: Message, bos: str = "<s>", eos: str = "</s>", **variables: Any) -> str:
    return _template(source, bos=bos, eos=eos).render(messages, now=NOW, variables=variables)


# The prompt formats as their makers document them, typed by hand.
_DOCUMENTED = {
    "chatml": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
    "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "<s>[INST] Hi [/INST] Hello. </s><s>[INST] Why? [/INST]",
    "llama3": "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n"
    "<start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n",
    "phi3": "<|user|>\nHi<|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\nWhy?<|end|>\n<|assistant|>\n",
    "zephyr": "<|user|>\nHi</s>\n<|assistant|>\nHello.</s>\n<|user|>\nWhy?</s>\n<|assistant|>\n",
    "mistral": "<s>[INST] Hi [/INST] Hello.</s>[INST] Why? [/INST]",
    "glm4": "[gMASK]<sop><|user|>\nHi<|assistant|>\nHello.<|user|>\nWhy?<|assistant|>\n",
    "deepseek": "<s><\uff5cUser\uff5c>Hi<\uff5cAssistant\uff5c>Hello.</s>"
    "<\uff5cUser\uff5c>Why?<\uff5cAssistant\uff5c>",
    "command-r": "<s><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Why?<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    "plain": "User: Hi\n\nAssistant: Hello.\n\nUser: Why?\n\nAssistant:",
}


@pytest.mark.parametrize("name", sorted(FALLBACKS))
def test_fallbacks_write_the_documented_format(name: str) -> None:
    assert _render(FALLBACKS[name], *CHAT) == _DOCUMENTED[name]


@pytest.mark.parametrize("name", sorted(FALLBACKS))
def test_no_fallback_loses_the_system_text(name: str) -> None:
    assert "Be brief." in _render(FALLBACKS[name], SYSTEM, *CHAT)


@pytest.mark.parametrize(
    ("architecture", "tokens", "name", "family", "fallback"),
    [
        ("gemma2", [], "", "spm", "gemma"),
        ("llama", ["<|start_header_id|>"], "", "bpe", "llama3"),
        ("llama", ["<|im_start|>"], "", "bpe", "chatml"),
        ("qwen2", [], "", "bpe", "chatml"),
        ("phi3", [], "", "spm", "phi3"),
        ("llama", [], "Mistral 7B Instruct", "spm", "mistral"),
        ("llama", [], "zephyr-7b-beta", "spm", "zephyr"),
        ("llama", [], "", "spm", "llama2"),
        ("deepseek2", [], "", "bpe", "deepseek"),
        ("chatglm", ["[gMASK]"], "", "bpe", "glm4"),
        ("starcoder2", [], "", "bpe", "plain"),
    ],
)
def test_the_fallback_fits_the_family(
    architecture: str, tokens: list[str], name: str, family: str, fallback: str
) -> None:
    by_text = {text: i for i, text in enumerate(tokens)}
    vocabulary: Any = SimpleNamespace(architecture=architecture, by_text=by_text, name=name, family=family)
    assert fallback_name(vocabulary) == fallback


def _loaded(metadata: dict[str, str]) -> ChatTemplate:
    text_model: Any = SimpleNamespace(
        vocabulary=SimpleNamespace(architecture="gemma2", by_text={}, name="", family="spm"),
        bos_id=2,
        eos_id=None,
        text_of=lambda i: "" if i is None else f"<{i}>",
    )
    gguf: Any = SimpleNamespace(metadata=metadata)
    renderer: Any = InProcess()
    return ChatTemplate.load(gguf, text_model, renderer)


def test_the_default_template_of_the_file_is_preferred() -> None:
    key = "tokenizer.chat_template"
    assert _loaded({f"{key}.tool_use": "T", key: "D"}).source == "D"
    named = _loaded({f"{key}.tool_use": "T"})
    assert (named.source, named.origin) == ("T", "file:tool_use")


def test_a_gemma_file_without_a_template_gets_gemmas() -> None:
    template = _loaded({})
    assert template.origin == "fallback:gemma"
    assert template.render((Message("user", "Hi"),), now=NOW) == (
        "<2><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    )


def test_a_refused_system_turn_heads_the_first_user_turn() -> None:
    text = _render(FALLBACKS["gemma"], SYSTEM, *CHAT)
    assert text.startswith("<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n")


def test_a_system_turn_that_the_template_drops_is_not_lost() -> None:
    source = "{% for m in messages %}{% if m.role != 'system' %}[{{ m.content }}]{% endif %}{% endfor %}"
    assert _render(source, SYSTEM, Message("user", "Hi")) == "[Be brief.\n\nHi]"


def test_a_system_turn_that_the_template_shows_stays_in_its_place() -> None:
    source = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
    assert _render(source, SYSTEM, Message("user", "Hi")) == "[system:Be brief.][user:Hi]"


def test_turns_of_one_role_are_joined_where_roles_must_alternate() -> None:
    source = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.content }}]{% endfor %}"
    )
    assert _render(source, Message("user", "a"), Message("user", "b")) == "[a\n\nb]"


def test_a_refusal_that_nothing_helps_is_the_templates_own_words() -> None:
    with pytest.raises(Refused, match="never") as caught:
        _render("{{ raise_exception('never') }}", Message("user", "Hi"))
    assert caught.value.code == "template_refusal"


def test_contents_are_given_as_parts_to_templates_that_want_them() -> None:
    source = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"
    assert _render(source, Message("user", "Hi")) == "Hi"


def test_templates_for_tools_alone_are_told_nothing_of_tools() -> None:
    source = "{% for t in tools %}{{ t }}{% endfor %}{{ messages[0].content }}"
    assert _render(source, Message("user", "Hi")) == "Hi"


def test_developer_turns_are_system_turns_to_templates_that_do_not_know_them() -> None:
    source = "{% for m in messages %}{{ m.role }},{% endfor %}{{ messages[0].content }}"
    assert _render(source, Message("developer", "x"), Message("user", "y")) == "system,user,x"
    assert _render(source + "{# developer #}", Message("developer", "x")).startswith("developer,")


def test_names_and_other_variables_reach_the_template() -> None:
    source = (
        "{{ messages[0].name }} {{ messages[0].content }} {{ enable_thinking }} {{ add_generation_prompt }}"
    )
    assert _render(source, Message("user", "Hi", "Ann"), enable_thinking=False) == "Ann Hi False True"


def test_an_overlong_template_is_refused() -> None:
    with pytest.raises(Refused, match="longer than"):
        _template("x" * (MAX_TEMPLATE_BYTES + 1))


def test_folding_and_joining_lose_nothing() -> None:
    turns = [
        {"role": r, "content": c} for r, c in [("system", "a"), ("user", "b"), ("user", "c"), ("system", "d")]
    ]
    assert joined(folded(turns)) == [{"role": "user", "content": "a\n\nb\n\nc\n\nd"}]
    assert folded([{"role": "system", "content": "a"}]) == [{"role": "user", "content": "a"}]


Case = tuple[str, dict[str, Any], str]


# The environment of transformers' apply_chat_template, from its documentation.
@pytest.mark.parametrize(
    "case",
    [
        (
            "{% for i in [1, 2, 3] %}\n  {% if i == 2 %}{% continue %}{% endif %}\n{{ i }}\n{% endfor %}",
            {},
            "1\n3\n",
        ),
        ("{% generation %}{{ x }}{% endgeneration %}!", {"x": "said"}, "said!"),
        (
            "{{ x | tojson }}",
            {"x": {"b": "<\u00e9> & '", "a": [1, None]}},
            '{"b": "<\u00e9> & \'", "a": [1, null]}',
        ),
        ("{{ x | tojson(indent=2) }}", {"x": {"a": 1}}, '{\n  "a": 1\n}'),
        ("{{ strftime_now('%d %b %Y') }}", {}, "20 Nov 2026"),
        ("a\n{%- if true %}\nb{% endif %}\n", {}, "ab"),
        ("{{ '<&>' }}", {}, "<&>"),
        ("{{ nothing }}{% if nothing %}x{% endif %}.", {}, "."),
    ],
)
def test_the_environment_is_that_of_transformers(case: Case) -> None:
    source, variables, text = case
    assert render_process.render(source, NOW, variables) == text


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("{% if %}", "template_error"),
        ("{{ ().__class__.__bases__ }}", "template_error"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "template_error"),
        ("{{ cycler.__init__.__globals__ }}", "template_error"),
        ("{{ messages.append(1) }}", "template_error"),
        ("{{ range(10 ** 12) | list }}", "template_error"),
        ("{% include 'x' %}", "template_error"),
        ("{{ 1 / 0 }}", "template_error"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "template_error"),
        ("{{ raise_exception('no') }}", "template_refusal"),
    ],
)
def test_a_templates_faults_are_named(source: str, code: str) -> None:
    answer = render_process.answer({"template": source, "now": NOW, "variables": {"messages": []}})
    assert answer["code"] == code and answer["error"]


@pytest.mark.parametrize("source", ["{{ '{0.__class__}'.format(1) }}", "{{ '%s'.__init__ }}"])
def test_format_strings_do_not_reach_attributes(source: str) -> None:
    answer = render_process.answer({"template": source, "now": NOW, "variables": {}})
    assert answer.get("text", "") == ""


def test_memory_and_output_bounds_are_named() -> None:
    def hungry(*_: object) -> str:
        raise MemoryError

    request = {
        "template": "{% for i in range(9000) %}{{ 'x' * 1000 }}{% endfor %}",
        "now": NOW,
        "variables": {},
    }
    assert render_process.answer(request, hungry)["code"] == "template_memory"
    assert render_process.answer(request)["code"] == "template_output"
