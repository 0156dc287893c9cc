from __future__ import annotations

import pytest

from swarmnode.policy.naming import label_of, resolve
from swarmnode.values.errors import Refused

LABELS = ["qwen2.5-coder-7b", "qwen2.5-coder-14b", "tinyllama-1.1b-chat-v1.0.q4-k-m", "swarmnode-guide"]


@pytest.mark.parametrize(
    ("file_name", "label"),
    [
        ("Llama-3.2-3B-Instruct-Q4_K_M.gguf", "llama-3.2-3b-instruct-q4-k-m"),
        ("big-model-00001-of-00004.gguf", "big-model"),
        ("UPPER.GGUF", "upper"),
        ("../../x.gguf", "x"),
        ("model.bak.gguf", None),
        ("model.old.gguf", None),
        ("model copy.gguf", None),
        ("model~", None),
        ("....gguf", None),
        ("a" * 400 + ".gguf", "a" * 128),
    ],
)
def test_a_label_is_the_slug_of_the_file_name(file_name: str, label: str | None) -> None:
    assert label_of(file_name) == label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("", "qwen2.5-coder-7b"),
        ("auto", "qwen2.5-coder-7b"),
        ("swarmnode-guide", "swarmnode-guide"),
        ("tinyllama", "tinyllama-1.1b-chat-v1.0.q4-k-m"),
        ("TinyLlama-1.1B-Chat-v1.0.Q4_K_M.gguf", "tinyllama-1.1b-chat-v1.0.q4-k-m"),
        ("qwen2.5-coder-7b", "qwen2.5-coder-7b"),
    ],
)
def test_a_name_stands_for_one_label(name: str, label: str) -> None:
    assert resolve(name, LABELS) == label


def test_the_configured_default_answers_auto() -> None:
    assert resolve("auto", LABELS, default="tinyllama") == "tinyllama-1.1b-chat-v1.0.q4-k-m"


def test_an_ambiguous_prefix_names_the_candidates() -> None:
    with pytest.raises(Refused, match="qwen2.5-coder-7b, qwen2.5-coder-14b") as caught:
        resolve("qwen", LABELS)
    assert caught.value.code == "model_ambiguous"


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(Refused, match="swarmnode-guide") as caught:
        resolve("tinylama-1.1b-chat-v1.0.q4-k-m", LABELS)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "tinyllama-1.1b-chat-v1.0.q4-k-m" in caught.value.hint


def test_auto_without_any_model_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="no model"):
        resolve("auto", [])


def test_a_long_list_is_cut() -> None:
    with pytest.raises(Refused, match="and 88 more"):
        resolve("nothing", [f"model-{i}" for i in range(100)])
