"""A model's tokens as its GGUF states them: texts, kinds, scores, and which ids are special.

Source: the `tokenizer.ggml.*` keys of the GGUF specification; defaults where a key is missing are
those of llama.cpp (`llama_vocab::impl::load`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from swarmnode.inference.text.end_tokens import end_token_ids
from swarmnode.inference.text.pretokenizers import PreTokenizer, pre_tokenizer
from swarmnode.models.gguf import BadModelFile, GgufFile, Metadata
from swarmnode.values.errors import Refused

MAX_TOKENS = 1 << 22
#: The longest tokens of known models are runs of some hundred spaces or signs; finding how a token is
#: put together takes time by the square of its length.
MAX_TOKEN_CHARS = 4096

Family = Literal["spm", "bpe", "wpm"]

#: tokenizer.ggml.model -> how its text is encoded.
FAMILIES: dict[str, Family] = {"llama": "spm", "bert": "wpm", "gpt2": "bpe", "gemma4": "bpe"}
UNSUPPORTED = {
    "t5": "unigram (T5)",
    "rwkv": "RWKV World",
    "plamo2": "PLaMo 2",
    "plamo3": "PLaMo 3",
    "hybriddna": "DNA k-mer",
    "whitespace": "whitespace",
    "no_vocab": "absent",
    "none": "absent",
}

# Values of tokenizer.ggml.token_type.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

#: Tokens that models of OpenAI's harmony format mark as control but whose text readers need.
SHOWN_CONTROLS = frozenset({"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"})

_DEFAULT_IDS: dict[Family, dict[str, int]] = {
    "spm": {"bos": 1, "eos": 2, "unknown": 0},
    "wpm": {"bos": 101, "unknown": 100, "seperator": 102, "padding": 0},
    "bpe": {},
}
_ID_NAMES = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "fim_pad", "fim_rep", "fim_sep")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of one model.

    tokens: the texts as the file spells them (U+2581 for a space, GPT-2's byte letters). kinds: the
    token types. scores: for SPM, else empty. ids: special ids by name (`bos`, `eos`, ...), only those
    that exist. pre: how a BPE text is cut into words. space_prefix: SPM text begins with a space.
    warnings: what the file leaves out and had to be guessed.
    """

    family: Family
    architecture: str
    name: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    ids: dict[str, int]
    end_ids: frozenset[int]
    add_bos: bool
    add_eos: bool
    space_prefix: bool
    pre: PreTokenizer | None = None
    lowercase: bool = True
    strip_accents: bool = True
    warnings: tuple[str, ...] = ()
    _by_text: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def by_text(self) -> dict[str, int]:
        """Token text -> id; of equal texts the last."""
        if not self._by_text:
            self._by_text.update(zip(self.tokens, range(len(self.tokens)), strict=True))
        return self._by_text

    def control_ids(self) -> frozenset[int]:
        """Ids that stand for no text of an answer: control and unknown tokens, end tokens."""
        silent = {i for i, kind in enumerate(self.kinds) if kind in (CONTROL, UNKNOWN)}
        return frozenset((silent | self.end_ids) - {self.by_text.get(text) for text in SHOWN_CONTROLS})

    def without_rules(self) -> Vocabulary:
        """The same without what only building a tokenizer needs: tens of megabytes of merges and scores."""
        return replace(self, merges=(), scores=(), _by_text={})


