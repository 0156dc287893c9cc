"""`swarmnode peers`: who a running node is connected to, and whom it knows to be alive."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from swarmnode.cli.arguments import add_json, add_place, add_verbosity, config_from
from swarmnode.cli.client import client_for
from swarmnode.cli.output import columns, duration, painted, print_json

HEADINGS = ("peer", "round trip", "trust", "found by", "version", "for", "address")
SHORT_HEAD, SHORT_TAIL = 6, 8


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `peers`."""
    add_place(parser)
    parser.add_argument("--long", action="store_true", help="print whole peer ids and all addresses")
    add_json(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Print the peers."""
    answer = client_for(config_from(args)).fetch("/api/admin/peers")
    print_json(answer) if args.json else print(for_people(answer.get("peers") or [], long=args.long))
    return 0


def for_people(peers: Sequence[dict[str, Any]], *, long: bool = False) -> str:
    """A line a peer, those connected first."""
    if not peers:
        return (
            "No peers. Start a node on the same local network, give it the code of `swarmnode invite`,\n"
            "or name one with `swarmnode run --bootstrap ADDRESS`; `swarmnode doctor` says what is wrong."
        )
    rows = [HEADINGS, *(_row(peer, long) for peer in peers)]
    connected = sum(bool(peer.get("connected")) for peer in peers)
    others = len(peers) - connected
    more = f", and {others} that the swarm knows to be alive" if others else ""
    return f"{connected} connected{more}\n\n{columns(rows)}"


def short_id(peer: str) -> str:
    """A peer id that people can tell from others."""
    return peer if len(peer) <= SHORT_HEAD + SHORT_TAIL else f"{peer[:SHORT_HEAD]}..{peer[-SHORT_TAIL:]}"


def _row(peer: dict[str, Any], long: bool) -> tuple[str, ...]:
    name = str(peer.get("node_id", ""))
    addresses = [str(one).partition("/p2p/")[0] for one in peer.get("addresses") or ()]
    return (
        name if long else short_id(name),
        _round_trip(peer),
        f"{peer['trust_score']:.2f}" if "trust_score" in peer else "",
        str(peer.get("how_found", "")),
        printable(str(peer.get("version") or peer.get("agent") or ""))[:24],
        duration(peer["connected_seconds"]) if "connected_seconds" in peer else "not connected",
        " ".join(addresses if long else addresses[:1]) + ("" if peer.get("healthy", True) else _quiet()),
    )


def printable(text: str) -> str:
    """A text of somebody else's without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _quiet() -> str:
    return painted(" (does not answer)", "yellow", sys.stdout)


def _round_trip(peer: dict[str, Any]) -> str:
    if isinstance(measured := peer.get("latency_ms"), int | float):
        return f"{measured:.1f} ms"
    if isinstance(predicted := peer.get("predicted_rtt_ms"), int | float):
        return f"~{predicted:.0f} ms"
    return ""
