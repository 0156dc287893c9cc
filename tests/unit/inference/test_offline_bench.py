"""The engine's own measurement: what it reports, not how fast it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swarmnode.inference import offline_bench
from swarmnode.inference.kernels.team import physical_cores
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused


@pytest.mark.parametrize(
    ("backend", "profile", "threads"),
    [("numpy", "numpy-1/", lambda: 1), ("cpu", "cpu-1:", lambda: min(4, physical_cores()))],
)
def test_speeds_come_from_the_clock_after_a_warm_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kernel_cache: Path,
    backend: str,
    profile: str,
    threads: Callable[[], int],
) -> None:
    monkeypatch.setattr(offline_bench, "own_cache_directory", lambda: kernel_cache)
    path = write_random_model(tmp_path / "m.gguf", RandomModel(layers=1))
    readings = iter([0.0, 1.0, 2.0, 10.0, 12.0, 16.0])  # began, prefilled, ended; twice
    monkeypatch.setattr(offline_bench.time, "perf_counter", lambda: next(readings))
    figures = offline_bench.run(str(path), 150, 6, 4, backend=backend)
    assert (figures["pp_tok_s"], figures["tg_tok_s"]) == (75.0, 1.5)
    assert (figures["prompt_tokens"], figures["max_tokens"]) == (150, 6)
    assert (figures["threads"], figures["threads_asked"]) == (threads(), 4)
    assert figures["profile"].startswith(profile) and figures["resident_bytes"] > 0


@pytest.mark.parametrize("counts", [(0, 5), (5, 0), (1 << 40, 1)])
def test_absurd_counts_are_refused(tmp_path: Path, counts: tuple[int, int]) -> None:
    path = write_random_model(tmp_path / "m.gguf", RandomModel(layers=1))
    with pytest.raises(Refused, match="from 1 to"):
        offline_bench.run(str(path), *counts)
