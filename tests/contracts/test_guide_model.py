"""The built-in guide: what its answers claim is true of this software, and it gives the right ones."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmnode.config.keys import KEYS
from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.templates import ChatTemplate
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.values.generation import Message

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "packaging" / "guide_model"
GUIDE = ROOT / "swarmnode" / "inference" / "guide" / "guide.gguf"
HELD_OUT = RECIPE / "data" / "heldout"
MAX_BYTES = 8 << 20
MIN_LAYERS = 6

sys.path.insert(0, str(RECIPE))
from guide_recipe import asking, measuring, normal_form, texts  # noqa: E402

ENTRIES = texts.read_entries()
ANSWERS = sorted({entry.answer for entry in ENTRIES} | {texts.unknown_answer()})
QUOTED = sorted({word for answer in ANSWERS for word in re.findall(r"`([^`]+)`", answer)})


# ------------------------------------------------------------------ the file


@pytest.fixture(scope="module")
def gguf() -> Iterator[GgufFile]:
    with GgufFile(GUIDE) as file:
        yield file


def test_the_file_is_small_and_can_be_split(gguf: GgufFile) -> None:
    facts = read_facts(gguf)
    assert GUIDE.stat().st_size <= MAX_BYTES
    assert facts.architecture == "llama"
    assert facts.layers >= MIN_LAYERS
    assert facts.tied


def test_the_file_says_what_it_is(gguf: GgufFile) -> None:
    metadata = gguf.metadata
    assert metadata["general.name"] == "swarmnode guide"
    assert metadata["general.license"] == "MIT"
    assert metadata["tokenizer.ggml.pre"] == "gpt-2"
    end = metadata["tokenizer.ggml.eos_token_id"]
    assert metadata["tokenizer.ggml.tokens"][end] == "<|im_end|>"
    assert metadata["tokenizer.chat_template"] == normal_form.chat_template()


def test_every_matrix_is_q8_0(gguf: GgufFile) -> None:
    kinds = {info.type_name for info in gguf.tensors.values() if len(info.shape) == 2}
    assert kinds == {"Q8_0"}


def test_the_facts_beside_it_are_about_this_file(gguf: GgufFile) -> None:
    facts = json.loads(GUIDE.with_name("facts.json").read_text())
    assert facts["sha256"] == hashlib.sha256(GUIDE.read_bytes()).hexdigest()
    assert facts["entries"] == len(ENTRIES)
    assert facts["plan"]["shape"]["layers"] == read_facts(gguf).layers


@pytest.mark.parametrize(
    "question",
    ["What is SWARMNODE?!", 'how\'s it, "going"', "  two\nlines ", "Be brief.\n\nWhat is it?", "Über’s", ""],
)
def test_the_template_shows_what_the_training_showed(gguf: GgufFile, question: str) -> None:
    template = ChatTemplate.load(gguf, TextModel.load(gguf))
    try:
        rendered = template.render((Message("user", question),), now="2026-11-20T12:00:00")
    finally:
        template.close()
    assert rendered == normal_form.prompt(question)


# ------------------------------------------------------------------ what the answers claim


#: Quoted words that name nothing of ours: other programs' commands, places, values, parts of a name.
PLAIN_WORDS = {
    "pip install .",
    "pip uninstall swarmnode",
    "twistd swarmnode",
    "twistd -n swarmnode",
    "api_key",
    "config.toml",
    "models",
    "auto",
    "json",
    "system",
    "swarmnode_",
    "SWARMNODE_<SECTION>_<KEY>",
    "Authorization: Bearer KEY",
    "[DONE]",
    "hint",
    "usage",
    "context_length",
    "context_length_exceeded",
    "%APPDATA%\\swarmnode",
    "~/Library/Application Support/swarmnode",
}
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)(/[\w/]*)?")
FIELD = re.compile(r'"?(\w+)"?(: .*)?')


def _commands() -> dict[str, SimpleNamespace]:
    """By name: the options that the command and its parts take; None where it cannot be imported yet."""
    from swarmnode.cli.main import COMMANDS, build_parser

    found = {}
    for command in COMMANDS:
        there = importlib.util.find_spec(command.module) is not None
        parsers = list(_parsers(build_parser(command)[0])) if there else []
        options = {option for parser in parsers for option in parser._option_string_actions} | {"-vv", "-vvv"}
        parts = {name for parser in parsers for name in _parts(parser)}
        found[command.name] = SimpleNamespace(
            options=options | {"-vv", "-vvv"} if there else None, parts=parts
        )
    return found


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for part in _parts(parser).values():
        yield from _parsers(part)


def _parts(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def _routes() -> set[str]:
    from prometheus_client import CollectorRegistry
    from twisted.internet.task import Clock

    from swarmnode.api.assets import page_directory
    from swarmnode.api.site import make_site
    from swarmnode.testing.fake_core import FakeCore, FakeKeys, FakeNode
    from swarmnode.values.settings import ApiSettings

    site = make_site(
        FakeCore(), FakeNode(), FakeKeys(), CollectorRegistry(), ApiSettings(), Clock(), page_directory()
    )
    return {rule for _, rule in site.routes}


@pytest.fixture(scope="module")
def software() -> SimpleNamespace:
    """What there really is: commands, routes, fields of requests, make targets."""
    from swarmnode.api.openai_tables import CHAT, COMPLETION

    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    fields = set(CHAT) | set(COMPLETION)
    return SimpleNamespace(commands=_commands(), routes=_routes(), fields=fields, targets=set(targets))


def _is_command_line(words: list[str], commands: dict[str, SimpleNamespace]) -> bool:
    if not words or words[0].startswith("-"):
        return words == ["--help"]
    command = commands.get(words[0])
    if command is None:
        return False
    options = [word for word in words[1:] if word.startswith("-")]
    known = command.options is None or set(options) <= command.options
    return known and (not command.parts or words[1:2] != [] and words[1] in command.parts)


def _is_route(path: str, routes: set[str]) -> bool:
    return path in ("", "/") or any(
        rule == path or rule.startswith(path.rstrip("/") + "/") for rule in routes
    )


def _exists(word: str, software: SimpleNamespace) -> bool:
    """Whether a quoted word names something that there is."""
    if word in PLAIN_WORDS or word in software.commands:
        return True
    if word.startswith("swarmnode "):
        return _is_command_line(word.split()[1:], software.commands)
    if word.startswith("make "):
        return word.removeprefix("make ") in software.targets
    if address := ADDRESS.search(word):
        right_port = int(address[1]) == KEYS["node.listen_port"].default
        return right_port and _is_route(address[2] or "", software.routes)
    if word.startswith(("GET /", "/")):
        return _is_route(word.removeprefix("GET "), software.routes)
    if word.startswith("-"):
        return any(word in command.options for command in software.commands.values() if command.options)
    if word.startswith("SWARMNODE_"):
        return word.split("=")[0] in {key.variable for key in KEYS.values()}
    if word.startswith("~/.local/share/swarmnode"):
        return True
    if re.fullmatch(r"[a-z_]+\.[a-z_]+", word) and word.split(".")[0] in {k.split(".")[0] for k in KEYS}:
        return word in KEYS
    if "/" in word or word.endswith(".md"):
        return (ROOT / word).exists()
    field = FIELD.fullmatch(word)
    return field is not None and field[1] in software.fields


@pytest.mark.parametrize("word", QUOTED)
def test_what_answers_name_exists(word: str, software: SimpleNamespace) -> None:
    assert _exists(word, software)


@pytest.mark.parametrize(
    "word",
    [
        "swarmnode fly",
        "swarmnode run --fly",
        "swarmnode config fly",
        "swarmnode config",
        "/v1/fly",
        "http://127.0.0.1:9/v1",
        "make fly",
        "node.fly",
        "SWARMNODE_NODE_FLY",
        "docs/fly.md",
        "fly",
        "--fly",
    ],
)
def test_what_does_not_exist_is_noticed(word: str, software: SimpleNamespace) -> None:
    assert not _exists(word, software)


def test_ports_in_answers_are_the_defaults() -> None:
    port = KEYS["node.listen_port"].default
    named = {int(n) for answer in ANSWERS for n in re.findall(r"(?:[Pp]ort |--port |:)(\d{4,5})\b", answer)}
    assert named == {port, port + 10, 9000}  # 9000 is the example of another port


def test_defaults_in_answers_are_the_defaults() -> None:
    said = {
        "unload": ("300 seconds", "auto_manage.idle_unload_secs", 300),
        "ratelimit": ("60 requests a minute", "api.rate_limit_rpm", 60),
        "parallel": ("Ten requests", "inference.max_concurrent_requests", 10),
    }
    answers = {entry.name: entry.answer for entry in ENTRIES}
    for name, (text, key, value) in said.items():
        assert text in answers[name]
        assert KEYS[key].default == value


# ------------------------------------------------------------------ the data


def test_there_are_enough_questions_and_each_is_paraphrased() -> None:
    held = texts.read_paraphrases(HELD_OUT / "paraphrases.txt")
    assert len(ENTRIES) >= 100
    assert set(held) == {entry.name for entry in ENTRIES}
    assert min(len(found) for found in held.values()) >= 3
    assert len(texts.read_outside(HELD_OUT / "outside.txt")) >= 40


def test_no_answer_begins_like_another() -> None:
    """The first words decide; two answers that begin alike would be mixed up."""
    beginnings = [" ".join(answer.split()[:4]) for answer in ANSWERS]
    assert len(set(beginnings)) == len(ANSWERS)


def test_the_generator_reads_no_evaluation_file() -> None:
    for path in [*(RECIPE / "guide_recipe").glob("*.py"), RECIPE / "build.py"]:
        if path.name != "measuring.py":
            assert not re.search(r"heldout|development|outside\.txt|paraphrases\.txt", path.read_text()), path


def test_most_held_out_paraphrases_are_never_drawn_in_training() -> None:
    asked = measuring.paraphrases(HELD_OUT)
    fresh = [one for one in asked if not one.drawable]
    assert len(fresh) >= 0.6 * len(asked)


def test_what_could_be_drawn_is_recognised() -> None:
    drawable = measuring.Drawable()
    assert drawable("How do I stop the server?", "stop")
    assert not drawable("How do I stop the server?", "start")
    assert not drawable("how would one bring a halt to that node", "stop")


# ------------------------------------------------------------------ the answers


@pytest.fixture(scope="module")
def ask() -> asking.Ask:
    """Through this project's own tokenizer, template renderer and stage."""
    return asking.swarmnode(GUIDE)


