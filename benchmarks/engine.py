"""Speed of our engine beside llama.cpp's: both in turn (ABAB), each half in a process of its own.

    python -m benchmarks.models FOLDER
    python -m benchmarks.engine --model-dir FOLDER --raw docs/benchmarks/raw/engine.jsonl [--peer PATH ...]

Each peer (a build of llama.cpp: its library, or a folder that has it) is tried once for each model and number
of threads; the faster one is measured against. Nothing else should run on the machine meanwhile,
unless --hogs asks for it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.half import run_half
from benchmarks.hog import busy
from benchmarks.models import bytes_a_token
from benchmarks.pairs import RULE, pairs_of, summarise, table
from benchmarks.raw import RawFile

#: Or `swarmnode.inference.offline_bench:run`, or any other function like it.
OURS = "benchmarks.ours:run"
THEIRS = "benchmarks.peer:run"
#: Where pairs were dropped, further ones are measured, up to this many times the pairs asked for.
MOST_PAIRS = 3
TRIAL_REPEATS = 1


#: The calls of a half, as (prompt tokens, answer tokens), and what is taken from each.
CALLS = ((128, 48), (512, 1))
#: Test: (which call, field of its answer). decode: tokens 129 to 176 of a sequence.
TESTS: dict[str, tuple[int, str]] = {
    "decode": (0, "tg_tok_s"),
    "prefill128": (0, "pp_tok_s"),
    "prefill512": (1, "pp_tok_s"),
}
#: Tests' values, repeat by repeat.
Values = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Side:
    """One engine: a function by name and its options."""

    name: str
    function: str
    options: Mapping[str, Any]


def measure_half(side: Side, model: Path, threads: int, repeats: int) -> tuple[Values, float]:
    """Tokens a second of each test, repeat by repeat, in a process of its own (each call warms up itself),
    and the bytes of memory that this process read a second."""
    calls = [[str(model), prompt, answer, threads] for prompt, answer in CALLS]
    arguments = [side.function, calls, dict(side.options), repeats, threads]
    answer = run_half("benchmarks.half:several", arguments, {}, 1)[0]
    turns = answer["turns"]
    values = {test: [float(turn[call][field]) for turn in turns] for test, (call, field) in TESTS.items()}
    return values, float(answer["probe"])


def choose_peer(raw: RawFile, peers: Sequence[Side], model: Path, threads: int) -> Side:
    """The build of llama.cpp that is the faster one in most tests, by one trial each; a single one is not
    tried."""
    if len(peers) == 1:
        return peers[0]
    trials: list[Values] = []
    for peer in peers:
        values, _ = measure_half(peer, model, threads, TRIAL_REPEATS)
        raw.add("trial", model=model.stem, threads=threads, peer=peer.name, values=values)
        trials.append(values)
    best = [max(range(len(peers)), key=lambda n: statistics.median(trials[n][test])) for test in TESTS]
    return peers[statistics.mode(best)]


def measure_pairs(
    raw: RawFile, sides: Mapping[str, Side], model: Path, threads: int, options: argparse.Namespace
) -> None:
    """Pairs until as many as asked for are kept of every test, or `MOST_PAIRS` times as many are measured."""
    for number in range(MOST_PAIRS * options.pairs):
        so_far = pairs_of(raw.samples)
        kept = [summarise(so_far.get((model.stem, threads, test), [])).kept for test in TESTS]
        if min(kept) >= options.pairs:
            return
        for label, side in sides.items():
            measured, seen = measure_half(side, model, threads, options.repeats)
            about = {"model": model.stem, "threads": threads, "pair": number, "side": label}
            about |= {"engine": side.name, "hogs": options.hogs, "probe": seen}
            for test, values in measured.items():
                print(raw.add("half", test=test, values=values, **about), flush=True)


def peers_of(places: Sequence[str]) -> list[Side]:
    """The builds named on the command line; without any, xllamacpp of this environment."""
    return [Side(f"llama.cpp {n}", THEIRS, {"library": place}) for n, place in enumerate(places or [""], 1)]


def describe_peers(raw: RawFile, peers: Sequence[Side]) -> None:
    """What each build says it was made with; where it lies is nobody's business."""
    for peer in peers:
        answer = run_half("benchmarks.peer:describe", [peer.options["library"]], {}, 1)[0]
        raw.add("peer", peer=peer.name, **answer)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--models", nargs="*", help="names without .gguf; all of the folder if none")
    parser.add_argument("--raw", type=Path, required=True, help="a new file for the raw samples")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=2, help="how often a half does each call")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--ours", default=OURS, help="package.module:function, called as offline_bench.run")
    parser.add_argument("--ours-options", type=json.loads, default={}, help="JSON: further arguments of it")
    parser.add_argument("--peer", action="append", default=[], help="a build of llama.cpp; '' is xllamacpp")
    parser.add_argument("--hogs", type=int, default=0, help="busy processes beside every half")
    return parser


def main() -> None:
    """Measure, then print the table."""
    options = arguments().parse_args()
    raw = RawFile(options.raw, rule=RULE, pairs=options.pairs, repeats=options.repeats, hogs=options.hogs)
    ours, peers = Side("swarmnode", options.ours, options.ours_options), peers_of(options.peer)
    describe_peers(raw, peers)
    names = options.models or sorted(path.stem for path in options.model_dir.glob("*.gguf"))
    for name in names:
        model = options.model_dir / f"{name}.gguf"
        raw.add("model", model=name, bytes_a_token=bytes_a_token(model))
        for threads in map(int, options.threads.split(",")):
            with busy(options.hogs):
                theirs = choose_peer(raw, peers, model, threads)
                measure_pairs(raw, {"ours": ours, "theirs": theirs}, model, threads, options)
    print(f"\n{RULE}\n\n{table(raw.samples)}")


if __name__ == "__main__":
    main()
