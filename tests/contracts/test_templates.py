"""Chat templates of real models against llama.cpp's own Jinja, and hostile ones against their bounds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import gguf
import numpy as np
import pytest

from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.renderer import TemplateRenderer
from swarmnode.inference.text.templates import ChatTemplate
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Message

NOW = "2026-11-20T09:30:00"
ORACLE = Path(__file__).with_name("llama_cpp_oracle.py")
TURNS = (
    Message("system", "Be brief."),
    Message("user", 'Hi <there> & "you"'),
    Message("assistant", "Yes?"),
    Message("user", "Tell me\nmore \u4e2d"),
)


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    """One that waits long, so that a busy machine changes no outcome."""
    renderer = TemplateRenderer(deadline=60)
    yield renderer
    renderer.close()


# ------------------------------------------------------------------ real templates


def _template(shared: Path, name: str, renderer: TemplateRenderer, bos: str = "<s>") -> ChatTemplate:
    source = (shared / f"data/templates/{name}.jinja").read_text()
    return ChatTemplate(source, "file", bos=bos, eos="</s>", renderer=renderer)


# The formats as the models' makers document them, typed by hand.
_DOCUMENTED = {
    "Qwen-Qwen2.5-7B-Instruct": "<|im_start|>system\nBe brief.<|im_end|>\n"
    '<|im_start|>user\nHi <there> & "you"<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n'
    "<|im_start|>user\nTell me\nmore \u4e2d<|im_end|>\n<|im_start|>assistant\n",
    "meta-llama-Llama-3.2-3B-Instruct": "<s><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 20 Nov 2026\n\nBe brief.<|eot_id|>"
    '<|start_header_id|>user<|end_header_id|>\n\nHi <there> & "you"<|eot_id|>'
    "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nTell me\nmore \u4e2d<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "google-gemma-2-2b-it": '<s><start_of_turn>user\nBe brief.\n\nHi <there> & "you"<end_of_turn>\n'
    "<start_of_turn>model\nYes?<end_of_turn>\n<start_of_turn>user\nTell me\nmore \u4e2d<end_of_turn>\n"
    "<start_of_turn>model\n",
    "mistralai-Mistral-Nemo-Instruct-2407": '<s>[INST]Hi <there> & "you"[/INST]Yes?</s>'
    "[INST]Be brief.\n\nTell me\nmore \u4e2d[/INST]",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(_DOCUMENTED))
def test_real_templates_write_the_documented_format(
    shared: Path, renderer: TemplateRenderer, name: str
) -> None:
    assert _template(shared, name, renderer).render(TURNS, now=NOW) == _DOCUMENTED[name]


@pytest.mark.shared
def test_every_real_template_renders_with_all_that_was_said(shared: Path, renderer: TemplateRenderer) -> None:
    paths = sorted((shared / "data/templates").glob("*.jinja"))
    assert len(paths) > 40
    for path in paths:
        text = _template(shared, path.stem, renderer).render(TURNS, now=NOW)
        missing = [turn.content for turn in TURNS if turn.content not in text]
        assert not missing, (path.name, missing)


#: Where this project renders otherwise than llama.cpp on purpose, and why.
_OTHERWISE = {
    "google-gemma-2-2b-it": "a refused system text is parted from the user's by an empty line, not a newline",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "llama.cpp leaves its thinking tags away",
}


@pytest.fixture(scope="module")
def any_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that llama.cpp loads in no time; only its server's template is of interest."""
    path = tmp_path_factory.mktemp("model") / "any.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(32)
    letters = [chr(c) for c in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x144)]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<s>", "</s>", *letters])
    writer.add_token_types([3, 3, *([1] * len(letters))])
    writer.add_token_merges(["! !"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_tensor("token_embd.weight", np.zeros((len(letters) + 2, 32), np.float32))
    writer.add_tensor("output_norm.weight", np.ones(32, np.float32))
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(32, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.shared
@pytest.mark.slow
def test_real_templates_render_as_llama_cpp_renders_them(
    shared: Path, any_model: Path, renderer: TemplateRenderer
) -> None:
    compared = 0
    for path in sorted((shared / "data/templates").glob("*.jinja")):
        if path.stem in _OTHERWISE:
            continue
        for turns in (TURNS, TURNS[1:2]):
            before = datetime.now()
            expected = _llama_cpp(any_model, path, turns)
            if expected is None:
                continue  # llama.cpp's own engine did not come to an end
            template = _template(shared, path.stem, renderer)
            date = {"date_string": before.strftime("%d %b %Y")}
            # llama.cpp switches thinking on in the templates that it recognises as able to.
            ours = {
                template.render(turns, now=before.isoformat(), variables=date | thinking).removeprefix("<s>")
                for thinking in ({}, {"enable_thinking": True})
            }
            assert expected.removeprefix("<s>") in ours, path.name
            compared += 1
    assert compared > 70


def _llama_cpp(model: Path, template: Path, turns: tuple[Message, ...]) -> str | None:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        done = subprocess.run(
            [sys.executable, str(ORACLE), str(model), str(template)],
            input=json.dumps([{"messages": messages}]).encode(),
            capture_output=True,
            timeout=15,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return str(json.loads(done.stdout)[0])


# ------------------------------------------------------------------ a file without a template


@pytest.mark.shared
def test_a_gemma_file_stripped_of_its_template_has_right_turns(
    shared: Path, renderer: TemplateRenderer
) -> None:
    with GgufFile(shared / "data/tiny-models/Gemma2.f32.gguf") as file:
        text_model = TextModel.load(file)
        del file.metadata._values["tokenizer.chat_template"]  # no writer of ours could do it
        template = ChatTemplate.load(file, text_model, renderer)
    assert template.origin == "fallback:gemma"
    bos = text_model.text_of(text_model.bos_id)
    assert template.render(TURNS, now=NOW) == _DOCUMENTED["google-gemma-2-2b-it"].replace("<s>", bos, 1)
    assert text_model.encode_chat(template.render(TURNS, now=NOW)).count(text_model.bos_id or -1) == 1


# ------------------------------------------------------------------ hostile templates


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("{{ 'a' * 10 ** 9 }}", "template_memory"),
        ("{{ 'a'.ljust(10 ** 10) }}", "template_memory"),
        ("{{ (['a' * 100000] * 100000) | join }}", "template_memory"),
        (
            "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "template_memory",
        ),
        ("{% for i in range(9000) %}{{ 'x' * 1000 }}{% endfor %}", "template_output"),
        ("{{ ().__class__.__bases__ }}", "template_error"),
        ("{{ range(10 ** 12) | list }}", "template_error"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "template_error"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "template_error"),
        ("{{ raise_exception('I refuse') }}", "template_refusal"),
    ],
)
def test_a_hostile_template_is_named_and_harms_no_other(
    renderer: TemplateRenderer, source: str, code: str
) -> None:
    with pytest.raises(Refused) as caught:
        renderer.render(source, {"messages": []}, now=NOW)
    assert caught.value.code == code
    assert caught.value.hint
    assert renderer.render("{{ x }}", {"x": "still here"}, now=NOW) == "still here"


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        # One operation that nothing inside its process can interrupt.
        "{{ 7 ** 40000000 % 10 }}",
    ],
)
def test_a_template_without_an_end_is_killed_and_the_next_one_works(source: str) -> None:
    renderer = TemplateRenderer()
    with pytest.raises(Refused, match="longer than 1 s") as caught:
        renderer.render(source, {}, now=NOW)
    assert caught.value.code == "template_timeout"
    assert renderer.render("{{ x }}", {"x": "still here"}, now=NOW) == "still here"
    renderer.close()


