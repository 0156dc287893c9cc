"""What the measurements of serving should come to, and whether they did. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a measurement and the bound that its median over the rounds should keep."""

    test: str
    figure: str
    bound: float
    at_least: bool
    what: str

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


GOALS = (
    Goal("concurrency", "times_4", 3.0, True, "decode of 4 streams together, times one"),
    Goal("concurrency", "times_8", 4.0, True, "decode of 8 streams together, times one"),
    Goal(
        "long_prompt_comes_in",
        "gap_p95_beyond_a_step_ms",
        200.0,
        False,
        "gap between tokens while 512-token prompts come in, p95, beyond one step (ms)",
    ),
    Goal("long_prompt_comes_in", "ttft_ratio", 1.5, False, "first token of a 512-token prompt, times alone"),
    Goal("prompts_together", "last_over_first_2", 1.3, False, "2 prompts together: last first token / first"),
    Goal("prompts_together", "last_over_first_4", 1.3, False, "4 prompts together: last first token / first"),
    Goal("prompts_together", "last_over_first_8", 1.3, False, "8 prompts together: last first token / first"),
    Goal("resent_prompt", "times_faster", 30.0, True, "first token of a 513-token prompt sent again, faster"),
    Goal("far_context", "share", 0.75, True, "decode after 4096 tokens, share of that after 128"),
    Goal("http_streams", "times", 1.5, True, "8 streams over HTTP at once, times one after another"),
    Goal("start_up", "first_start_s", 20.0, False, "first token after ready, empty kernel cache (s)"),
    Goal("start_up", "later_starts_s", 3.0, False, "first token after ready, later starts, the slowest (s)"),
    Goal("memory", "resident_beyond_file_mb", 200.0, False, "worker's resident memory beyond the file (MB)"),
    Goal("memory", "given_back", 1.0, True, "memory given back when unloaded (1: yes)"),
)


def wanted_ratio(test: str) -> float:
    """Of llama.cpp's tokens a second."""
    return 1.0 if test.startswith("decode") else 1.2


def wanted_share(model: str, threads: int, test: str) -> float | None:
    """Of the memory's reading speed, where something is wanted of it."""
    if not test.startswith("decode"):
        return None
    if model.endswith("Q8_0"):
        return 0.75
    if model == "tinyllama-Q4_K_M":
        return 0.60 if threads == 1 else 0.50
    return None


def number_of(value: Any) -> float:
    """A figure as one number: of a list its largest."""
    return float(max(value)) if isinstance(value, list) else float(value)


def judge(samples: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Goal, list[float]]]:
    """For each group of samples (`kind` "serving", one model, threads and hogs) and goal: a sample of the
    group, the goal, and the values of its figure, round by round."""
    groups: dict[tuple[str, str, int, int], list[Mapping[str, Any]]] = {}
    for sample in samples:
        if sample.get("kind") == "serving":
            key = (sample["test"], sample["model"], sample["threads"], sample["hogs"])
            groups.setdefault(key, []).append(sample)
    return [
        (rounds[0], goal, [number_of(sample["figures"][goal.figure]) for sample in rounds])
        for (test, *_rest), rounds in groups.items()
        for goal in GOALS
        if goal.test == test
    ]


def table(samples: Sequence[Mapping[str, Any]]) -> str:
    """The goals in Markdown: median and range over the rounds."""
    lines = [
        "| model | threads | hogs | what | wanted | median | range | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for sample, goal, values in judge(samples):
        middle = statistics.median(values)
        cells = [
            str(sample["model"]),
            str(sample["threads"]),
            str(sample["hogs"]),
            goal.what,
            f"{'>=' if goal.at_least else '<='} {goal.bound:g}",
            f"{middle:.2f}",
            f"{min(values):.2f} to {max(values):.2f}",
            "yes" if goal.is_met(middle) else "NO",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
