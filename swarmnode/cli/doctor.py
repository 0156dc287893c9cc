"""`swarmnode doctor`: what is wrong with a node's network, and why two nodes do not meet."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swarmnode.cli.arguments import add_json, add_place, add_verbosity, config_from
from swarmnode.cli.client import NodeClient, client_for
from swarmnode.cli.output import columns, painted, print_json
from swarmnode.cli.peers import printable, short_id
from swarmnode.values.errors import Unavailable

if TYPE_CHECKING:
    from swarmnode.config import Config

PATH = "/api/admin/doctor"
MARKS = {"problem": ("problem", "red"), "note": ("note", "yellow"), "ok": ("ok", "green")}
MARK_WIDTH = 7
#: The node does not run, so that only a part can be looked at.
NOT_RUNNING = "node_not_running"


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `doctor`."""
    parser.add_argument(
        "--peer",
        metavar="WHO",
        help="why this node and another do not meet: its address, invite code or peer id",
    )
    add_place(parser)
    add_json(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Print what was found; 0 when nothing is wrong, 1 otherwise."""
    config = config_from(args)
    answer = _asked(client_for(config), args.peer, config)
    if args.json:
        print_json(answer)
    else:
        print(_meeting(answer) if "meets" in answer else _examination(answer))
    bad = any(finding["level"] == "problem" for finding in answer.get("findings", ()))
    return 0 if answer.get("meets", not bad) else 1


def _asked(client: NodeClient, peer: str | None, config: Config) -> dict[str, Any]:
    try:
        client.get("/health", with_key=False)
    except Unavailable as error:
        if error.code != NOT_RUNNING:
            raise
        from swarmnode.cli.doctor_offline import examine_offline

        return examine_offline(config, peer, error)
    answer: dict[str, Any] = client.post(PATH, {"peer": peer} if peer else {})
    return answer


def _examination(answer: dict[str, Any]) -> str:
    blocks = [_finding(finding) for finding in answer.get("findings", ())]
    if addresses := answer.get("addresses"):
        blocks.append("\n".join(["addresses announced:", *(f"  {address}" for address in addresses)]))
    if peers := answer.get("peers"):
        blocks.append(columns([HEADINGS, *map(_peer, peers)]))
    return "\n".join(blocks)


HEADINGS = ("peer", "round trip", "down", "up", "clock", "")


def _peer(peer: dict[str, Any]) -> tuple[str, ...]:
    skew = peer.get("clock_skew_seconds")
    return (
        short_id(str(peer.get("node_id", ""))),
        f"{peer['rtt_ms']:.1f} ms" if "rtt_ms" in peer else "",
        f"{peer['down_mbit_s']:.0f} Mbit/s" if "down_mbit_s" in peer else "",
        f"{peer['up_mbit_s']:.0f} Mbit/s" if "up_mbit_s" in peer else "",
        "" if skew is None else f"{skew:+.1f} s",
        printable(str(peer.get("problem", ""))),
    )


def _finding(finding: dict[str, Any]) -> str:
    return _marked(str(finding["level"]), str(finding["text"]), str(finding.get("advice") or ""))


def _marked(level: str, text: str, advice: str = "") -> str:
    word, colour = MARKS[level]
    lines = [f"{painted(f'{word:<{MARK_WIDTH}}', colour, sys.stdout)}  {printable(text)}"]
    if advice:
        lines.append(f"{'':<{MARK_WIDTH}}  {printable(advice)}")
    return "\n".join(lines)


def _meeting(answer: dict[str, Any]) -> str:
    steps: Sequence[dict[str, Any]] = answer.get("steps") or ()
    lines = [
        _marked("ok" if step["ok"] else "problem", f"{step['step']}: {step['detail']}") for step in steps
    ]
    if answer["meets"]:
        lines.append(f"The two nodes meet: {answer.get('node_id', 'they are connected')}")
    else:
        lines.append("")
        lines.append(f"They do not meet ({answer.get('cause')}): {printable(str(answer.get('message')))}")
        lines.append(f"What to do: {answer.get('advice')}")
    return "\n".join(lines)
