"""What the network's figures should come to."""

from __future__ import annotations

import statistics

#: What the medians should come to: figure -> (bound, whether at least).
GOALS = {
    "handshake_ms": (15.0, False),
    "ping_ms": (0.5, False),
    "bulk_to_peer_mb_s": (150.0, True),
    "bulk_from_peer_mb_s": (150.0, True),
    "idle_mb": (60.0, False),
    "idle_cpu_percent": (2.0, False),
}

#: What the medians should come to against js-libp2p's: figure -> (times as much, whether at least).
JS_GOALS = {"bulk_to_peer_mb_s": (1.5, True), "bulk_from_peer_mb_s": (1.5, True)}


def verdicts(figures: dict[str, list[float]]) -> list[str]:
    """A line for each goal that was measured: its median, the bound, and whether that is kept."""
    lines = []
    for name, (bound, at_least) in GOALS.items():
        if name in figures:
            value = statistics.median(figures[name])
            met = value >= bound if at_least else value <= bound
            sign = ">=" if at_least else "<="
            lines.append(f"{name} {value:.3f} ({sign} {bound:g}): {'met' if met else 'MISSED'}")
    for name, (times, at_least) in JS_GOALS.items():
        if f"js_{name}" in figures:
            theirs = statistics.median(figures[f"js_{name}"])
            ratio = statistics.median(figures[name]) / theirs
            met = ratio >= times if at_least else ratio <= times
            sign = ">=" if at_least else "<="
            verdict = "met" if met else "MISSED"
            lines.append(f"{name} {ratio:.2f} times js-libp2p's {theirs:.3f} ({sign} {times:g}): {verdict}")
    return lines