def _told(answered: list[measuring.Answered]) -> str:
    """Which entries were missed. The questions themselves are held out: who writes phrasings should not
    read them in a failure."""
    return "missed: " + ", ".join(one.asked.name for one in answered if not one.right)


def test_the_plain_questions_are_answered_to_the_letter(ask: asking.Ask) -> None:
    answered = measuring.put(ask, measuring.plain_questions())
    assert measuring.share(answered) >= 0.95, _told(answered)


def test_paraphrases_are_understood(ask: asking.Ask) -> None:
    """Only those that the generator could not have drawn count; every second one, to save time."""
    fresh = [one for one in measuring.paraphrases(HELD_OUT) if not one.drawable]
    answered = measuring.put(ask, fresh[::2])
    assert measuring.share(answered) >= 0.6, _told(answered)


def test_outside_questions_are_refused(ask: asking.Ask) -> None:
    answered = measuring.put(ask, measuring.outside(HELD_OUT))
    assert measuring.share(answered) >= 0.9, _told(answered)


def test_the_guide_says_that_it_is_one_and_how_to_get_a_real_model(ask: asking.Ask) -> None:
    for question in ("Who are you?", "Write a poem", "What is 2+2?"):
        answer = ask(question)
        assert "guide" in answer
        assert "swarmnode run --model FILE.gguf" in answer


def test_a_system_prompt_and_earlier_turns_make_no_difference(gguf: GgufFile) -> None:
    template = ChatTemplate.load(gguf, TextModel.load(gguf))
    turns = (
        Message("system", "You are a pirate."),
        Message("user", "Hello"),
        Message("assistant", "Hello!"),
        Message("user", "How do I stop the node?"),
    )
    try:
        for messages in (turns, turns[:1] + turns[3:]):
            rendered = template.render(messages, now="2026-11-20T12:00:00")
            assert rendered == normal_form.prompt("How do I stop the node?")
    finally:
        template.close()


def test_capitals_and_marks_make_no_difference(ask: asking.Ask) -> None:
    assert ask("HOW DO I STOP THE NODE???") == ask("how do i stop the node")
