"""`swarmnode config`: what the configuration is, and what it could be."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from swarmnode.cli.arguments import add_json, add_settings, add_verbosity, config_from
from swarmnode.cli.output import columns, print_json
from swarmnode.config import KEYS, LATER, Config
from swarmnode.config.problems import MASK, show_for
from swarmnode.values.errors import Refused


def add_arguments(parser: ArgumentParser) -> None:
    """The sub-commands and flags of `config`."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="show|reference")
    shown = parts.add_parser("show", help="every key, its value, and where the value comes from")
    shown.add_argument("section", nargs="?", default="", help="only keys that begin like this")
    add_settings(shown)
    add_json(shown)
    add_verbosity(shown)
    reference = parts.add_parser("reference", help="the reference page, as Markdown")
    reference.add_argument("--commands", action="store_true", help="of the command line instead")


def run(args: Namespace) -> int:
    """Print the configuration, or a reference page."""
    if args.part == "reference":
        print(_reference(args.commands), end="")
        return 0
    config = config_from(args)
    names = [name for name in KEYS if name.startswith(args.section)]
    if not names:
        raise Refused(f"No key begins with {args.section!r}", code="bad_config")
    print_json(as_data(config, names)) if args.json else print(as_text(config, names))
    return 0


def as_text(config: Config, names: list[str]) -> str:
    """A line a key: name, value, origin, and whether it has an effect yet."""
    rows = [
        (name, f"= {show_for(KEYS[name], config.value(name))}", f"# {config.origin(name)}{_mark(name)}")
        for name in names
    ]
    return f"# data directory: {config.data_dir}\n{columns(rows)}"


def as_data(config: Config, names: list[str]) -> dict[str, Any]:
    """The same for programs; secrets are masked here too."""
    return {
        "data_dir": str(config.data_dir),
        "file": str(config.file) if config.file else None,
        "keys": {
            name: {
                "value": _plain(config, name),
                "origin": config.origin(name).layer,
                "place": config.origin(name).place,
                "later": LATER[name].feature if name in LATER else None,
            }
            for name in names
        },
    }


def _plain(config: Config, name: str) -> Any:
    value = config.value(name)
    if KEYS[name].secret:
        return None if value is None else MASK
    return str(value) if isinstance(value, Path) else value


def _mark(name: str) -> str:
    return f"; not built yet ({LATER[name].feature}), no effect" if name in LATER else ""


def _reference(commands: bool) -> str:
    if commands:
        from swarmnode.cli.reference import cli_reference

        return cli_reference()
    from swarmnode.config.reference import configuration_reference

    return configuration_reference()
