"""How far quantised weights take an engine from float32 products of the same weights, beside llama.cpp.

    python -m benchmarks.accuracy FOLDER [--stage module:function] [--peer PATH]

For each family a model of random weights is written twice: packed, and the same numbers as float32. The
reference is llama.cpp on the float32 file (which agrees with transformers to 1e-6); keys and values are
float32 everywhere. Every position is teacher-forced: each engine sees the same tokens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.half import find
from benchmarks.llama_cpp import LlamaCpp, find_library
from benchmarks.models import write_model
from benchmarks.shapes import ACCURACY
from swarmnode.inference.stage.chain import logits_of
from swarmnode.models.gguf import GgufFile

Floats = npt.NDArray[np.float32]

STAGE = "swarmnode.inference.stage.compiled_stage:load_compiled_stage"
#: It multiplies float32 with float32: the confirmation of the reference.
REFERENCE_STAGE = "swarmnode.inference.stage.numpy_stage:load_stage"
WEIGHTS = ("Q4_K_M", "Q6_K", "Q8_0")
#: Sequences of random tokens and their length: 5,120 positions a family and type.
SEQUENCES, LENGTH = 20, 256
#: The likeliest token must be the same where it leads the next by more than this (natural logarithm).
CLEAR_MARGIN = 0.1
#: Our error may be so many times llama.cpp's.
ALLOWANCE = 1.1


@dataclass(frozen=True, slots=True)
class Distance:
    """Of an engine from the reference, over all positions.

    kl: mean Kullback-Leibler divergence of the next-token distributions, in nats; kl_median: its median,
    which a few positions cannot move. worst_top: the largest difference in the log-probability of the
    reference's likeliest token; worst_of_each: the mean of each sequence's largest (a single largest one is
    mostly luck: that of two engines with equal errors differs by 15 % as a rule). wrong: positions whose
    likeliest token is another one though the reference's leads by more than `CLEAR_MARGIN`; clear: positions
    where it does. positions: all of them.
    """

    kl: float
    kl_median: float
    worst_top: float
    worst_of_each: float
    wrong: int
    clear: int
    positions: int


def distance(reference: Floats, other: Floats, length: int = LENGTH) -> Distance:
    """Compare logits, float32 [positions, vocab], of sequences of `length` positions."""
    expected, found = log_softmax(reference), log_softmax(other)
    rows = np.arange(len(expected))
    top = expected.argmax(axis=1)
    two = np.partition(expected, -2, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > CLEAR_MARGIN
    kl = (np.exp(expected) * (expected - found)).sum(axis=1)
    off = np.abs(expected[rows, top] - found[rows, top])
    return Distance(
        kl=float(kl.mean()),
        kl_median=float(np.median(kl)),
        worst_top=float(off.max()),
        worst_of_each=float(np.mean([off[n : n + length].max() for n in range(0, len(off), length)])),
        wrong=int((clear & (found.argmax(axis=1) != top)).sum()),
        clear=int(clear.sum()),
        positions=len(rows),
    )


def log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Natural logarithms of probabilities, row by row, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def sequences(vocab: int, count: int = SEQUENCES, length: int = LENGTH) -> list[npt.NDArray[np.int32]]:
    """Random tokens after the one that begins a text."""
    rng = np.random.default_rng(7)
    bodies = rng.integers(259, vocab, (count, length - 1))
    return [np.concatenate([[1], body]).astype(np.int32) for body in bodies]


def logits_of_stage(path: Path, stage: str, options: Mapping[str, Any]) -> Floats:
    """Of a stage loaded by name, called as `load_stage` is: float32 [positions, vocab]."""
    with GgufFile(path) as file:
        loaded = find(stage)(file, **options)
        rows = [part for ids in sequences(loaded.facts.vocab) for part in logits_of([loaded], ids)]
        del loaded
    return np.concatenate(rows)


def logits_of_llama_cpp(path: Path, library: LlamaCpp) -> Floats:
    """The same of llama.cpp, with plain attention and a float32 cache."""
    model = library.load(path, context=LENGTH, threads=1, kv="f32", flash=False)
    try:
        return np.concatenate([model.all_logits(ids) for ids in sequences(model.vocab)])
    finally:
        model.close()


@dataclass(frozen=True, slots=True)
class Result:
    """One family and type: the distances of both engines from float32 products."""

    family: str
    weights: str
    ours: Distance
    theirs: Distance


def compare(
    folder: Path, family: str, weights: str, library: LlamaCpp, stage: str, options: Mapping[str, Any]
) -> Result:
    """Write the models into `folder` and compare. Raises what the stage's loader raises."""
    shape = ACCURACY[family]
    packed = write_model(folder / f"{family}-{weights}.gguf", shape, weights)
    plain = write_model(folder / f"{family}-{weights}-f32.gguf", shape, weights, unpacked=True)
    reference = logits_of_llama_cpp(plain, library)
    ours = logits_of_stage(packed, stage, options)
    theirs = logits_of_llama_cpp(packed, library)
    return Result(family, weights, distance(reference, ours), distance(reference, theirs))


COLUMNS = (
    "family",
    "weights",
    *(
        f"{what}, {side}"
        for what in ("KL mean", "KL median", "worst of each sequence", "worst", "wrong")
        for side in ("ours", "llama.cpp")
    ),
)


def table(results: Sequence[Result]) -> str:
    """The results in Markdown."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for result in results:
        ours, theirs = result.ours, result.theirs
        cells = [
            result.family,
            result.weights,
            *(f"{side.kl:.2e}" for side in (ours, theirs)),
            *(f"{side.kl_median:.2e}" for side in (ours, theirs)),
            *(f"{side.worst_of_each:.4f}" for side in (ours, theirs)),
            *(f"{side.worst_top:.4f}" for side in (ours, theirs)),
            *(f"{side.wrong} of {side.clear}" for side in (ours, theirs)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print one line of JSON a family and type."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the models are written")
    parser.add_argument("--stage", default=STAGE)
    parser.add_argument("--options", type=json.loads, default={"kv": "f32"}, help="JSON: for the loader")
    parser.add_argument("--peer", type=Path, help="a build of llama.cpp; without it, xllamacpp")
    parser.add_argument("--families", nargs="*", choices=list(ACCURACY), default=list(ACCURACY))
    parser.add_argument("--weights", nargs="*", default=list(WEIGHTS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    library = LlamaCpp(find_library(options.peer))
    results: list[Result] = []
    for family in options.families:
        for weights in options.weights:
            result = compare(options.folder, family, weights, library, options.stage, options.options)
            results.append(result)
            print(json.dumps(asdict(result)), flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
