"""`twistd swarmnode` takes the flags of `swarmnode run`, and they mean the same."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from swarmnode.cli.arguments import add_settings, add_verbosity, config_from
from swarmnode.config import Config
from swarmnode.tap import Options, config_of, makeService
from swarmnode.values.errors import Refused


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def by_twistd(*words: str) -> Config:
    options = Options()
    options.parseOptions(list(words))
    return config_of(options)


def by_command_line(*words: str) -> Config:
    parser = ArgumentParser()
    add_settings(parser)
    add_verbosity(parser)
    return config_from(parser.parse_args(words))


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-p", "9000", "-d", "data"),
        ("--port", "9000", "--data-dir", "/data", "--model", "m.gguf", "--gpu-layers", "3"),
        ("--gpu-layers", "0"),
        ("--bootstrap", "/ip4/1.2.3.4/tcp/1", "--bootstrap", "/ip4/1.2.3.4/tcp/2", "--no-browser"),
        ("--set", "api.rate_limit_rpm=5", "--set", "ui.theme=light", "-m", "m.gguf"),
        ("-v",),
        ("-vv",),
        ("-v", "--verbose", "-v"),
    ],
)
def test_both_ways_of_starting_read_the_same_words(words: tuple[str, ...]) -> None:
    one, other = by_twistd(*words), by_command_line(*words)
    assert dict(one.values) == dict(other.values)
    assert dict(one.origins) == dict(other.origins)
    assert one.verbosity == other.verbosity


def test_a_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[node]\nlisten_port = 9001\n")
    assert by_twistd("-c", "mine.toml").value("node.listen_port") == 9001


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--set", "ui.theme=dark", "--set", "ui.theme=light"),
            "ui.theme is already given by --set ui.theme",
        ),
        (("--port", "9000", "--set", "node.listen_port=9001"), "is already given by --port"),
        (("--set", "node.listen_port"), "there is no = in it"),
        (("--set", "node.listen_prt=1"), "did you mean node.listen_port?"),
        (("--port", "many"), 'node.listen_port = "many" is not allowed'),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(Refused) as caught:
        by_twistd(*words)
    assert message in caught.value.message


def test_flags_that_are_none() -> None:
    with pytest.raises(UsageError):
        by_twistd("--prt", "9000")


def test_a_refusal_is_two_lines_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    options = Options()
    options.parseOptions(["--set", "ui.theme=blue"])
    with pytest.raises(SystemExit) as caught:
        makeService(options)
    assert caught.value.code == 2
    message, hint = capsys.readouterr().err.splitlines()
    assert message.startswith("swarmnode: --set ui.theme: ui.theme = ")
    assert hint.startswith("  ")
