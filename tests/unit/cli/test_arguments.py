"""From flags to configuration keys."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from swarmnode.cli import arguments
from swarmnode.config import Config
from swarmnode.values.errors import Refused


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def parsed(*words: str) -> Namespace:
    parser = ArgumentParser()
    arguments.add_settings(parser)
    arguments.add_verbosity(parser)
    return parser.parse_args(words)


def configured(*words: str) -> Config:
    return arguments.config_from(parsed(*words))


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("-p", "9000"), "node.listen_port", 9000),
        (("--port", "9000"), "node.listen_port", 9000),
        (("-d", "/x"), "node.data_dir", Path("/x")),
        (("--data-dir", "/x"), "node.data_dir", Path("/x")),
        (("-m", "/m.gguf"), "inference.model_path", Path("/m.gguf")),
        (("--model", "/m.gguf"), "inference.model_path", Path("/m.gguf")),
        (("--gpu-layers", "7"), "inference.gpu_layers", 7),
        (("--gpu-layers", "-1"), "inference.gpu_layers", -1),
        (("--bootstrap", "/ip4/1.1.1.1/tcp/1", "--bootstrap", "/dns4/a,b/tcp/2"), "network.bootstrap_peers",
         ("/ip4/1.1.1.1/tcp/1", "/dns4/a,b/tcp/2")),
        (("--no-browser",), "ui.open_browser_on_start", False),
        (("--log-json",), "logging.format", "json"),
        (("--set", "api.rate_limit_rpm=5"), "api.rate_limit_rpm", 5),
        (("--set", "inference.default_model=a=b"), "inference.default_model", "a=b"),
    ],
)  # fmt: skip
def test_each_flag_sets_its_key(words: tuple[str, ...], key: str, value: object) -> None:
    config = configured(*words)
    assert config.value(key) == value
    assert config.origin(key).layer == "flag"
    assert str(config.origin(key)).startswith(words[0] if words[0].startswith("--") else "--")


def test_no_flag_sets_nothing() -> None:
    assert arguments.overrides_from(parsed()) == ()


@pytest.mark.parametrize(("words", "count"), [((), 0), (("-v",), 1), (("-vv",), 2), (("-v", "-v", "-v"), 3)])
def test_verbosity(words: tuple[str, ...], count: int) -> None:
    assert configured(*words).verbosity == count


def test_the_file_flag(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[node]\nlisten_port = 9001\n")
    assert configured("-c", "mine.toml").value("node.listen_port") == 9001
    assert configured("--config", "mine.toml", "-p", "9002").value("node.listen_port") == 9002


def test_set_without_a_value() -> None:
    with pytest.raises(Refused, match="there is no = in it"):
        configured("--set", "node.listen_port")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "1000001", "²"])
def test_what_is_not_positive(text: str) -> None:
    with pytest.raises(arguments.ArgumentTypeError):
        arguments.positive(text)


@pytest.mark.parametrize("text", ["-0.1", "2.1", "nan", "warm"])
def test_what_is_no_temperature(text: str) -> None:
    with pytest.raises(arguments.ArgumentTypeError):
        arguments.temperature(text)
