"""`swarmnode bench`: measure a running node, or with --offline the engine alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from swarmnode.cli.arguments import add_backend, add_json, add_place, add_verbosity, config_from, positive
from swarmnode.cli.client import NodeClient, client_for
from swarmnode.cli.measuring import MAX_CONCURRENCY, Load, measure
from swarmnode.cli.output import Progress, columns, print_json, say
from swarmnode.values.errors import Refused

PROMPT = "Explain in a few paragraphs how general relativity differs from special relativity."
WARM_UP_PROMPT = "Hello."


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `bench`."""
    add_place(parser)
    parser.add_argument(
        "--max-tokens", metavar="N", type=positive, default=100, help="tokens a request (default: 100)"
    )
    parser.add_argument(
        "--iterations",
        metavar="N",
        type=positive,
        default=5,
        help="requests one after the other (default: 5)",
    )
    parser.add_argument(
        "--concurrency", metavar="N", type=positive, default=1, help="such rows at once (default: 1)"
    )
    parser.add_argument(
        "--stream", action="store_true", help="stream, and measure the time to the first token"
    )
    parser.add_argument("--prompt", metavar="TEXT", default=PROMPT, help="what to ask")
    parser.add_argument(
        "--model-id", "--model-name", metavar="NAME", help="model (default: the first there is)"
    )
    parser.add_argument("--no-warm-up", action="store_true", help="measure the first, cold request too")
    parser.add_argument("--offline", metavar="MODEL.gguf", help="measure the engine alone on this file")
    parser.add_argument(
        "--prompt-tokens", metavar="N", type=positive, default=512, help="with --offline (default: 512)"
    )
    parser.add_argument(
        "--threads", metavar="N", type=positive, default=1, help="with --offline (default: 1)"
    )
    add_backend(parser)
    add_json(parser)
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Measure and print; 1 when a request failed."""
    if args.offline:
        return _offline(args)
    if args.concurrency > MAX_CONCURRENCY:
        raise Refused(f"--concurrency is at most {MAX_CONCURRENCY}", code="bad_argument")
    client = client_for(config_from(args))
    load = Load(
        model=args.model_id or _first_model(client),
        prompt=args.prompt,
        max_tokens=args.max_tokens,
        iterations=args.iterations,
        concurrency=args.concurrency,
        stream=args.stream,
    )
    if not args.no_warm_up:
        say(f"Warming {load.model} up")
        client.post("/v1/chat/completions", Load(load.model, WARM_UP_PROMPT, 1).body())
    figures = measure(client, load, done=Progress("requests", load.requests).step)
    print_json(figures) if args.json else print(_table(figures))
    return 1 if figures["failed"] else 0


def _offline(args: Namespace) -> int:
    from swarmnode.inference.offline_bench import run as run_engine

    say(f"Measuring {args.offline}: {args.prompt_tokens} prompt tokens, {args.max_tokens} generated")
    figures = run_engine(
        args.offline, args.prompt_tokens, args.max_tokens, args.threads, backend=args.backend
    )
    print_json(figures) if args.json else print(columns([(k, str(v)) for k, v in figures.items()]))
    return 0


def _first_model(client: NodeClient) -> str:
    models = client.fetch("/v1/models").get("data") or ()
    if not models:
        raise Refused(
            "The node has no model to measure", code="no_model", hint="Start it with --model FILE.gguf."
        )
    return str(models[0]["id"])


def _table(figures: dict[str, Any]) -> str:
    rows = [("model", figures["model"]), ("requests", f"{figures['requests']} ({figures['failed']} failed)")]
    if "tok_per_sec" in figures:
        rows.append(("tokens a second", f"{figures['tok_per_sec']} over all requests"))
    for name, title in (("latency_ms", "latency"), ("ttft_ms", "first token")):
        if name in figures:
            rows.append((title, ", ".join(f"{k} {v:.1f} ms" for k, v in figures[name].items())))
    errors = {one["error"] for one in figures["samples"] if "error" in one}
    return columns(rows + [("failed with", error) for error in sorted(errors)])
