"""`swarmnode plugins`: what is plugged in, where it comes from, and whether it can be used."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from swarmnode.cli.arguments import add_json, add_verbosity
from swarmnode.cli.output import columns, print_json, say


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `plugins`."""
    add_json(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """List the plug-ins. One that is broken is reported, and is no failure of this command."""
    from swarmnode.plugins import discover

    found = discover()
    if args.json:
        print_json(as_data(found))
        return 0
    print(as_text(found))
    for problem in found.problems:
        say(f"{problem.origin}: skipped: {problem.error}")
    return 0


def as_data(found: Any) -> dict[str, Any]:
    """A `plugins.Discovery` as plain data."""
    fields = ("kind", "name", "summary", "origin", "available", "reason")
    return {
        "plugins": [{name: getattr(entry, name) for name in fields} for entry in found.entries],
        "problems": [{"origin": p.origin, "error": p.error} for p in found.problems],
    }


def as_text(found: Any) -> str:
    """A line a plug-in: kind, name, state, origin, summary."""
    rows = [("KIND", "NAME", "AVAILABLE", "FROM", "WHAT")]
    for entry in found.entries:
        state = "yes" if entry.available else f"no: {entry.reason}"
        rows.append((entry.kind, entry.name, state, str(entry.origin), entry.summary))
    return columns(rows)
