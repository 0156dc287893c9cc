"""`swarmnode run`: start the node."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from swarmnode.cli.arguments import add_settings, add_verbosity, config_from


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `run`."""
    add_settings(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Run the node until it is stopped; its exit code."""
    config = config_from(args)
    from swarmnode.assembly import run_node

    return run_node(config)
