"""`swarmnode identity`: show the identity of this node, or take a new one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from swarmnode.cli.arguments import add_json, add_place, add_verbosity, config_from
from swarmnode.cli.output import columns, print_json, say
from swarmnode.values.errors import Refused

if TYPE_CHECKING:
    from swarmnode.config import Config


def add_arguments(parser: ArgumentParser) -> None:
    """The sub-commands and flags of `identity`."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="show|rotate")
    for name, text in (
        ("show", "the peer id and public key"),
        ("rotate", "take a new key; the old and the new one both sign the hand-over (stop the node first)"),
    ):
        part = parts.add_parser(name, help=text)
        add_place(part)
        add_json(part)
        add_verbosity(part)


def run(args: Namespace) -> int:
    """Show or rotate the identity in the data directory."""
    config = config_from(args)
    _require_identity(config)
    data = _rotated(config) if args.part == "rotate" else _shown(config)
    if args.json:
        print_json(data)
    else:
        print(columns([(name.replace("_", " "), str(value)) for name, value in data.items()]))
    if args.part == "rotate":
        say("The node has a new peer id. Those who vouched for the old one have to learn the new one.")
    return 0


def _require_identity(config: Config) -> None:
    from swarmnode.storage.identity import IDENTITY_NAME

    if not (config.data_dir / IDENTITY_NAME).exists():
        raise Refused(
            f"There is no identity in {config.data_dir}",
            code="no_identity",
            hint="Start the node once, it makes one; or name its --data-dir.",
        )


def _passphrase(config: Config) -> str:
    return str(config.value("identity.passphrase") or "")


def _shown(config: Config) -> dict[str, object]:
    from swarmnode.storage.identity import load_or_create_identity, read_handovers

    identity = load_or_create_identity(config.data_dir, _passphrase(config))
    return {
        "peer_id": identity.peer_id,
        "public_key": identity.public_key.hex(),
        "rotations": len(read_handovers(config.data_dir)),
    }


def _rotated(config: Config) -> dict[str, object]:
    from swarmnode.storage.identity import rotate_identity

    handover = rotate_identity(config.data_dir, _passphrase(config))
    return {
        "old_peer_id": handover.old_peer_id,
        "peer_id": handover.new_peer_id,
        "public_key": handover.new_key.hex(),
        "rotations": handover.sequence,
    }
