"""`swarmnode test-split --peer`: the running node and one of its peers split a model, and compare."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from swarmnode.cli.arguments import add_place, config_from
from swarmnode.cli.client import client_for
from swarmnode.cli.output import print_json, say
from swarmnode.values.errors import Refused


def add_arguments(parser: ArgumentParser) -> None:
    """The flags that need a running node."""
    group = parser.add_argument_group("over two nodes")
    group.add_argument(
        "--peer",
        metavar="WHO",
        help="let the running node split its model with this one: a peer id, an address or an invite code",
    )
    group.add_argument(
        "--remote",
        metavar="N",
        type=int,
        action="append",
        help="with --peer, which range the peer computes, from 0 (repeatable; default: the last)",
    )
    group.add_argument("--model-name", metavar="NAME", help="with --peer, the node's model to split")
    add_place(group)  # type: ignore[arg-type]


def check(args: Namespace) -> None:
    """Refuse what belongs to the other way of splitting."""
    alone = {"--model": args.model, "--kill": args.kill, "--stages": args.stages}
    both = {"--remote": args.remote, "--model-name": args.model_name}
    given = [name for name, value in (alone if args.peer else both).items() if value is not None]
    if given:
        raise Refused(
            f"{given[0]} cannot be used {'with' if args.peer else 'without'} --peer",
            code="bad_argument",
            hint="With --peer the models and settings of the running node count.",
        )


def run(args: Namespace) -> int:
    """Have the running node compare; 0 when every answer was identical, else 1."""
    wish = {
        "peer": args.peer,
        "prompt": args.prompt,
        "model": args.model_name,
        "split": args.split,
        "remote": args.remote,
        "max_tokens": args.max_tokens,
        "seed": args.seed,
    }
    body = {name: value for name, value in wish.items() if value is not None}
    answer = client_for(config_from(args)).post("/api/admin/test-split", body)
    if args.json:
        print_json(answer)
    else:
        _tell(answer)
    return 0 if answer.get("ok") else 1


def _tell(answer: dict[str, Any]) -> None:
    say(f"{answer['model']}, layers {answer['split']}, with {answer['peer']}")
    for row in answer["scenarios"]:
        verdict = "identical" if row["identical"] else "DIFFERENT"
        say(
            f"{row['scenario']}: {verdict}, {row['tokens']} tokens in {row['seconds']:.2f} s "
            f"({row['whole_seconds']:.2f} s in one piece)"
        )
    say(f"\n{str(answer['texts'].get('greedy', '')).strip()}\n")
    say("all answers are identical" if answer["ok"] else "not all answers are identical")
