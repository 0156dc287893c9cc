"""A real node on the compiled stage: its first start, later ones, and places where nothing can be kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmnode.testing.node_process import NodeProcess

ASK = {"messages": [{"role": "user", "content": "What is swarmnode?"}], "temperature": 0, "max_tokens": 40}

#: The guide's packed weights, and a page of keys and values for its one session.
GUIDE_WEIGHTS_AND_CACHE = 3 << 20


def answer(node: NodeProcess) -> str:
    status, body, _ = node.request("POST", "/v1/chat/completions", {"model": "auto", **ASK})
    assert status == 200, body
    return str(body["choices"][0]["message"]["content"])


def loaded(node: NodeProcess) -> dict[str, Any]:
    models = node.request("GET", "/v1/status")[1]["loaded_models"]
    return dict(models[0])


def kernels(cache: Path) -> set[Path]:
    return {path for path in (cache / "swarmnode/kernels").iterdir() if path.is_file()}


def test_kernels_are_compiled_once(tmp_path: Path) -> None:
    """And the answers before and after are the same."""
    cache = tmp_path / "cache"
    with NodeProcess(tmp_path / "first", environment={"XDG_CACHE_HOME": str(cache)}) as node:
        first = answer(node)
        assert loaded(node)["profile"].startswith("cpu-1:")
    kept = kernels(cache)
    written = {path: path.stat().st_mtime_ns for path in kept}
    assert kept
    with NodeProcess(tmp_path / "second", environment={"XDG_CACHE_HOME": str(cache)}) as node:
        assert answer(node) == first
    assert {path: path.stat().st_mtime_ns for path in kernels(cache)} == written


def test_where_nothing_can_be_kept_it_works_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with NodeProcess(tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path / "file")}) as node:
        assert answer(node)


@pytest.mark.parametrize(
    ("settings", "profile"),
    [
        (["inference.backend=numpy"], "numpy-1/"),
        (["inference.kv_type=q8_0"], "cpu-1:kv=q8_0"),
        (["inference.kv_type=f32", "resources.max_cpu_threads=1"], "cpu-1:kv=f32"),
    ],
)
def test_the_configuration_chooses(tmp_path: Path, settings: list[str], profile: str) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    with NodeProcess(tmp_path, *words) as node:
        assert answer(node)
        assert loaded(node)["profile"].startswith(profile)


def test_resident_memory_is_little_more_than_weights_and_cache(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        answer(node)
        node.wait_until(
            lambda: loaded(node)["resident_bytes"] > 0, 10, "the worker did not tell of its memory"
        )
        assert loaded(node)["resident_bytes"] < GUIDE_WEIGHTS_AND_CACHE + (200 << 20)


def test_a_type_that_the_reference_lacks_is_told_to_who_asks(tmp_path: Path) -> None:
    words = ["--set", "inference.backend=numpy", "--set", "inference.kv_type=q8_0"]
    with NodeProcess(tmp_path, *words) as node:
        status, body, _ = node.request("POST", "/v1/chat/completions", {"model": "auto", **ASK})
        assert status == 400 and "q8_0" in body["error"]["message"]
