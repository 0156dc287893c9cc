"""The small commands: run, version, config, plugins, identity, and the reference pages."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from swarmnode import __version__
from swarmnode.cli import plugins
from swarmnode.cli.main import COMMANDS, build_parser, main
from swarmnode.cli.reference import cli_reference
from swarmnode.config import KEYS, LATER, Config
from swarmnode.config.reference import configuration_reference

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that nodes were started with."""
    configs: list[Config] = []

    def run_node(config: Config, greet: Any) -> int:
        configs.append(config)
        return 3

    assembly = ModuleType("swarmnode.assembly")
    assembly.run_node = run_node  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "swarmnode.assembly", assembly)
    return configs


@pytest.mark.parametrize("words", [["--port", "9000", "-vv"], ["run", "-p", "9000", "-v", "-v"]])
def test_a_bare_command_means_run(words: list[str], started: list[Config]) -> None:
    assert main(words) == 3
    assert started[0].value("node.listen_port") == 9000
    assert started[0].verbosity == 2


def test_a_bad_configuration_starts_nothing(
    started: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--set", "node.listen_prt=9000"]) == 2
    captured = capsys.readouterr()
    assert "did you mean node.listen_port?" in captured.err
    assert (captured.out, started) == ("", [])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["version"], ["--version"]):
        assert main(words) == 0
        assert capsys.readouterr().out.startswith(f"swarmnode {__version__} ")
    assert main(["version", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["version"] == __version__


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["config", "show", *words]) == 0
    return capsys.readouterr().out


def test_config_show_as_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('[api]\napi_key = "sesame"\n[ui]\ntheme = "light"\n')
    monkeypatch.setenv("SWARMNODE_NODE_CONTRIBUTION", "maximum")
    out = shown(capsys, "--json", "-d", str(tmp_path), "--bootstrap", "/ip4/1.2.3.4/tcp/1")
    assert out.count("\n") == 1
    assert "sesame" not in out
    data = json.loads(out)
    file = str(tmp_path / "config.toml")
    assert (data["data_dir"], data["file"]) == (str(tmp_path), file)
    assert list(data["keys"]) == list(KEYS)
    assert {name for name, key in data["keys"].items() if key["later"]} == set(LATER)
    expected = {
        "api.api_key": ("********", "file", file),
        "ui.theme": ("light", "file", file),
        "node.contribution": ("maximum", "environment", "SWARMNODE_NODE_CONTRIBUTION"),
        "node.data_dir": (str(tmp_path), "flag", "--data-dir"),
        "network.bootstrap_peers": (["/ip4/1.2.3.4/tcp/1"], "flag", "--bootstrap"),
        "node.listen_port": (8800, "default", ""),
        "identity.passphrase": (None, "default", ""),
    }
    for name, (value, origin, place) in expected.items():
        assert (data["keys"][name]["value"], data["keys"][name]["origin"]) == (value, origin)
        assert data["keys"][name]["place"] == place


def test_config_show_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "api.", "--set", "api.dashboard_trust_lan=true").splitlines()
    assert "api.metrics_auth_required    = auto         # default" in lines
    (later,) = [line for line in lines if line.startswith("api.dashboard_trust_lan")]
    mark = f"not built yet ({LATER['api.dashboard_trust_lan'].feature}), no effect"
    assert later.endswith(f"= true         # --set api.dashboard_trust_lan; {mark}")


def test_config_show_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "nonsense"]) == 2
    assert "No key begins with 'nonsense'" in capsys.readouterr().err


def test_config_reference_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "reference"]) == 0
    out = capsys.readouterr().out
    assert out == configuration_reference()
    for key in KEYS.values():
        chapter = out[out.index(f"\n## [{key.section}]\n") :]
        assert f"\n| `{key.name}` |" in chapter
        assert key.variable.removesuffix(key.name.upper()) in chapter


def test_the_reference_pages_are_up_to_date() -> None:
    """Otherwise: `swarmnode config reference [--commands] > docs/reference/{configuration,cli}.md`."""
    assert (REFERENCE / "configuration.md").read_text() == configuration_reference()
    assert (REFERENCE / "cli.md").read_text() == cli_reference()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_can_be_loaded(command: Any) -> None:
    parser, module = build_parser(command)
    assert callable(module.run)
    assert isinstance(parser, ArgumentParser)


@pytest.mark.parametrize("name", ["status", "chat", "bench"])
def test_every_client_command_takes_the_place_of_the_node(name: str) -> None:
    parser, _ = build_parser(next(command for command in COMMANDS if command.name == name))
    args = parser.parse_args(["--port", "9000", "--data-dir", "/x"])
    assert (args.port, args.data_dir) == ("9000", "/x")


@dataclass
class Entry:
    kind: str = "provider"
    name: str = "shout"
    summary: str = "Answers in capitals"
    origin: str = "example-provider 1.0"
    available: bool = True
    reason: str = ""


@dataclass
class Problem:
    origin: str = "/site/swarmnode/plugins/broken.py"
    error: str = "SyntaxError: invalid syntax"


@dataclass
class Found:
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def test_plugins(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = Found([Entry(), Entry(name="gpu", available=False, reason="no module named torch")], [Problem()])
    monkeypatch.setattr("swarmnode.plugins.discover", lambda: found, raising=False)
    assert main(["plugins", "--json"]) == 0
    captured = capsys.readouterr()
    assert (captured.out.count("\n"), captured.err) == (1, "")
    assert json.loads(captured.out) == plugins.as_data(found)
    assert main(["plugins"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "KIND      NAME   AVAILABLE                  FROM                  WHAT",
        "provider  shout  yes                        example-provider 1.0  Answers in capitals",
        "provider  gpu    no: no module named torch  example-provider 1.0  Answers in capitals",
    ]
    assert captured.err == "/site/swarmnode/plugins/broken.py: skipped: SyntaxError: invalid syntax\n"


def test_identity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from swarmnode.storage.identity import load_or_create_identity

    place = ["--data-dir", str(tmp_path / "data"), "--json"]
    assert main(["identity", "show", *place]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "no_identity"
    assert not (tmp_path / "data").exists(), "looking makes nothing"

    first = load_or_create_identity(tmp_path / "data")
    assert main(["identity", "show", *place]) == 0
    before = json.loads(capsys.readouterr().out)
    assert before == {"peer_id": first.peer_id, "public_key": first.public_key.hex(), "rotations": 0}
    assert main(["identity", "rotate", *place]) == 0
    rotated = json.loads(capsys.readouterr().out)
    assert rotated["old_peer_id"] == first.peer_id != rotated["peer_id"]
    assert main(["identity", "show", *place]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after == {key: rotated[key] for key in ("peer_id", "public_key", "rotations")}
    assert after["rotations"] == 1
