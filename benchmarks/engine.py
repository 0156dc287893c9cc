"""Speed of our engine beside llama.cpp's: both in turn (ABAB), each half in a process of its own.

    python -m benchmarks.models FOLDER
    python -m benchmarks.engine --model-dir FOLDER --raw docs/benchmarks/raw/engine.jsonl [--peer PATH ...]

Each peer (a build of llama.cpp: its library, or a folder that has it) is tried once for each model and
number of threads; the one that is faster over the tests' geometric mean is measured against. Nothing else
should run on the machine meanwhile, unless --hogs asks for it.
"""

from __future__ import annotations

import argparse
import math
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

OURS = "swarmnode.inference.offline_bench:run"
THEIRS = "benchmarks.peer:run"
PROBE = "benchmarks.bandwidth:run"
#: Where pairs were dropped, further ones are measured, up to this many times the pairs asked for.
MOST_PAIRS = 2


@dataclass(frozen=True, slots=True)
class Work:
    """One call of an engine: prompt and answer tokens, and which tests it gives (test -> field)."""

    prompt: int
    answer: int
    fields: tuple[tuple[str, str], ...]


#: decode: tokens 129 to 192 of a sequence.
WORKS: dict[str, Work] = {
    "decode": Work(128, 64, (("decode", "tg_tok_s"), ("prefill128", "pp_tok_s"))),
    "prefill": Work(512, 1, (("prefill512", "pp_tok_s"),)),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One engine: a function by name and its options."""

    name: str
    function: str
    options: Mapping[str, Any]


def measure_half(side: Side, model: Path, threads: int, work: Work, repeats: int) -> dict[str, list[float]]:
    """Tokens a second of each test, repeat by repeat."""
    arguments = [str(model), work.prompt, work.answer, threads]
    answers = run_half(side.function, arguments, dict(side.options), repeats)
    return {test: [float(answer[field]) for answer in answers] for test, field in work.fields}


def probe(threads: int) -> float:
    """Bytes of memory read a second just now."""
    return float(run_half(PROBE, [threads], {}, 1)[0]["bytes_s"])


def choose_peer(
    raw: RawFile, peers: Sequence[Side], model: Path, threads: int, works: Sequence[Work]
) -> Side:
    """The faster build of llama.cpp, by one trial of every work; a single one is not tried."""
    if len(peers) == 1:
        return peers[0]
    scores: list[float] = []
    for peer in peers:
        speeds: dict[str, list[float]] = {}
        for work in works:
            speeds |= measure_half(peer, model, threads, work, 2)
        raw.add("trial", model=model.stem, threads=threads, peer=peer.name, tests=speeds)
        scores.append(statistics.fmean(math.log(max(values)) for values in speeds.values()))
    return peers[scores.index(max(scores))]


def measure_pairs(
    raw: RawFile, ours: Side, theirs: Side, model: Path, threads: int, work: Work, options: argparse.Namespace
) -> None:
    """Pairs until as many as asked for are kept, or `MOST_PAIRS` times as many are measured."""
    for number in range(MOST_PAIRS * options.pairs):
        if number >= options.pairs and _all_kept(raw, model, threads, work, options.pairs):
            return
        for label, side in (("ours", ours), ("theirs", theirs)):
            seen = probe(threads)
            tests = measure_half(side, model, threads, work, options.repeats)
            sample = raw.add(
                "half",
                model=model.stem,
                threads=threads,
                pair=number,
                side=label,
                engine=side.name,
                hogs=options.hogs,
                probe=seen,
                tests=tests,
            )
            print(sample, flush=True)


def _all_kept(raw: RawFile, model: Path, threads: int, work: Work, wanted: int) -> bool:
    pairs = pairs_of(raw.samples)
    return all(
        summarise(pairs.get((model.stem, threads, test), [])).kept >= wanted for test, _field in work.fields
    )


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
    parser.add_argument("--repeats", type=int, default=3, help="calls in a half")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tests", default="decode,prefill", help=f"of {','.join(WORKS)}")
    parser.add_argument("--ours", default=OURS, help="package.module:function, called as offline_bench.run")
    parser.add_argument("--peer", action="append", default=[], help="a build of llama.cpp; '' is xllamacpp")
    parser.add_argument("--hogs", type=int, default=0, help="busy processes beside every half")
    return parser


def main() -> None:
    """Measure, then print the table."""
    options = arguments().parse_args()
    raw = RawFile(options.raw, rule=RULE, pairs=options.pairs, repeats=options.repeats, hogs=options.hogs)
    ours, peers = Side("swarmnode", options.ours, {}), peers_of(options.peer)
    describe_peers(raw, peers)
    names = options.models or sorted(path.stem for path in options.model_dir.glob("*.gguf"))
    works = [WORKS[name] for name in options.tests.split(",")]
    for name in names:
        model = options.model_dir / f"{name}.gguf"
        raw.add("model", model=name, bytes_a_token=bytes_a_token(model))
        for threads in map(int, options.threads.split(",")):
            with busy(options.hogs):
                theirs = choose_peer(raw, peers, model, threads, works)
                for work in works:
                    measure_pairs(raw, ours, theirs, model, threads, work, options)
    print(f"\n{RULE}\n\n{table(raw.samples)}")


if __name__ == "__main__":
    main()
