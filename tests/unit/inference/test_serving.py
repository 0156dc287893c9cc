"""From a model file to what a worker serves: both back ends, and files that lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnode.inference import serving
from swarmnode.inference.serving import make_engine
from swarmnode.models.gguf import GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Finished, GenerationRequest, RawText, Sampling, TextDelta
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadSpec

MODEL = RandomModel(layers=3, vocab=320)


@pytest.fixture(autouse=True)
def kept_kernels(monkeypatch: pytest.MonkeyPatch, kernel_cache: Path) -> None:
    monkeypatch.setattr(serving, "own_cache_directory", lambda: kernel_cache)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("m") / "m.gguf", MODEL)


def changed(source: Path, copy: Path, tensor: str, change: Callable[[np.ndarray], None]) -> str:
    """A copy of the file with the float32 numbers of one tensor changed."""
    data = bytearray(source.read_bytes())
    with GgufFile(source) as gguf:
        info = gguf.tensors[tensor]
    change(np.frombuffer(data, np.float32, info.elements, info.offset))
    copy.write_bytes(data)
    return str(copy)


def answer(engine: serving.ServedModel) -> list[Any]:
    events: list[Any] = []
    request = GenerationRequest("r", "m", RawText("w1 w2"), max_tokens=5, sampling=Sampling(temperature=0.0))
    engine.submit(engine.prepare(request), events.append)
    while engine.step():
        pass
    return events


@pytest.mark.parametrize(("backend", "profile"), [("cpu", "cpu-1:kv=f16"), ("numpy", "numpy-1/")])
def test_a_whole_model_answers(path: Path, backend: str, profile: str) -> None:
    told: list[tuple[int, int]] = []
    spec = LoadSpec("m", str(path), backend=backend, threads=1)
    engine = make_engine(spec, lambda done, total: told.append((done, total)))
    try:
        described = engine.describe()
        assert described["profile"].startswith(profile)
        assert described["resident_bytes"] > 0 and described["layers"] == [0, 3]
        events = answer(engine)
        assert isinstance(events[-1], Finished) and events[-1].usage.completion_tokens == 5
        assert any(isinstance(event, TextDelta) for event in events)
        assert engine.progress > 0
    finally:
        engine.close()
    assert backend == "numpy" or told[-1][0] == told[-1][1] > 0


def test_closing_ends_the_stages_threads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(LoadSpec("m", str(path), text=False, threads=1))
    ended: list[bool] = []
    monkeypatch.setattr(engine._stage, "shut", lambda: ended.append(True))
    engine.close()
    assert ended == [True]


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
@pytest.mark.parametrize(
    ("tensor", "layers", "named"),
    [
        ("blk.1.ffn_down.weight", None, "layers 0-2"),
        ("blk.1.ffn_down.weight", LayerRange(1, 2), "layers 1-1"),
        ("output.weight", LayerRange(2, 3), "the logits"),
        ("blk.0.attn_norm.weight", LayerRange(0, 1), "layers 0-0"),
    ],
)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named_at_load(
    path: Path,
    tmp_path: Path,
    backend: str,
    tensor: str,
    layers: LayerRange | None,
    named: str,
    number: float,
) -> None:
    def spoil(numbers: np.ndarray) -> None:
        numbers[7] = number

    bad = changed(path, tmp_path / "bad.gguf", tensor, spoil)
    with pytest.raises(Refused) as caught:
        make_engine(LoadSpec("m", bad, backend=backend, layers=layers, text=False, threads=1))
    assert caught.value.code == "bad_model_file"
    assert "bad.gguf" in caught.value.message and named in caught.value.message


def test_sound_weights_outside_the_range_do_not_matter(path: Path, tmp_path: Path) -> None:
    def spoil(numbers: np.ndarray) -> None:
        numbers[:] = np.nan

    bad = changed(path, tmp_path / "bad.gguf", "blk.0.ffn_up.weight", spoil)
    make_engine(LoadSpec("m", bad, layers=LayerRange(1, 3), text=False, threads=1)).close()


def test_a_vocabulary_of_another_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from swarmnode.testing import random_model

    write = random_model._write_vocabulary
    monkeypatch.setattr(random_model, "_write_vocabulary", lambda writer, size: write(writer, size - 10))
    path = write_random_model(tmp_path / "odd.gguf", MODEL)
    with pytest.raises(Refused, match="odd.gguf: has 310 tokens, but token_embd.weight has 320 rows"):
        make_engine(LoadSpec("m", str(path), threads=1))


def test_a_head_of_another_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from swarmnode.testing import random_model

    tensors = random_model._tensors

    def shorter(model: RandomModel) -> list[tuple[str, tuple[int, ...], str]]:
        return [
            (name, (300, shape[1]) if name == "output.weight" else shape, kind)
            for name, shape, kind in tensors(model)
        ]

    monkeypatch.setattr(random_model, "_tensors", shorter)
    path = write_random_model(tmp_path / "odd.gguf", MODEL)
    with pytest.raises(
        Refused, match=r"output.weight has the shape \(300, 64\), token_embd.weight \(320, 64\)"
    ):
        make_engine(LoadSpec("m", str(path), threads=1))