def read_vocabulary(gguf: GgufFile) -> Vocabulary:
    """The vocabulary of a model file. Raises `Refused` where there is none that can be used."""
    metadata = gguf.metadata
    family = _family(gguf)
    warnings: list[str] = []
    pre = _pre_tokenizer(metadata, warnings) if family == "bpe" else None
    tokens = _strings(gguf, "tokenizer.ggml.tokens")
    if not 0 < len(tokens) <= MAX_TOKENS:
        raise BadModelFile(gguf.path, f"has a vocabulary of {len(tokens)} tokens (1 to {MAX_TOKENS})")
    if len(longest := max(tokens, key=len)) > MAX_TOKEN_CHARS:
        raise BadModelFile(gguf.path, f"has a token of {len(longest)} characters (at most {MAX_TOKEN_CHARS})")
    kinds = _per_token(gguf, "tokenizer.ggml.token_type", len(tokens)) or (NORMAL,) * len(tokens)
    scores = _per_token(gguf, "tokenizer.ggml.scores", len(tokens)) if family == "spm" else ()
    ids = _special_ids(metadata, family, len(tokens))
    architecture = str(metadata.get("general.architecture", ""))
    lowercase = bool(metadata.get("tokenizer.ggml.normalizer.lowercase", True))
    add_bos, add_eos = _added_ends(metadata, family, pre, ids)
    return Vocabulary(
        family=family,
        architecture=architecture,
        name=str(metadata.get("general.name", "")),
        tokens=tokens,
        kinds=kinds,
        scores=scores,
        merges=_strings(gguf, "tokenizer.ggml.merges") if family == "bpe" else (),
        ids=ids,
        end_ids=end_token_ids(tokens, kinds, ids, architecture),
        add_bos=add_bos,
        add_eos=add_eos,
        space_prefix=bool(metadata.get("tokenizer.ggml.add_space_prefix", family == "spm")),
        pre=pre,
        lowercase=lowercase,
        strip_accents=bool(metadata.get("tokenizer.ggml.normalizer.strip_accents", lowercase)),
        warnings=tuple(warnings),
    )


def _family(gguf: GgufFile) -> Family:
    model = gguf.metadata.get("tokenizer.ggml.model")
    if model is None:
        raise BadModelFile(gguf.path, "has no tokenizer (tokenizer.ggml.model is missing)")
    if model in FAMILIES:
        return FAMILIES[model]
    kind = UNSUPPORTED.get(model)
    raise Refused(
        f"{gguf.path.name}: its tokenizer is of the kind {model!r}" + (f" ({kind})" if kind else ""),
        code="tokenizer_unsupported",
        hint=f"Tokenizers of the kinds {', '.join(FAMILIES)} are supported; use a model with one of those.",
    )


def _pre_tokenizer(metadata: Metadata, warnings: list[str]) -> PreTokenizer:
    if metadata["tokenizer.ggml.model"] == "gemma4":
        return pre_tokenizer("gemma4")
    name = metadata.get("tokenizer.ggml.pre")
    if not name:
        # Files made before April 2024 do not say; every reader guesses, and the guess is reported.
        warnings.append("the file does not say how its text is cut into words (tokenizer.ggml.pre): guessed")
        name = "default"
    return pre_tokenizer(str(name))


def _strings(gguf: GgufFile, key: str) -> tuple[str, ...]:
    value = gguf.metadata.get(key)
    if not isinstance(value, list) or (value and not isinstance(value[0], str)):
        raise BadModelFile(gguf.path, f"its tokenizer lacks the list {key}")
    return tuple(value)


def _per_token(gguf: GgufFile, key: str, count: int) -> tuple[Any, ...]:
    value = gguf.metadata.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) < count or isinstance(value[0], str):
        raise BadModelFile(gguf.path, f"{key} has no value for each of the {count} tokens")
    return tuple(value[:count])


def _special_ids(metadata: Metadata, family: Family, count: int) -> dict[str, int]:
    ids = dict(_DEFAULT_IDS[family])
    for name in _ID_NAMES:
        value = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(value, int) and 0 <= value < count:
            ids[name] = value
    return {name: value for name, value in ids.items() if value < count}


def _added_ends(
    metadata: Metadata, family: Family, pre: PreTokenizer | None, ids: dict[str, int]
) -> tuple[bool, bool]:
    """Whether BOS and EOS are added to a prompt; never one that the vocabulary does not have."""
    usual = family != "bpe" or (pre is not None and pre.add_bos)
    add_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", usual))
    if metadata.get("tokenizer.ggml.model") == "gemma4" and not add_bos:
        add_bos = True  # the first files of this family state it wrongly (llama.cpp PR 21500)
    add_eos = bool(metadata.get("tokenizer.ggml.add_eos_token", False))
    return add_bos and "bos" in ids, add_eos and "eos" in ids
