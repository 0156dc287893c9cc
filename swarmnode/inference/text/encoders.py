"""Tokenizers for the three families of GGUF vocabularies, built on the `tokenizers` library.

* BPE: words by the pre-tokenizer's expressions, then the file's merges.
* SPM: the file states scores, not merges. SentencePiece joins the neighbours whose joint text has the
  best score, so every way to cut a token in two tokens is a merge, ranked by the token's score.
* WPM: BERT's longest match; the file marks where a word begins (U+2581) instead of where it goes on (##).

Special tokens are found in the text before anything else; user-defined ones even where the caller
does not ask for special tokens to be read, as llama.cpp does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from swarmnode.inference.text.pretokenizers import PreTokenizer
from swarmnode.inference.text.vocabulary import BYTE, CONTROL, UNKNOWN, USER_DEFINED, Vocabulary
from swarmnode.values.errors import Refused

SPACE = "\u2581"
#: Longer words are unknown to BERT's tokenizer (`max_input_chars_per_word`).
MAX_WORDPIECE_CHARS = 100

_INNER_SPACE = re.compile(rf"[^{SPACE}\n]{SPACE}")


def build_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """The tokenizer of a vocabulary. Raises `Refused` (`bad_vocabulary`) where its lists contradict."""
    build = {"bpe": _bpe, "spm": _spm, "wpm": _wpm}[vocabulary.family]
    try:
        tokenizer = build(vocabulary)
    except Exception as error:  # the library raises bare Exceptions
        raise Refused(
            f"The model's vocabulary cannot be used: {error}",
            code="bad_vocabulary",
            hint="Download the model again or use another file of it.",
        ) from error
    tokenizer.add_tokens(list(_added_tokens(vocabulary)))
    return tokenizer


def special_texts(vocabulary: Vocabulary) -> dict[int, str]:
    """Tokens that are read from text only where special tokens are asked for, by id."""
    ids = {i for i, kind in enumerate(vocabulary.kinds) if kind in (CONTROL, UNKNOWN)} | vocabulary.end_ids
    return {i: vocabulary.tokens[i] for i in ids if vocabulary.tokens[i]}


def user_texts(vocabulary: Vocabulary) -> dict[int, str]:
    """Tokens that are always read from text as one, by id."""
    ids = (i for i, kind in enumerate(vocabulary.kinds) if kind == USER_DEFINED)
    return {i: vocabulary.tokens[i] for i in ids if vocabulary.tokens[i] and i not in vocabulary.end_ids}


def _added_tokens(vocabulary: Vocabulary) -> Iterator[AddedToken]:
    strips = _right_strippers(vocabulary)
    for special, texts in ((True, special_texts(vocabulary)), (False, user_texts(vocabulary))):
        for token_id, text in texts.items():
            if _encodable(text):
                yield AddedToken(text, normalized=False, special=special, rstrip=token_id in strips)


def _right_strippers(vocabulary: Vocabulary) -> frozenset[int]:
    """Special tokens that swallow the white space after them. Files do not say; Phi-3's are known by the
    model's name (llama.cpp)."""
    if not re.search("phi-?3", vocabulary.name, re.IGNORECASE):
        return frozenset()
    kept = {"<unk>", "<s>", "<|endoftext|>"}
    specials = special_texts(vocabulary) | user_texts(vocabulary)
    return frozenset(i for i, text in specials.items() if text not in kept)


