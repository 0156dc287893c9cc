"""`swarmnode version`."""

from __future__ import annotations

import platform
from argparse import ArgumentParser, Namespace

from swarmnode import __version__
from swarmnode.cli.arguments import add_json
from swarmnode.cli.output import print_json


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `version`."""
    add_json(parser)


def run(args: Namespace) -> int:
    """Print the version of the software, and of what it runs on."""
    if args.json:
        print_json(
            {
                "version": __version__,
                "python": platform.python_version(),
                "system": platform.system(),
                "machine": platform.machine(),
            }
        )
    else:
        print(f"swarmnode {__version__} (Python {platform.python_version()}, {platform.system()})")
    return 0
