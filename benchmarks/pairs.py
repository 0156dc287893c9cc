"""What pairs of measurements say: the rule by which pairs are dropped, medians, ratios. Pure functions.

python -m benchmarks.pairs RAW_FILE     the tables of a raw file again
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.goals import wanted_ratio, wanted_share

#: A half whose repeats differ by more than this share of their median was disturbed.
MAX_SPREAD = 0.30
#: Halves ran on like memory if the slower reading speed is at least this share of the faster one.
MIN_PROBE = 0.80

RULE = (
    f"A pair is dropped if the repeats of either half differ (largest less smallest) by more than "
    f"{MAX_SPREAD:.0%} of their median, or if the reading speed of memory, measured in each half's process "
    f"just before it, is in one half below {MIN_PROBE:.0%} of what it is in the other. The rule was fixed "
    f"before anything was measured, and does not ask which engine was faster."
)


@dataclass(frozen=True, slots=True)
class Half:
    """One engine's turn. values: tokens a second, repeat by repeat; probe: bytes of memory that its process
    could read a second just before."""

    values: tuple[float, ...]
    probe: float

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        return (max(self.values) - min(self.values)) / self.value


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours and theirs, one right after the other."""

    ours: Half
    theirs: Half

    @property
    def ratio(self) -> float:
        return self.ours.value / self.theirs.value


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the pairs kept. ratio_low and ratio_high: the range of single pairs' ratios. probe: median bytes
    a second. per_byte: median of our tokens for each byte that could be read. All are NaN if none is kept."""

    kept: int
    dropped: int
    ours: float
    theirs: float
    ratio: float
    ratio_low: float
    ratio_high: float
    probe: float
    per_byte: float

    def share(self, bytes_a_token: float) -> float:
        """Bytes of weights read a second by our engine, as a share of the memory's reading speed."""
        return self.per_byte * bytes_a_token


def is_kept(pair: Pair) -> bool:
    """Whether the rule keeps the pair."""
    slower, faster = sorted((pair.ours.probe, pair.theirs.probe))
    return slower >= MIN_PROBE * faster and max(pair.ours.spread, pair.theirs.spread) <= MAX_SPREAD


def summarise(pairs: Sequence[Pair]) -> Summary:
    """Apply the rule, then medians."""
    kept = [pair for pair in pairs if is_kept(pair)]
    if not kept:
        nan = float("nan")
        return Summary(0, len(pairs), nan, nan, nan, nan, nan, nan, nan)
    ratios = [pair.ratio for pair in kept]
    return Summary(
        kept=len(kept),
        dropped=len(pairs) - len(kept),
        ours=statistics.median(pair.ours.value for pair in kept),
        theirs=statistics.median(pair.theirs.value for pair in kept),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        probe=statistics.median(half.probe for pair in kept for half in (pair.ours, pair.theirs)),
        per_byte=statistics.median(pair.ours.value / pair.ours.probe for pair in kept),
    )


#: (model, threads, test), as in the raw file.
Key = tuple[str, int, str]


def pairs_of(samples: Iterable[Mapping[str, Any]]) -> dict[Key, list[Pair]]:
    """Halves of the raw file (`kind` "half"), put together by model, threads, test and number of the pair. A
    half without its other half is left out."""
    halves: dict[tuple[Key, int], dict[str, Half]] = {}
    for sample in samples:
        if sample.get("kind") == "half":
            key: Key = (sample["model"], sample["threads"], sample["test"])
            sides = halves.setdefault((key, sample["pair"]), {})
            sides[sample["side"]] = Half(tuple(sample["values"]), sample["probe"])
    found: dict[Key, list[Pair]] = {}
    for (key, _number), sides in halves.items():
        if sides.keys() >= {"ours", "theirs"}:
            found.setdefault(key, []).append(Pair(sides["ours"], sides["theirs"]))
    return found


COLUMNS = (
    "model",
    "threads",
    "test",
    "pairs (dropped)",
    "ours tok/s",
    "llama.cpp tok/s",
    "ratio",
    "range of ratios",
    "memory GB/s",
    "share of it",
    "met",
)


def is_met(key: Key, summary: Summary, sizes: Mapping[str, float]) -> bool:
    """Whether ratio and share of a model, number of threads and test are as wanted."""
    model, _threads, test = key
    share = wanted_share(*key)
    return summary.ratio >= wanted_ratio(test) and (
        share is None or (model in sizes and summary.share(sizes[model]) >= share)
    )


def table(samples: Sequence[Mapping[str, Any]]) -> str:
    """The summary in Markdown, one row a model, number of threads and test."""
    sizes = {s["model"]: s["bytes_a_token"] for s in samples if s.get("kind") == "model"}
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for key, pairs in pairs_of(samples).items():
        model, threads, test = key
        summary = summarise(pairs)
        decode = test.startswith("decode") and model in sizes
        share = f"{summary.share(sizes[model]):.0%}" if decode and summary.kept else ""
        cells = [
            model,
            str(threads),
            test,
            f"{summary.kept} ({summary.dropped})",
            f"{summary.ours:.2f}",
            f"{summary.theirs:.2f}",
            f"{summary.ratio:.2f}",
            f"{summary.ratio_low:.2f}-{summary.ratio_high:.2f}",
            f"{summary.probe / 1e9:.1f}",
            share,
            "yes" if is_met(key, summary, sizes) else "NO",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def read_raw(path: Path) -> list[dict[str, Any]]:
    """The lines of a raw file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def main() -> None:
    """Print the table of a raw file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__)
    parser.add_argument("raw", type=Path)
    print(f"{RULE}\n\n{table(read_raw(parser.parse_args().raw))}")


if __name__ == "__main__":
    main()
