"""`swarmnode status`: ask a running node how it is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from swarmnode.cli.arguments import add_json, add_place, add_verbosity, config_from
from swarmnode.cli.client import NodeClient, client_for
from swarmnode.cli.output import columns, print_json
from swarmnode.values.errors import Unavailable


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `status`."""
    add_place(parser)
    add_json(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Print the node's status. Exit code 0 when it is ready, 1 when it is not, or does not run."""
    client = client_for(config_from(args))
    status = node_status(client)
    print_json(status) if args.json else print(_table(client.url, status))
    return 0 if status["ready"] else 1


def node_status(client: NodeClient) -> dict[str, Any]:
    """`GET /v1/status`, with `ready` and `subsystems` of `GET /health/ready`.

    The key is sent only to what has answered as a node does. Raises `Unavailable` for anything else.
    """
    _, health = client.get("/health/ready", with_key=False)
    if not isinstance(health, dict) or not isinstance(health.get("ready"), bool):
        raise Unavailable(
            f"What answers at {client.url} is not a swarmnode",
            code="not_a_node",
            hint="Name the port of the node with --port.",
        )
    state = {"ready": health["ready"], "subsystems": health.get("subsystems") or {}}
    try:
        return {**client.fetch("/v1/status"), **state}
    except Unavailable:
        if health["ready"]:
            raise
        return state  # it is still starting


def _table(url: str, status: dict[str, Any]) -> str:
    rows = [
        ("node", f"{url} ({'ready' if status['ready'] else 'not ready'})"),
        ("version", str(status.get("version", ""))),
        ("peer id", str(status.get("peer_id", ""))),
        ("addresses", ", ".join(map(str, status.get("addresses") or ()))),
        ("running for", _duration(status.get("uptime_seconds"))),
        ("active requests", str(status.get("active_requests", ""))),
        ("models", ", ".join(map(_label, status.get("models") or ()))),
        ("loaded", ", ".join(map(_label, status.get("loaded_models") or ()))),
        ("waiting for", ", ".join(name for name, up in status["subsystems"].items() if not up)),
    ]
    return columns([row for row in rows if row[1]])


def _label(model: Any) -> str:
    return str(model.get("label") or model.get("id") or model) if isinstance(model, dict) else str(model)


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"
