"""The goals of the network's measurements."""

from __future__ import annotations

from pathlib import Path

from benchmarks.network import arguments
from benchmarks.network_goals import GOALS, verdicts


def test_a_median_is_held_against_its_bound() -> None:
    lines = verdicts({"ping_ms": [0.1, 9.0, 0.2], "bulk_to_peer_mb_s": [100.0], "cpu_own_s": [1.0]})
    assert lines == ["ping_ms 0.200 (<= 0.5): met", "bulk_to_peer_mb_s 100.000 (>= 150): MISSED"]
    assert len(verdicts({name: [bound] for name, (bound, _) in GOALS.items()})) == len(GOALS)


def test_all_tests_are_run_by_default() -> None:
    options = arguments(["--raw", "/x"])
    assert (options.raw, options.connections) == (Path("/x"), 500)
    assert options.tests == ["handshake", "ping", "bulk", "idle"]
