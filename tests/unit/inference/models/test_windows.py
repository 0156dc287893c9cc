"""Which layers have a window, and how wide: by the header, and by what the family says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmnode.inference.models.registry import FAMILIES
from swarmnode.inference.models.windows import read_windows
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.models.keys import Keys
from swarmnode.testing.random_model import RandomModel, write_random_model


def windows(folder: Path, architecture: str, layers: int, **values: Any) -> tuple[int, ...]:
    model = RandomModel(architecture=architecture, layers=1)
    with GgufFile(write_random_model(folder / "m.gguf", model)) as gguf:
        for name, value in values.items():
            gguf.metadata._values[f"{architecture}.attention.{name}"] = value
        return read_windows(Keys(gguf, architecture), FAMILIES[architecture], layers)


def test_no_window(tmp_path: Path) -> None:
    assert windows(tmp_path, "llama", 3) == (0, 0, 0)
    assert windows(tmp_path, "phi3", 3, sliding_window=0) == (0, 0, 0)
    assert windows(tmp_path, "gemma3", 3) == (0, 0, 0)


def test_every_layer_has_one_where_nothing_else_is_said(tmp_path: Path) -> None:
    assert windows(tmp_path, "llama", 3, sliding_window=32) == (32, 32, 32)


def test_patterns_of_the_families(tmp_path: Path) -> None:
    assert windows(tmp_path, "gemma2", 5, sliding_window=32) == (32, 0, 32, 0, 32)
    assert windows(tmp_path, "gemma2", 3) == (4096, 0, 4096)
    assert windows(tmp_path, "gemma3", 13, sliding_window=9) == (9, 9, 9, 9, 9, 0) * 2 + (9,)


def test_patterns_of_the_header(tmp_path: Path) -> None:
    said = {"sliding_window": 8, "sliding_window_pattern": 3}
    assert windows(tmp_path, "gemma3", 7, **said) == (8, 8, 0, 8, 8, 0, 8)
    assert windows(tmp_path, "llama", 4, **said) == (8, 8, 0, 8)
    assert windows(tmp_path, "llama", 2, sliding_window=8, sliding_window_pattern=1) == (0, 0)
    assert windows(tmp_path, "gemma2", 2, sliding_window=8, sliding_window_pattern=0) == (8, 8)
    each = [False, True, True]
    assert windows(tmp_path, "gemma3", 3, sliding_window=8, sliding_window_pattern=each) == (0, 8, 8)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sliding_window": -1}, "attention.sliding_window is -1"),
        ({"sliding_window": 1 << 31}, "attention.sliding_window is"),
        ({"sliding_window": "wide"}, "attention.sliding_window is 'wide'"),
        ({"sliding_window": 8, "sliding_window_pattern": -2}, "sliding_window_pattern is -2"),
        ({"sliding_window": 8, "sliding_window_pattern": [True]}, r"\[True\], not 3 truth values"),
        ({"sliding_window": 8, "sliding_window_pattern": [1, 0, 2]}, "not 3 truth values"),
    ],
)
def test_absurd_windows_are_named(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadModelFile, match=said):
        windows(tmp_path, "gemma3", 3, **values)
