"""`swarmnode invite`: a code by which another node joins this one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from swarmnode.cli.arguments import add_json, add_place, add_verbosity, config_from
from swarmnode.cli.client import client_for
from swarmnode.cli.output import print_json, say


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `invite`."""
    add_place(parser)
    add_json(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Print the code, and only it, on standard output."""
    answer = client_for(config_from(args)).fetch("/api/admin/network-code")
    if args.json:
        print_json(answer)
        return 0
    print(answer["code"])
    say("On the other machine: swarmnode join CODE. The code holds 7 days; whoever has it is trusted more.")
    if all("/127.0.0.1/" in address or "/::1/" in address for address in answer.get("addresses") or ()):
        say("It holds a loopback address only: it is of use on this machine, and on no other.")
    return 0
