"""Many requests at once, start-up and memory of our engine, each measurement in a process of its own.

    python -m benchmarks.serving --model FILE --raw NEW_FILE [--stories stories260K.gguf] [--threads 1,2]

Those of `ENGINE_TESTS` drive an engine directly; those of `NODE_TESTS` start a real node and ask over HTTP.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.driven_engine import ENGINE
from benchmarks.goals import table
from benchmarks.half import run_half
from benchmarks.hog import busy
from benchmarks.raw import RawFile

ENGINE_TESTS = ("concurrency", "long_prompt_comes_in", "prompts_together", "resent_prompt", "far_context")
NODE_TESTS = ("http_streams", "start_up", "memory")


def call_of(test: str, model: str, threads: int, options: argparse.Namespace) -> tuple[str, list[Any], Any]:
    """Function, arguments and options of one measurement."""
    if test in ENGINE_TESTS:
        return f"benchmarks.serving_engine:{test}", [model, threads, options.engine], options.load
    more: dict[str, Any] = {"settings": options.set}
    if test == "start_up":
        more["cache_variable"] = options.cache_variable
    return f"benchmarks.serving_node:{test}", [model, threads], more


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--stories", type=Path, help="the model of http_streams; --model without it")
    parser.add_argument("--raw", type=Path, required=True, help="a new file for the raw samples")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tests", default=",".join((*ENGINE_TESTS, *NODE_TESTS)))
    parser.add_argument("--engine", default=ENGINE, help="package.module:factory, called with a LoadSpec")
    parser.add_argument("--load", type=json.loads, default={}, help="JSON: further fields of the LoadSpec")
    parser.add_argument("--set", type=json.loads, default={}, help="JSON: settings of the node, by key")
    parser.add_argument(
        "--cache-variable", default="XDG_CACHE_HOME", help="environment variable that moves the kernel cache"
    )
    parser.add_argument("--hogs", type=int, default=0, help="busy processes beside every measurement")
    return parser


def main() -> None:
    """Measure, then print the table."""
    options = arguments().parse_args()
    raw = RawFile(options.raw, rounds=options.rounds, load=options.load, settings=options.set)
    for threads in map(int, options.threads.split(",")):
        for test in options.tests.split(","):
            model = options.stories if test == "http_streams" and options.stories else options.model
            function, call, more = call_of(test, str(model.resolve()), threads, options)
            for number in range(options.rounds):
                with busy(options.hogs):
                    figures = run_half(function, call, more, 1)[0]
                sample = raw.add(
                    "serving",
                    test=test,
                    model=model.stem,
                    threads=threads,
                    round=number,
                    hogs=options.hogs,
                    figures=figures,
                )
                print(sample, flush=True)
    print(f"\n{table(raw.samples)}")


if __name__ == "__main__":
    main()
