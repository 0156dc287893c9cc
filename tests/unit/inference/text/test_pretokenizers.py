"""The table of pre-tokenizers: complete, compilable, and cutting as the models' authors say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from swarmnode.inference.text.pretokenizers import PRE_TOKENIZERS, pre_tokenizer
from swarmnode.values.errors import Refused

#: Every name that llama.cpp of October 2026 accepts, tried one by one with a vocabulary of each name.
LLAMA_CPP_NAMES = (
    "default minicpm5 llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano "
    "deepseek-llm deepseek-coder deepseek-v3 spark2_5 youtu falcon mpt starcoder gpt-2 phi-2 jina-es "
    "jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jais-2 gemma4 "
    "granite-embed-multi-311m sarvam-moe jina-v1-en jina-v2-code roberta-bpe refact command-r qwen2 "
    "deepseek-r1-qwen kormo f2llmv2 qwen35 stablelm2 olmo dbrx smaug-bpe poro-chat glm4 chatglm-bpe "
    "viking jais tekken smollm codeshell bloom gpt3-finnish exaone exaone4 exaone-moe chameleon "
    "minerva-7b megrez gpt-4o llama4 kanana2 talkie granite-embed-multi-97m tiny_aya cohere2moe superbpe "
    "trillion granite-docling bailingmoe bailingmoe2 llada-moe seed-coder hunyuan hunyuan-dense hy_v4 "
    "joyai-llm kimi-k2 ufakzeka grok-2 afmoe laguna minimax-m2 solar-open mellum2 k2-horizon mmbert glm5 "
)


def _cut(name: str, text: str) -> list[str]:
    cutters = [pre_tokenizers.Split(Regex(p), "isolated") for p in PRE_TOKENIZERS[name].patterns]
    return [word for word, _ in pre_tokenizers.Sequence(cutters).pre_tokenize_str(text)]


def test_every_name_that_llama_cpp_knows_has_a_row() -> None:
    assert set(LLAMA_CPP_NAMES.split()) == set(PRE_TOKENIZERS)


@pytest.mark.parametrize("name", sorted(PRE_TOKENIZERS))
def test_every_row_cuts_without_losing_a_letter(name: str) -> None:
    text = (
        "Hello, World's 12345 3.14\n\n\tIt'LL \u4e2d\u6587\u3042 e\u0301 \u0939\u093f\u0928\u094d\u0926\u0940"
        "  x!!\r\n <|a|> \U0001f642"
    )
    assert "".join(_cut(name, text)) == text


def test_an_unknown_name_is_refused_with_near_names() -> None:
    with pytest.raises(Refused) as caught:
        pre_tokenizer("qwen2.5")
    assert caught.value.code == "unknown_pre_tokenizer"
    assert "'qwen2.5'" in caught.value.message
    assert "qwen2" in caught.value.hint


# By hand, from what the models' own expressions say.
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt-2", ["Hello", " world", "'s", " 123456", "  ", " !?", "\n"]),
        ("llama-bpe", ["Hello", " World", "'S", " ", "123", "456", "  ", " !?\n"]),
        ("qwen2", ["a", "1", "2", "3", "(b", ")\n\n", "\tc"]),
        ("starcoder", ["x", "1", "2", " y"]),
        ("gpt-4o", ["camel", "Case", " XMLHttp's", " \u00c9t\u00e9"]),
        ("tekken", ["camel", "Case", "1", "2", " \u00c9t\u00e9"]),
        ("kimi-k2", ["\u4e2d\u6587", "abc", "Def", "\u6f22", "!"]),
        ("bloom", ["Hello", " world", ",", " you"]),
        ("exaone-moe", ["a b c", ".d", "!"]),
        ("gemma4", ["any words in a line", "\n\n", "next"]),
        ("ufakzeka", ["Ankara", "'da", " ", "1"]),
        ("k2-horizon", ["e\u0301a\u200cb", " ", "123", "4"]),
    ],
)
def test_words_are_cut_as_the_model_says(name: str, words: list[str]) -> None:
    assert _cut(name, "".join(words)) == words


def _from_the_right(digits: str) -> list[str]:
    head = len(digits) % 3
    groups = [digits[i : i + 3] for i in range(head, len(digits), 3)]
    return ([digits[:head]] if head else []) + groups


@pytest.mark.parametrize("name", ["afmoe", "superbpe", "tiny_aya"])
@given(runs=st.lists(st.text("0123456789", min_size=1, max_size=14), min_size=1, max_size=4))
def test_digits_are_grouped_from_the_right(name: str, runs: list[str]) -> None:
    words = [word for word in _cut(name, " ".join(runs)) if word.strip().isdecimal()]
    assert [word.strip() for word in words] == [group for run in runs for group in _from_the_right(run)]


def test_digits_before_a_letter_are_grouped_from_the_left_by_tiny_aya() -> None:
    assert _cut("tiny_aya", "1234abc 1234") == ["123", "4", "abc", " ", "1", "234"]


@pytest.mark.parametrize("name", ["afmoe", "superbpe", "tiny_aya", "default", "falcon"])
def test_a_long_run_of_digits_is_no_more_than_linear_work(name: str) -> None:
    # With a look-ahead a group, as the models write it, this takes 10**10 steps: it would not end here.
    assert "".join(_cut(name, "7" * 300_001)) == "7" * 300_001
