"""The command line's entry: one table of commands, each imported when it is called.

A command module offers `add_arguments(parser)` and `run(args) -> int`, the exit code. Faults are
`SwarmnodeError`s: this is the one place that prints them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from swarmnode.values.errors import SwarmnodeError

FAILED, USAGE, INTERRUPTED = 1, 2, 130
TRACEBACK_VERBOSITY = 3


class Command(NamedTuple):
    """A command: its module is imported only when it is called."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command("run", "swarmnode.cli.run", "start the node (what a bare `swarmnode` does)"),
    Command("status", "swarmnode.cli.status", "ask a running node how it is"),
    Command("peers", "swarmnode.cli.peers", "list the nodes that a running node is connected to"),
    Command("invite", "swarmnode.cli.invite", "print a code by which other nodes join"),
    Command("join", "swarmnode.cli.join", "connect to another node, by its code or address"),
    Command(
        "doctor", "swarmnode.cli.doctor", "say what is wrong with the network, and why nodes do not meet"
    ),
    Command("chat", "swarmnode.cli.chat", "talk to a model in the terminal"),
    Command("bench", "swarmnode.cli.bench", "measure speed: of a running node, or of the engine alone"),
    Command(
        "test-split", "swarmnode.cli.test_split", "run a model split over worker processes, or over two nodes"
    ),
    Command("tokenize", "swarmnode.cli.tokenize", "print the token ids of a text"),
    Command("logits", "swarmnode.cli.logits", "write a model's logits to a file, to compare"),
    Command("config", "swarmnode.cli.config", "show the configuration and where each value comes from"),
    Command("identity", "swarmnode.cli.identity", "show or replace the identity of this node"),
    Command("plugins", "swarmnode.cli.plugins", "list what is plugged in"),
    Command("version", "swarmnode.cli.version", "print the version"),
)
BARE = COMMANDS[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name); the exit code.

    0: done. 1: it failed. 2: it cannot be done as asked (bad usage, bad configuration). 130: Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"] and len(words) > 1:
        words = [words[1], "--help"]
    if words[:1] in (["-h"], ["--help"], ["help"]):
        print(overview())
        return 0
    if words[:1] == ["--version"]:
        words[0] = "version"
    command, rest = choose(words)
    if command is None:
        return _unknown(words)
    return _call(command, rest)


def choose(words: list[str]) -> tuple[Command | None, list[str]]:
    """The command that is meant, and its arguments. Without one, or with a flag first: `run`."""
    if not words or words[0].startswith("-"):
        return BARE, words
    named = {command.name: command for command in COMMANDS}
    return named.get(words[0]), words[1:]


def overview() -> str:
    """The text of `swarmnode --help`. Imports no command."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.help}" for command in COMMANDS]
    return "\n".join([
        "usage: swarmnode [command] [options]",
        "",
        "Run large language models together: a peer-to-peer node with OpenAI-compatible APIs.",
        "",
        "commands:",
        *lines,
        "",
        "`swarmnode COMMAND --help` says more about one. Without a command: run.",
    ])  # fmt: skip


def build_parser(command: Command) -> tuple[ArgumentParser, Any]:
    """The parser of a command, and its module. Raises `LocalFault` when the module cannot be imported."""
    from importlib import import_module

    from swarmnode.cli.arguments import Parser
    from swarmnode.values.errors import LocalFault

    try:
        module = import_module(command.module)
    except ImportError as error:
        raise LocalFault(
            f"The command `{command.name}` cannot be loaded: {error}",
            code="command_not_loaded",
            hint="Install swarmnode again with everything it needs (`make setup` in a checkout).",
        ) from error
    summary = command.help[0].upper() + command.help[1:] + "."
    parser = Parser(f"swarmnode {command.name}", description=summary, allow_abbrev=False)
    module.add_arguments(parser)
    return parser, module


def _call(command: Command, words: list[str]) -> int:
    from argparse import Namespace

    from swarmnode.values.errors import SwarmnodeError

    # Before the words are understood: whoever wrote --json wants to read complaints about them as JSON too.
    args = Namespace(json="--json" in words)
    try:
        parser, module = build_parser(command)
        parser.parse_args(words, args)
        code = int(module.run(args))
        sys.stdout.flush()  # here, where a reader that is gone can be told from a fault
        return code
    except SwarmnodeError as error:
        return _report(error, args)
    except SystemExit as leaving:  # argparse has printed its help
        return leaving.code if isinstance(leaving.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _output_closed()


def _report(error: SwarmnodeError, args: Namespace) -> int:
    from swarmnode.values.errors import Refused

    if getattr(args, "verbose", 0) >= TRACEBACK_VERBOSITY:
        import traceback

        traceback.print_exception(error)
    if getattr(args, "json", False):
        import json

        print(json.dumps({"error": error.as_dict()}))
    print(f"swarmnode: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    return USAGE if isinstance(error, Refused) else FAILED


def _unknown(words: list[str]) -> int:
    from argparse import Namespace
    from difflib import get_close_matches

    from swarmnode.values.errors import Refused

    near = get_close_matches(words[0], [command.name for command in COMMANDS], n=1)
    tail = f"; did you mean {near[0]}?" if near else ""
    error = Refused(
        f"there is no command {words[0]!r}{tail}",
        code="bad_usage",
        hint="`swarmnode --help` lists the commands.",
    )
    return _report(error, Namespace(json="--json" in words))


def _output_closed() -> int:
    """Whoever read our output is gone. Python would complain once more when it flushes at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
