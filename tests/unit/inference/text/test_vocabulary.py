"""Reading vocabularies from files that another program's writer made, and refusing those that lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from swarmnode.inference.text.end_tokens import end_token_ids
from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.vocabulary import Vocabulary, read_vocabulary
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused

Write = Callable[..., GgufFile]
_LETTERS = ["<unk>", "<s>", "</s>", "a", "b", "ab"]
_KINDS = [2, 3, 3, 1, 1, 1]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(architecture: str = "llama", **keys: Any) -> GgufFile:
        path = tmp_path / "vocabulary.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        for name, value in keys.items():
            key = f"tokenizer.ggml.{name}"
            if isinstance(value, bool):
                writer.add_bool(key, value)
            elif isinstance(value, int):
                writer.add_uint32(key, value)
            elif isinstance(value, str):
                writer.add_string(key, value)
            else:
                writer.add_array(key, value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        return GgufFile(path)

    return write


def _spm(write: Write, **more: Any) -> Vocabulary:
    scores = [0.0, 0.0, 0.0, -2.0, -2.0, -1.0]
    keys = {"model": "llama", "tokens": _LETTERS, "scores": scores, "token_type": _KINDS} | more
    return read_vocabulary(write(**keys))


def test_spm_defaults_are_those_of_the_family(write: Write) -> None:
    vocabulary = _spm(write)
    assert (vocabulary.ids["bos"], vocabulary.ids["eos"], vocabulary.ids["unknown"]) == (1, 2, 0)
    assert (vocabulary.add_bos, vocabulary.add_eos, vocabulary.space_prefix) == (True, False, True)
    assert vocabulary.end_ids == {2}


def test_what_the_file_says_wins(write: Write) -> None:
    vocabulary = _spm(write, bos_token_id=3, add_bos_token=False, add_eos_token=True, add_space_prefix=False)
    assert vocabulary.ids["bos"] == 3
    assert (vocabulary.add_bos, vocabulary.add_eos, vocabulary.space_prefix) == (False, True, False)


def test_ids_beyond_the_vocabulary_are_not_believed(write: Write) -> None:
    assert _spm(write, eos_token_id=99).ids["eos"] == 2


@pytest.mark.parametrize("kind", ["t5", "rwkv", "plamo2", "no_vocab", "something-new"])
def test_an_unsupported_kind_is_named(write: Write, kind: str) -> None:
    with pytest.raises(Refused) as caught:
        TextModel.load(write(model=kind, tokens=_LETTERS))
    assert caught.value.code == "tokenizer_unsupported"
    assert repr(kind) in caught.value.message
    assert "gpt2" in caught.value.hint


def test_an_unknown_pre_tokenizer_is_named(write: Write) -> None:
    with pytest.raises(Refused) as caught:
        TextModel.load(write(model="gpt2", pre="lama-bpe", tokens=["a"], merges=["a b"]))
    assert caught.value.code == "unknown_pre_tokenizer"
    assert "llama-bpe" in caught.value.hint


def test_a_missing_pre_tokenizer_is_a_guess_that_is_told(write: Write) -> None:
    text_model = TextModel.load(write(model="gpt2", tokens=["a", "b", "ab"], merges=["a b"]))
    assert text_model.encode("ab", add_special=True, parse_special=True) == [2]
    assert "tokenizer.ggml.pre" in text_model.warnings[0]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({}, "no tokenizer"),
        ({"model": "llama"}, "tokenizer.ggml.tokens"),
        ({"model": "llama", "tokens": "abc"}, "tokenizer.ggml.tokens"),
        ({"model": "llama", "tokens": ["a", "b"], "scores": [1.0]}, "tokenizer.ggml.scores"),
        ({"model": "llama", "tokens": ["a", "b"], "token_type": [1]}, "tokenizer.ggml.token_type"),
        ({"model": "gpt2", "pre": "gpt-2", "tokens": ["a"]}, "tokenizer.ggml.merges"),
    ],
)
def test_a_file_without_what_it_needs_is_named(write: Write, keys: dict[str, Any], fault: str) -> None:
    with pytest.raises(Refused) as caught:
        TextModel.load(write(**keys))
    assert caught.value.code == "bad_model_file"
    assert fault in caught.value.message
    assert "vocabulary.gguf" in caught.value.message


def test_a_token_as_long_as_a_book_is_named(write: Write) -> None:
    with pytest.raises(Refused, match="a token of 5000 characters"):
        _spm(write, tokens=[*_LETTERS[:-1], "a" * 5000])


def test_merges_of_tokens_that_do_not_exist_are_left_out(write: Write) -> None:
    tokens, merges = ["a", "b", "c", "ab"], ["a b", "b c", "ab x"]
    text_model = TextModel.load(write(model="gpt2", pre="gpt-2", tokens=tokens, merges=merges))
    assert text_model.encode("abc", add_special=False, parse_special=False) == [3, 2]


def test_a_family_without_an_end_token_gets_its_own(write: Write) -> None:
    tokens = [f"t{i}" for i in range(200)]
    assert end_token_ids(tokens, [3] * 200, {}, "gemma2") == {1, 107}
    assert end_token_ids(tokens, [3] * 200, {"eos": 5}, "gemma2") == {5}
    assert end_token_ids(tokens, [3] * 200, {}, "qwen2") == frozenset()
    assert end_token_ids(tokens, [1] * 200, {}, "llama") == frozenset()


@pytest.mark.parametrize(
    ("tokens", "kinds", "ends"),
    [
        (["a", "<|im_end|>", "<|eot_id|>"], [1, 1, 3], {1, 2}),
        (["</s>", "[EOS]"], [1, 1], set()),
        (["</s>", "[EOS]"], [3, 4], {0, 1}),
        (["<|return|>", "<|call|>", "<|end|>"], [3, 3, 3], {0, 1}),
        (["<|flush|>", "<|calls|>", "<|end|>"], [3, 3, 3], {0, 1}),
        (["<|tool_response>", "</s>"], [3, 3], {0}),
    ],
)
def test_end_tokens_are_known_by_their_text(tokens: list[str], kinds: list[int], ends: set[int]) -> None:
    assert end_token_ids(tokens, kinds, {}, "") == ends
