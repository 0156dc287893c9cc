"""`swarmnode run`: start the node."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING, TextIO

from swarmnode import __version__
from swarmnode.cli.arguments import add_settings, add_verbosity, config_from
from swarmnode.cli.output import columns
from swarmnode.config.paths import API_KEY_FILE

if TYPE_CHECKING:
    from swarmnode.config import Config
    from swarmnode.services.welcome import Greeting


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `run`."""
    add_settings(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Run the node until it is stopped; its exit code."""
    config = config_from(args)
    from swarmnode.assembly import run_node

    return run_node(config, partial(greet, stream=sys.stderr, as_json=_logs_json(config)))


def greet(greeting: Greeting, *, stream: TextIO, as_json: bool) -> None:
    """Tell somebody at a terminal where the page is, and how to go on. Programs read the log instead."""
    if stream.isatty() and not as_json:
        stream.write(f"\n{greeting_text(greeting)}\n\n")
        stream.flush()


def greeting_text(greeting: Greeting) -> str:
    """The lines of the greeting."""
    model = greeting.model
    builtin = model is not None and model.owned_by == "builtin"
    guide = " (the built-in guide; for a real one: --model FILE.gguf)" if builtin else ""
    rows = [
        ("page", greeting.page),
        ("API", f"{greeting.page}/v1, key in {greeting.data_dir / API_KEY_FILE}"),
        ("model", f"{model.label}{guide}" if model else "none"),
        ("data", str(greeting.data_dir)),
        ("stop", "Ctrl-C"),
    ]
    table = columns(rows).replace("\n", "\n  ")
    return f"  swarmnode {__version__} is ready\n\n  {table}"


def _logs_json(config: Config) -> bool:
    return bool(config.value("logging.format") == "json")
