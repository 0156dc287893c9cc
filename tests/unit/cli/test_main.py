"""Finding commands, exit codes, and how faults are printed."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from types import ModuleType

import pytest

from swarmnode.cli import main as cli
from swarmnode.values.errors import LocalFault, PeerFault, Refused, SwarmnodeError, Unavailable


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """A command table of `run` alone, which raises what is put into the list, or returns 7."""
    faults: list[BaseException] = []
    module = ModuleType("fake_command")

    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--port")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("-v", "--verbose", action="count", default=0)

    def run(args: Namespace) -> int:
        if faults:
            raise faults[0]
        return 7

    module.add_arguments = add_arguments  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_command", module)
    fake = cli.Command("run", "fake_command", "do it")
    monkeypatch.setattr(cli, "COMMANDS", (fake, cli.Command("broken", "no_such_module_here", "break")))
    monkeypatch.setattr(cli, "BARE", fake)
    yield faults


@pytest.mark.parametrize(
    ("words", "name", "rest"),
    [
        ([], "run", []),
        (["--port", "9000"], "run", ["--port", "9000"]),
        (["-vv"], "run", ["-vv"]),
        (["run", "-p", "1"], "run", ["-p", "1"]),
        (["test-split", "--kill", "both"], "test-split", ["--kill", "both"]),
    ],
)
def test_choosing(words: list[str], name: str, rest: list[str]) -> None:
    command, left = cli.choose(words)
    assert command is not None
    assert (command.name, left) == (name, rest)


def test_the_commands_of_this_version() -> None:
    promised = "run status peers invite join doctor chat bench test-split version plugins config identity"
    assert {command.name for command in cli.COMMANDS} == {*promised.split(), "tokenize", "logits"}


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {command.name} " in out for command in cli.COMMANDS)


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["staus"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "there is no command 'staus'; did you mean status?" in captured.err


@pytest.mark.parametrize("words", [[], ["--port", "9000"], ["run"]])
def test_the_exit_code_is_the_commands(fault: list[BaseException], words: list[str]) -> None:
    assert cli.main(words) == 7


@pytest.mark.parametrize(("kind", "code"), [(Refused, 2), (Unavailable, 1), (LocalFault, 1), (PeerFault, 1)])
def test_faults(
    fault: list[BaseException], capsys: pytest.CaptureFixture[str], kind: type[SwarmnodeError], code: int
) -> None:
    fault.append(kind("It broke", code="broken", hint="Mend it."))
    assert cli.main([]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "swarmnode: It broke\n  Mend it.\n")


def test_a_fault_as_json_is_one_line(fault: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    fault.append(Refused("two\nlines", code="broken", param="x"))
    assert cli.main(["--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert json.loads(captured.out)["error"]["message"] == "two\nlines"
    assert "swarmnode: two" in captured.err


def test_a_traceback_only_when_asked_for(
    fault: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    fault.append(Unavailable("It broke", code="broken"))
    cli.main(["-vv"])
    assert "Traceback" not in capsys.readouterr().err
    cli.main(["-vvv"])
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c(fault: list[BaseException]) -> None:
    fault.append(KeyboardInterrupt())
    assert cli.main([]) == 130


def test_bad_usage(fault: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--prt", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "swarmnode: unrecognized arguments: --prt 1",
        "  `swarmnode run --help` shows what it takes.",
    ]


@pytest.mark.parametrize(
    "words", [["run", "--prt", "--json"], ["run", "--json", "--port"], ["status", "--json"], ["--json", "x"]]
)
def test_bad_usage_is_json_where_json_is_asked_for(
    fault: list[BaseException], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert cli.main(words) == 2
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["error"]["code"] == "bad_usage"


def test_bad_usage_of_a_part_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["identity", "show", "--bogus", "--json"]) == 2
    assert "--bogus" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_abbreviations_are_no_flags(fault: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--por", "1"]) == 2


@pytest.mark.parametrize("words", [["run", "--help"], ["help", "run"]])
def test_help_of_a_command(
    fault: list[BaseException], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert cli.main(words) == 0
    assert "--port" in capsys.readouterr().out


def test_a_command_that_cannot_be_loaded(
    fault: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["broken"]) == 1
    assert (
        "The command `broken` cannot be loaded: No module named 'no_such_module_here'"
        in capsys.readouterr().err
    )
