"""`swarmnode status`: ask a running node how it is."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from swarmnode.cli.arguments import add_json, add_place, add_verbosity, config_from
from swarmnode.cli.client import NodeClient, client_for
from swarmnode.cli.output import columns, duration, painted, print_json
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
    print_json(status) if args.json else print(for_people(client.url, status))
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


def for_people(url: str, status: dict[str, Any]) -> str:
    """The status as a few lines: how the node is, its facts, its models."""
    blocks = [_headline(url, status), columns(_facts(status)), columns(_models(status))]
    indented = (block.replace("\n", "\n  ") for block in blocks if block)
    return "\n\n  ".join(indented)


def _headline(url: str, status: dict[str, Any]) -> str:
    ready = status["ready"]
    state = painted("ready" if ready else "not ready", "green" if ready else "yellow", sys.stdout)
    name = " ".join(filter(None, ("swarmnode", status.get("version"))))
    lasting = f", for {duration(status['uptime_seconds'])}" if "uptime_seconds" in status else ""
    return f"{painted(name, 'bold', sys.stdout)} at {url}: {state}{lasting}"


def _facts(status: dict[str, Any]) -> list[tuple[str, str]]:
    active, queued = status.get("active_requests"), status.get("queued_requests", 0)
    rows = [
        ("peer id", status.get("peer_id", "")),
        ("addresses", ", ".join(map(str, status.get("addresses") or ()))),
        ("peers", "" if "peers" not in status else str(status["peers"])),
        ("requests", "" if active is None else f"{active} running, {queued} waiting"),
        ("waiting for", ", ".join(name for name, up in status["subsystems"].items() if not up)),
    ]
    return [(name, str(text)) for name, text in rows if text]


def _models(status: dict[str, Any]) -> list[tuple[str, str]]:
    """A line a model: its name, and what can be said of it."""
    loaded = {model["id"]: model for model in status.get("loaded_models") or ()}
    unusable = status.get("unusable_models") or {}
    rows = []
    for name in status.get("models") or ():
        mark = "default, " if name == status.get("default_model") else ""
        if name in unusable:
            rows.append((name, painted(f"cannot be used: {unusable[name]}", "red", sys.stdout)))
        else:
            rows.append((name, mark + _state(loaded.get(name))))
    return [("models", "")] + [(f"  {name}", text) for name, text in rows] if rows else []


def _state(model: dict[str, Any] | None) -> str:
    if model is None:
        return "available"
    words = {"starting": "loading", "ready": "loaded", "stopping": "unloading"}
    parts = [words.get(model.get("state", ""), "loaded")]
    if isinstance(part := model.get("loading"), int | float):
        parts[0] += f" {100 * part:.0f} %"
    if model.get("resident_bytes"):
        parts.append(f"{model['resident_bytes'] / (1 << 20):.0f} MB")
    if active := model.get("active_requests"):
        parts.append(f"{active} request{'s' * (active > 1)}")
    elif model.get("state") == "ready":
        parts.append(f"idle for {duration(model.get('idle_seconds'))}")
    return ", ".join(parts)
