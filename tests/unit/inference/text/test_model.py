"""Encoding: special tokens, ends, invalid text, and long text in parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.inference.text import model as text_module
from swarmnode.inference.text.encoders import build_tokenizer
from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.pieces import BYTE_LETTERS
from swarmnode.inference.text.pretokenizers import pre_tokenizer
from swarmnode.inference.text.vocabulary import Vocabulary
from swarmnode.values.errors import Refused

SPACE = "\u2581"


def _text_model(**fields: Any) -> TextModel:
    usual: dict[str, Any] = {
        "architecture": "llama",
        "name": "",
        "scores": (),
        "merges": (),
        "end_ids": frozenset(),
        "add_bos": True,
        "add_eos": False,
        "space_prefix": False,
    }
    vocabulary = Vocabulary(**(usual | fields))
    return TextModel(vocabulary, build_tokenizer(vocabulary))


def _bpe(pre: str = "gpt-2", **fields: Any) -> TextModel:
    """All bytes, a few merges, one control token and one user-defined one."""
    letters = {byte: letter for letter, byte in BYTE_LETTERS.items()}
    merged = ["th", "the", "\u0120the", "\u0120a", "an"]
    tokens = ["<|s|>", "<|e|>", "<tool>", *[letters[b] for b in range(256)], *merged]
    kinds = (3, 3, 4, *([1] * (len(tokens) - 3)))
    merges = ("t h", "th e", "\u0120 the", "\u0120 a", "a n")
    usual = {"family": "bpe", "tokens": tuple(tokens), "kinds": kinds, "merges": merges}
    ids = {"bos": 0, "eos": 1}
    return _text_model(
        **(usual | {"ids": ids, "end_ids": frozenset({1}), "pre": pre_tokenizer(pre)} | fields)
    )


def _spm(**fields: Any) -> TextModel:
    pieces = [SPACE, "a", "b", "c", f"{SPACE}a", "ab", f"{SPACE}ab", "bc", SPACE * 2]
    tokens = ["<unk>", "<s>", "</s>", *[f"<0x{b:02X}>" for b in range(256)], *pieces]
    kinds = (2, 3, 3, *([6] * 256), *([1] * len(pieces)))
    scores = (*([0.0] * 259), *(-float(i) for i in range(len(pieces))))
    ids = {"bos": 1, "eos": 2, "unknown": 0}
    usual = {"family": "spm", "tokens": tuple(tokens), "kinds": kinds, "scores": scores, "ids": ids}
    return _text_model(**(usual | {"end_ids": frozenset({2}), "space_prefix": True} | fields))


def _text(text_model: TextModel, ids: list[int]) -> str:
    return b"".join(map(text_model.piece, ids)).decode()


def test_special_tokens_are_read_only_when_asked_for() -> None:
    text_model = _bpe()
    assert text_model.encode("<|e|>", add_special=False, parse_special=True) == [1]
    spelled = text_model.encode("<|e|>", add_special=False, parse_special=False)
    assert 1 not in spelled and _text(text_model, spelled) == "<|e|>"


def test_user_defined_tokens_are_always_read() -> None:
    text_model = _bpe()
    for parse_special in (True, False):
        assert text_model.encode("<tool>", add_special=False, parse_special=parse_special) == [2]


def test_a_user_cannot_spell_a_control_token_of_an_spm_vocabulary() -> None:
    tokens = [*_spm().vocabulary.tokens, "<", "/", "s", ">", "</", "s>"]
    added = len(tokens) - len(_spm().vocabulary.tokens)
    kinds = (*_spm().vocabulary.kinds, *([1] * added))
    scores = (*([-1.0] * len(tokens)),)
    text_model = _spm(tokens=tuple(tokens), kinds=kinds, scores=scores)
    assert 2 not in text_model.encode("</s>", add_special=False, parse_special=False)
    assert text_model.encode("</s>", add_special=False, parse_special=True)[-1] == 2


def test_ends_are_added_as_the_file_wants() -> None:
    text_model = _bpe(add_eos=True)
    assert text_model.encode("", add_special=True, parse_special=False) == [0, 1]
    assert text_model.encode("the", add_special=True, parse_special=False)[::2] == [0, 1]
    assert 0 not in text_model.encode("the", add_special=False, parse_special=False)


@pytest.mark.parametrize("rendered", ["the", "<|s|>the"])
def test_a_rendered_template_begins_with_one_bos(rendered: str) -> None:
    ids = _bpe().encode_chat(rendered)
    assert ids.count(0) == 1 and ids[0] == 0


def test_a_rendered_template_gets_no_bos_that_the_model_does_not_want() -> None:
    assert 0 not in _bpe(add_bos=False).encode_chat("the")


def test_spm_text_begins_with_a_space_after_each_special_token() -> None:
    text_model = _spm()
    ids = text_model.encode("ab</s>ab", add_special=False, parse_special=True)
    assert [text_model.vocabulary.tokens[i] for i in ids] == [f"{SPACE}ab", "</s>", f"{SPACE}ab"]


def test_spm_falls_back_to_bytes() -> None:
    text_model = _spm(space_prefix=False)
    ids = text_model.encode("\u00e9", add_special=False, parse_special=False)
    assert [text_model.vocabulary.tokens[i] for i in ids] == ["<0xC3>", "<0xA9>"]
    assert _text(text_model, ids) == "\u00e9"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_bpe_loses_nothing(text: str) -> None:
    text_model = _BPE
    assert _text(text_model, text_model.encode(text, add_special=False, parse_special=False)) == text


_BPE = _bpe()


@pytest.mark.parametrize("text", ["\ud83d", "fine until \udc00 here"])
def test_half_a_character_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refused) as caught:
        _BPE.encode(text, add_special=False, parse_special=False)
    assert caught.value.code == "invalid_text"
    assert "surrogate" in caught.value.message


def test_a_text_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_TEXT_BYTES", 10)
    with pytest.raises(Refused) as caught:
        _BPE.encode("x" * 11, add_special=False, parse_special=False)
    assert caught.value.code == "text_too_long"


_WORDS = st.lists(
    st.sampled_from(["the", "ab", " a", " ", "  ", "\n", "1", "123", ".", "<tool>", "\u4e2d", "A b c"])
)


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "gpt-4o", "exaone-moe", "superbpe", "gemma4", "bloom"])
@given(words=_WORDS)
def test_text_in_parts_encodes_as_the_whole(pre: str, words: list[str]) -> None:
    _parts_equal_whole(_MODELS[pre], "".join(words))


@given(words=_WORDS)
def test_spm_text_in_parts_encodes_as_the_whole(words: list[str]) -> None:
    _parts_equal_whole(_MODELS["spm"], "".join(words))
    _parts_equal_whole(_MODELS["spm-bare"], "".join(words))


def _parts_equal_whole(text_model: TextModel, text: str) -> None:
    whole = text_model.encode(text, add_special=False, parse_special=True)
    usual, text_module.CHUNK_CHARS = text_module.CHUNK_CHARS, 1
    try:
        assert text_model.encode(text, add_special=False, parse_special=True) == whole
    finally:
        text_module.CHUNK_CHARS = usual


_MODELS = {
    name: _bpe(name) for name in ["gpt-2", "llama-bpe", "gpt-4o", "exaone-moe", "superbpe", "gemma4", "bloom"]
}
_MODELS |= {"spm": _spm(), "spm-bare": _spm(space_prefix=False)}


def test_long_text_is_really_cut() -> None:
    text = "the quick brown fox\n" * 9000
    assert len(list(_BPE._chunks(text))) > 1
    assert "".join(_BPE._chunks(text)) == text


def test_text_is_not_cut_where_a_named_token_would_be() -> None:
    tokens = ("<|s|>", "<|e|>", "good morning", *_BPE.vocabulary.tokens[3:])
    text_model = _bpe(tokens=tokens)
    assert list(text_model._chunks("good morning " * 9000)) == ["good morning " * 9000]


def test_pieces_are_the_bytes_of_tokens() -> None:
    assert _BPE.piece(_BPE.vocabulary.by_text["\u0120the"]) == b" the"
    assert _BPE.piece(0) == b"<|s|>"
    assert _spm().piece(3 + 0xE2) == b"\xe2"
    with pytest.raises(Refused, match="not in the vocabulary"):
        _BPE.piece(10**6)


def test_control_tokens_are_silent_unless_asked_for() -> None:
    ids = [0, *_BPE.encode("the", add_special=False, parse_special=False), 1]
    for specials, text in ((False, "the"), (True, "<|s|>the<|e|>")):
        decoder = _BPE.decoder(specials=specials)
        assert "".join(map(decoder.push, ids)) == text


def test_a_decoder_told_the_last_token_drops_only_the_tokenizers_own_space() -> None:
    text_model = _spm()
    word = text_model.vocabulary.by_text[f"{SPACE}ab"]
    assert text_model.decoder(after=1).push(word) == "ab"
    assert text_model.decoder(after=word).push(word) == " ab"
    assert text_model.decoder().push(word) == " ab"
