"""The engine's own measurement: what it reports, not how fast it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmnode.inference import offline_bench
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused


def test_speeds_come_from_the_clock_after_a_warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_random_model(tmp_path / "m.gguf", RandomModel(layers=1))
    readings = iter([0.0, 1.0, 2.0, 10.0, 12.0, 16.0])  # began, prefilled, ended; twice
    monkeypatch.setattr(offline_bench.time, "perf_counter", lambda: next(readings))
    figures = offline_bench.run(str(path), 150, 6, 4)
    assert (figures["pp_tok_s"], figures["tg_tok_s"]) == (75.0, 1.5)
    assert (figures["prompt_tokens"], figures["max_tokens"]) == (150, 6)
    assert (figures["threads"], figures["threads_asked"]) == (1, 4)
    assert figures["profile"].startswith("numpy-1/") and figures["resident_bytes"] > 0


@pytest.mark.parametrize("counts", [(0, 5), (5, 0), (1 << 40, 1)])
def test_absurd_counts_are_refused(tmp_path: Path, counts: tuple[int, int]) -> None:
    path = write_random_model(tmp_path / "m.gguf", RandomModel(layers=1))
    with pytest.raises(Refused, match="from 1 to"):
        offline_bench.run(str(path), *counts)