def _encodable(text: str) -> bool:
    """Whether text is Unicode; bytes of a file that are not UTF-8 come as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _ids_by_text(vocabulary: Vocabulary) -> dict[str, int]:
    """Text -> id of the tokens that text can hold."""
    by_text = vocabulary.by_text
    try:
        "".join(by_text).encode()
    except UnicodeEncodeError:
        return {text: i for text, i in by_text.items() if _encodable(text)}
    return by_text


def _bpe(vocabulary: Vocabulary) -> Tokenizer:
    pre = vocabulary.pre
    assert pre is not None
    ids = _ids_by_text(vocabulary)
    # A merge is two texts with a space between; one at the very beginning belongs to the first.
    merges = [(line[:i], line[i + 1 :]) for line in vocabulary.merges if (i := line.find(" ", 1)) > 0]
    flags = {"byte_fallback": pre.raw_utf8, "ignore_merges": pre.ignore_merges}
    try:
        model = models.BPE(ids, merges, **flags)
    except Exception:
        # Some files list merges of tokens that they do not have; those can never happen.
        possible = [(a, b) for a, b in merges if a in ids and b in ids and a + b in ids]
        model = models.BPE(ids, possible, **flags)
    tokenizer = Tokenizer(model)
    if pre.escape_spaces:
        tokenizer.normalizer = normalizers.Sequence(list(_spellings(pre.metaspace)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(_word_cutters(pre)))
    return tokenizer


def _spellings(metaspace: bool) -> Iterator[normalizers.Normalizer]:
    yield normalizers.Replace(" ", SPACE)
    if metaspace:
        yield normalizers.Replace(Regex(rf"(?<=\n|\A)(?=[^\n{SPACE}])"), SPACE)


def _word_cutters(pre: PreTokenizer) -> Iterator[pre_tokenizers.PreTokenizer]:
    for pattern in pre.patterns:
        yield pre_tokenizers.Split(Regex(pattern), "isolated")
    if not pre.raw_utf8:
        yield pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def _spm(vocabulary: Vocabulary) -> Tokenizer:
    ids = _ids_by_text(vocabulary)
    model = models.BPE(
        ids,
        list(_merges_by_score(vocabulary, ids)),
        byte_fallback=True,
        unk_token=vocabulary.tokens[vocabulary.ids["unknown"]] if "unknown" in vocabulary.ids else None,
    )
    tokenizer = Tokenizer(model)
    escape = normalizers.Replace(" ", SPACE)
    tokenizer.normalizer = (
        normalizers.Sequence([normalizers.Prepend(SPACE), escape]) if vocabulary.space_prefix else escape
    )
    if not has_inner_spaces(vocabulary):
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"{SPACE}*[^{SPACE}]+|{SPACE}+"), "isolated")
    return tokenizer


def has_inner_spaces(vocabulary: Vocabulary) -> bool:
    """Whether a token goes on after a space; if not, words can be merged one by one."""
    return _INNER_SPACE.search("\n".join(vocabulary.tokens)) is not None


def _merges_by_score(vocabulary: Vocabulary, ids: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Every pair of tokens whose joint text is a token, best score first.

    Control, unknown and byte tokens are never made by merging: SentencePiece keeps them apart, and
    otherwise a user could spell one.
    """
    kinds, tokens, scores = vocabulary.kinds, vocabulary.tokens, vocabulary.scores
    apart = {CONTROL, UNKNOWN, BYTE}
    made = [i for i in range(len(tokens)) if kinds[i] not in apart]
    if scores:
        made.sort(key=scores.__getitem__, reverse=True)
    for token_id in made:
        text = tokens[token_id]
        for middle in range(1, len(text)):
            left = text[:middle]
            if left in ids:
                right = text[middle:]
                if right in ids:
                    yield left, right


def _wpm(vocabulary: Vocabulary) -> Tokenizer:
    unknown = vocabulary.tokens[vocabulary.ids["unknown"]]
    ids = {_hashed(text): i for i, text in enumerate(vocabulary.tokens) if _encodable(text)}
    ids |= {text: i for i, text in special_texts(vocabulary).items()}
    ids |= {text: i for i, text in user_texts(vocabulary).items()}
    tokenizer = Tokenizer(
        models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=MAX_WORDPIECE_CHARS)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=vocabulary.strip_accents,
        lowercase=vocabulary.lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _hashed(text: str) -> str:
    """The file's spelling of a WordPiece token as BERT spells it."""
    return text[1:] if text.startswith(SPACE) else f"##{text}"