def test_a_child_that_died_is_replaced() -> None:
    renderer = TemplateRenderer(deadline=60)
    renderer.warm()
    assert renderer.render("a", {}, now=NOW) == "a"
    child = renderer._child
    assert child is not None
    child.kill()
    child.wait()
    assert renderer.render("b", {}, now=NOW) == "b"
    renderer.close()
    renderer.close()


def test_the_child_is_kept_between_renders_and_ends_with_its_input() -> None:
    renderer = TemplateRenderer(deadline=60)
    renderer.render("a", {}, now=NOW)
    child = renderer._child
    renderer.render("b", {}, now=NOW)
    assert child is not None and renderer._child is child and child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=10) == 0
    renderer.close()


def test_a_child_killed_by_others_in_mid_render_is_replaced_without_a_word() -> None:
    renderer = TemplateRenderer(deadline=60)
    renderer.render("a", {}, now=NOW)
    child = renderer._child
    assert child is not None
    poll = child.poll
    child.kill()
    child.wait()
    child.poll = lambda: None  # type: ignore[method-assign]  # it still looked alive when it was asked
    assert renderer.render("b", {}, now=NOW) == "b"
    assert poll() is not None and renderer._child is not child
    renderer.close()


def test_the_child_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    renderer = TemplateRenderer(deadline=60)
    renderer.render("a", {}, now=NOW)
    assert renderer._child is not None
    environment = Path(f"/proc/{renderer._child.pid}/environ")
    if environment.exists():
        assert b"secret" not in environment.read_bytes()
    renderer.close()


def test_a_long_conversation_passes_through(renderer: TemplateRenderer) -> None:
    text = "\u4e2d\U0001f642x" * 250_000
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    template = ChatTemplate(source, "file", renderer=renderer)
    assert template.render((Message("user", text),), now=NOW) == text
