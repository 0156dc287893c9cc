"""Streams of an engine that is driven by hand, with a small model."""

from __future__ import annotations

import pytest

from benchmarks import serving_engine
from benchmarks.driven_engine import DrivenEngine, Stream
from benchmarks.models import write_model
from benchmarks.shapes import ACCURACY


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model") / "small.gguf", ACCURACY["llama"], "Q8_0"))


def test_every_token_asked_for_comes_and_is_counted(model: str) -> None:
    engine = DrivenEngine(model, 1, dequantised_bytes=1 << 26)
    streams = [engine.submit(engine.prompt(70, seed), 12) for seed in (1, 2)]
    engine.finish(streams)
    assert [stream.count for stream in streams] == [12, 12]
    assert all(stream.first_token_seconds > 0 for stream in streams)
    assert len(engine.steps) >= 12
    engine.close()


def test_prompts_differ_from_their_start(model: str) -> None:
    engine = DrivenEngine(model, 1)
    one, other = engine.prompt(8, 1), engine.prompt(8, 2)
    assert one == engine.prompt(8, 1) and len(one) == 8
    assert one[0] == other[0] == 1 and one[1] != other[1]
    engine.close()


def test_an_idle_engine_is_not_waited_for(model: str) -> None:
    engine = DrivenEngine(model, 1)
    with pytest.raises(RuntimeError, match="nothing to do"):
        engine.run_until(lambda: False)
    engine.close()


def test_a_prompt_sent_again_is_known(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_engine, "RESENT_PROMPT", 129)
    figures = serving_engine.resent_prompt(model, 1, dequantised_bytes=1 << 26)
    assert figures["cached_tokens"] == 128


def test_gaps_lie_in_the_window() -> None:
    stream = Stream(0.0, [(1.0, 1), (2.0, 1), (4.0, 1), (7.0, 1)])
    assert stream.gaps(1.5, 6.0) == [1.0, 2.0]
    assert stream.count == 4 and stream.first_token_seconds == 1.0


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert serving_engine.percentile(values, 0.95) == 96.0
    assert serving_engine.percentile([3.0], 0.95) == 3.0
