"""`swarmnode join`: connect a running node to another one, by an invite code or an address."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from swarmnode.cli.arguments import add_json, add_place, add_verbosity, config_from
from swarmnode.cli.client import client_for
from swarmnode.cli.output import print_json


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `join`."""
    parser.add_argument(
        "target",
        metavar="CODE_OR_ADDRESS",
        help="what `swarmnode invite` printed there, or an address such as /ip4/192.168.1.5/tcp/8810",
    )
    add_place(parser)
    add_json(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Join, and say whom."""
    answer = client_for(config_from(args)).post("/api/admin/join-network", {"code": args.target})
    if args.json:
        print_json(answer)
        return 0
    where = f" at {answer['address'].partition('/p2p/')[0]}" if "address" in answer else ""
    print(f"connected to {answer['node_id']}{where}")
    if answer.get("vouched"):
        print("both nodes vouch for each other now")
    elif answer.get("note"):
        print(answer["note"])
    return 0
