r"""How a BPE vocabulary cuts text into words before merging: one row for every name that
`tokenizer.ggml.pre` may hold.

Source: the names, regular expressions and flags are facts of the GGUF format as llama.cpp reads it
(`src/llama-vocab.cpp` and `src/unicode.cpp`, version of October 2026). Where llama.cpp only approximates
a model's own expression (it knows no `\p{Lu}`), the row holds the model's own one, from its
`tokenizer.json` or `tokenization_*.py`, and `source` says so.

Every expression is written for Oniguruma, the engine of the `tokenizers` library. It is applied in
turn to the pieces that the one before it left, and isolates both what matches and what does not.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from swarmnode.values.errors import Refused

#: Where long text may be cut beforehand without changing a word (all letters here are ASCII): before a
#: space or after a newline between two letters, only after such a newline, before a digit, or where a line
#: begins.
Cut = Literal["words", "newline", "digits", "line"]

LLAMA_CPP = "llama.cpp"
MODEL = "the model's own tokenizer.json"


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """One way to cut text into words.

    patterns: Oniguruma expressions, applied in turn. ignore_merges: a word that is a token is one
    token, whatever the merges say. add_bos: BOS is added where the file does not say. raw_utf8: words
    are merged as characters with `<0xNN>` byte tokens, not as GPT-2's byte letters. escape_spaces:
    a space is written U+2581 in the vocabulary. metaspace: each line begins with a space.
    cut: where long text may be cut beforehand.
    """

    patterns: tuple[str, ...]
    source: str = LLAMA_CPP
    ignore_merges: bool = False
    add_bos: bool = False
    raw_utf8: bool = False
    escape_spaces: bool = False
    metaspace: bool = False
    cut: Cut = "words"


_ENDINGS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_BREAKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SIGNS_OR_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_LEAD = r"[^\r\n\p{L}\p{N}]?"
_PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_ENDINGS}|{_LEAD}\p{{L}}+|\p{{N}}{{1,3}}|{_SIGNS}|{_BREAKS}"
_QWEN2 = rf"{_ENDINGS}|{_LEAD}\p{{L}}+|\p{{N}}|{_SIGNS}|{_BREAKS}"
_BLOOM = r" ?[^(\s|" + ".,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"


def _cased(upper: str, lower: str, ending: str, digits: str, signs: str) -> str:
    """Words that begin a capital run or a small one, as in camelCase."""
    return (
        rf"{_LEAD}[{upper}]*[{lower}]+{ending}|{_LEAD}[{upper}]+[{lower}]*{ending}"
        rf"|\p{{N}}{digits}|{signs}|{_BREAKS}"
    )


def _threes_from_the_right(digit: str) -> str:
    """Groups of three digits, the first of one to three. Looks ahead once a run, not once a group, so that
    a long run takes linear time."""
    return rf"(?<!{digit}){digit}{{1,2}}(?=(?:{digit}{{3}})+(?!{digit}))|{digit}{{3}}|{digit}{{1,2}}"


_GPT4O = _cased(_UPPER, _LOWER, f"{_ENDINGS}?", "{1,3}", _SIGNS_OR_SLASH)
_YOUTU = _cased(_UPPER, _LOWER, f"{_ENDINGS}?", "", _SIGNS_OR_SLASH)
_TEKKEN = _cased(_UPPER, _LOWER, "", "", _SIGNS_OR_SLASH)
_NOT_HAN = r"&&[^\p{Han}]"
_KIMI = r"\p{Han}+|" + _cased(_UPPER + _NOT_HAN, _LOWER + _NOT_HAN, f"{_ENDINGS}?", "{1,3}", _SIGNS)
_DEEPSEEK3 = (
    rf"{_PUNCTUATION}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_BREAKS}"
)
_CJK = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"

#: The letters of cased scripts.
_DEEPSEEK_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
    "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"
    "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
    "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
    "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
)
_DEEPSEEK_IDEOGRAPHS = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_SIGNS = r"\s?" + "[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
#: Chinese, Japanese, Thai, Lao, Khmer, Myanmar and Korean.
_AFMOE_SCRIPTS = (
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
    "\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af"
    "\u1100-\u11ff]+"
)
#: Korean, full-width signs, Bopomofo, Chinese and Japanese.
_YOUTU_SCRIPTS = (
    "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c"
    "\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
)

_GPT2_ROW = PreTokenizer((_GPT2,))
_DIGIT_THEN_GPT2 = PreTokenizer((r"\p{N}", _GPT2))
_LLAMA3_ROW = PreTokenizer((_LLAMA3,))
_QWEN2_ROW = PreTokenizer((_QWEN2,))
_GPT4O_ROW = PreTokenizer((_GPT4O,), source=MODEL)
_DEEPSEEK3_ROW = PreTokenizer((r"\p{N}{1,3}", _CJK, _DEEPSEEK3))
_LINES = PreTokenizer((r"[^\n]+|\n+",), raw_utf8=True, escape_spaces=True, cut="line")

_FAMILIES: tuple[tuple[str, PreTokenizer], ...] = (
    (
        "default",
        PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
    ),
    (
        "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en "
        "jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling exaone4",
        _GPT2_ROW,
    ),
    (
        "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
        _DIGIT_THEN_GPT2,
    ),
    (
        "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
        replace(_LLAMA3_ROW, ignore_merges=True, add_bos=True),
    ),
    ("dbrx smaug-bpe glm4 glm5 chatglm-bpe", _LLAMA3_ROW),
    (
        "minicpm5",
        PreTokenizer(
            (r"\p{N}{1,3}", rf"{_ENDINGS}|{_LEAD}\p{{L}}+|\p{{N}}+|{_SIGNS}|{_BREAKS}"), ignore_merges=True
        ),
    ),
    (
        "jais-2",
        # The look-behind changes no word: it only keeps a long run of spaces from being searched for a
        # newline again at each part of the run.
        PreTokenizer(
            (
                rf"{_ENDINGS}|{_LEAD}\p{{L}}+|\p{{N}}{{1,3}}|{_SIGNS}|(?<![^\S\r\n])\s*[\r\n]+"
                r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)"
                r"|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
            )
        ),
    ),
    (
        "k2-horizon",
        PreTokenizer(
            (rf"{_ENDINGS}|{_LEAD}[\p{{L}}\p{{M}}\u200C\u200D]+|\p{{N}}{{1,3}}|{_SIGNS}|{_BREAKS}",)
        ),
    ),
    (
        "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
        _QWEN2_ROW,
    ),
    (
        "qwen35",
        PreTokenizer(
            (rf"{_ENDINGS}|{_LEAD}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_BREAKS}",)
        ),
    ),
    ("ufakzeka", PreTokenizer((rf"{_LEAD}\p{{L}}+|\p{{N}}|{_SIGNS}|{_BREAKS}",))),
    (
        "bailingmoe bailingmoe2 llada-moe",
        PreTokenizer(
            (
                r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|"
                rf"{_LEAD}\p{{L}}+|\p{{N}}|{_SIGNS}|\s*[\r\n]|\s+(?!\S)|\s+",
            )
        ),
    ),
    (
        "seed-coder",
        PreTokenizer((rf"{_ENDINGS}|{_LEAD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_BREAKS}",)),
    ),
    ("laguna", PreTokenizer((r"[^\n]+|\n+", _QWEN2))),
    (
        "exaone-moe",
        PreTokenizer(
            (
                rf"{_ENDINGS}|{_LEAD}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
            ),
            cut="newline",
        ),
    ),
    ("gpt-4o llama4 kanana2 talkie minimax-m2", _GPT4O_ROW),
    (
        "granite-embed-multi-97m",
        PreTokenizer(
            (_cased(r"\p{L}\p{M}&&[^a-z]", r"\p{L}\p{M}&&[^A-Z]", f"{_ENDINGS}?", "{1,3}", _SIGNS_OR_SLASH),),
            ignore_merges=True,
        ),
    ),
    (
        "tiny_aya cohere2moe",
        # The model says \d{1,3}(?=(?:\d{3})*\b); \G goes on in a run whose end is known, in linear time.
        PreTokenizer((r"(?<!\d)\d{1,3}(?=(?:\d{3})*\b)|\G(?<=\d)\d{3}", _GPT4O), source=MODEL),
    ),
    (
        "tekken",
        PreTokenizer((_TEKKEN,), source=MODEL, ignore_merges=True, add_bos=True),
    ),
    (
        "kimi-k2",
        PreTokenizer((_KIMI,), source="the model's own tokenization_kimi.py"),
    ),
    ("youtu", PreTokenizer((_YOUTU_SCRIPTS, _YOUTU), source=MODEL, ignore_merges=True)),
    (
        "deepseek-llm",
        PreTokenizer(
            (
                r"[\r\n]",
                rf"\s?[{_DEEPSEEK_LETTERS}]+",
                _DEEPSEEK_SIGNS,
                r"\s+$",
                _DEEPSEEK_IDEOGRAPHS,
                r"\p{N}+",
            )
        ),
    ),
    (
        "deepseek-coder",
        PreTokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_IDEOGRAPHS, r"\p{N}")),
    ),
    ("deepseek-v3 hunyuan-dense joyai-llm hy_v4", _DEEPSEEK3_ROW),
    (
        "spark2_5",
        PreTokenizer(
            (
                r"\p{N}{1,3}",
                _CJK,
                rf"{_PUNCTUATION}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
                r"| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+",
                r"\p{N}",
            )
        ),
    ),
    (
        "afmoe",
        PreTokenizer((_threes_from_the_right(r"\p{N}"), _AFMOE_SCRIPTS, _DEEPSEEK3)),
    ),
    (
        "superbpe",
        # The model says (?=(\d{3})+(?!\d)), a cut before each third digit from the right; this finds those
        # cuts in linear time. \D is a number that is no digit, such as a superscript.
        PreTokenizer(
            (r"\p{N}+", r"(?<!\D)\D*(?<!\d)\d{1,2}(?=(?:\d{3})+(?!\d))|\d{3}\D*"),
            source=MODEL,
            cut="digits",
        ),
    ),
    (
        "falcon",
        PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]")),
    ),
    ("poro-chat bloom gpt3-finnish", PreTokenizer((_BLOOM,))),
    ("viking", PreTokenizer((_BLOOM, r"\p{N}"))),
    (
        "chameleon",
        PreTokenizer(
            (
                r"<sentinel:[0-9]+>",
                r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                r"([\t\n]|    |  )",
                r"\p{N}",
                r"[\p{P}!-/:-@\[-`{-~]",
                _GPT2,
            ),
            add_bos=True,
        ),
    ),
    ("gemma4 granite-embed-multi-311m", replace(_LINES, add_bos=True)),
    ("sarvam-moe", _LINES),
    ("mmbert", replace(_LINES, patterns=("\u2581[^\u2581\n]*|[^\u2581\n]+|\n+",), metaspace=True)),
)


def _rows() -> Iterator[tuple[str, PreTokenizer]]:
    for names, row in _FAMILIES:
        for name in names.split():
            yield name, row


PRE_TOKENIZERS: dict[str, PreTokenizer] = dict(_rows())


def pre_tokenizer(name: str) -> PreTokenizer:
    """The row called `name`. Raises `Refused` (`unknown_pre_tokenizer`) that lists near names."""
    row = PRE_TOKENIZERS.get(name)
    if row is not None:
        return row
    near = difflib.get_close_matches(name, PRE_TOKENIZERS, n=4, cutoff=0.4)
    raise Refused(
        f"The model's text is cut into words by {name!r} (tokenizer.ggml.pre), which is not known here",
        code="unknown_pre_tokenizer",
        hint=(f"Near names are {', '.join(near)}. " if near else "")
        + "Use another file of the model, or a newer version of this program.",
    )
