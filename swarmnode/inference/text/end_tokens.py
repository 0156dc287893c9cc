"""Which tokens end an answer.

A file names one end token, often not the one that ends a turn; the rest are known by their text, as
llama.cpp does (`llama_vocab::impl::load`, the list of end-of-generation tokens), or, where a file
names none, by the family (the seeds' table of architectures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Texts that no ordinary text holds: they end a turn or a text whatever the file says of their kind.
CERTAIN_END_TEXTS = frozenset(
    {
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "<|eom_id|>",
        "<|end_of_text|>",
        "<end_of_utterance>",
        "<turn|>",
        "<|tool_response>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "[e~[",
        # Of fill-in-the-middle models: padding, and where the next file or repository begins.
        "<|fim_pad|>",
        "<fim-pad>",
        "<fim_pad>",
        "<|fim_repo|>",
        "<|repo_name|>",
        "<fim-repo>",
        "<|file_sep|>",
    }
)
#: Texts that a page or a program may hold (`</s>` is HTML): only where they are not ordinary tokens.
POSSIBLE_END_TEXTS = frozenset(
    {"</s>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "<PAD>", "[PAD]", "<REPO>", "<reponame>"}
)
_ORDINARY = 1

#: architecture -> end ids, used where the file names no end token.
FAMILY_END_IDS: Mapping[str, tuple[int, ...]] = {
    "llama": (2,),
    "mistral": (2,),
    "qwen2": (151643, 151645),
    "qwen2moe": (151643, 151645),
    "qwen3": (151643, 151645),
    "qwen3moe": (151643, 151645),
    "gemma": (1, 107),
    "gemma2": (1, 107),
}


def end_token_ids(
    tokens: Sequence[str], kinds: Sequence[int], ids: Mapping[str, int], architecture: str
) -> frozenset[int]:
    """The ids that end an answer. kinds: the token types. ids: the special ids that the file names."""
    found = {
        index
        for index, text in enumerate(tokens)
        if text in CERTAIN_END_TEXTS or (text in POSSIBLE_END_TEXTS and kinds[index] != _ORDINARY)
    }
    named = {ids[name] for name in ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep") if name in ids}
    if "eos" not in ids:
        usual = (index for index in FAMILY_END_IDS.get(architecture, ()) if index < len(tokens))
        # Another vocabulary may sit under the same architecture, with a common word at that place.
        named |= {index for index in usual if kinds[index] != _ORDINARY}
    return frozenset((found | named) - _only_look_like_ends(tokens, found, ids))


def _only_look_like_ends(tokens: Sequence[str], found: set[int], ids: Mapping[str, int]) -> set[int]:
    """Tokens with the text of an end token that end less than an answer in this vocabulary.

    Harmony and Solar models end a message, not a turn, with `<|end|>`; Gemma 4 has an HTML `</s>`.
    """
    by_text = {tokens[index]: index for index in found}
    texts = by_text.keys()
    mere: set[str] = set()
    if {"<|return|>", "<|call|>"} <= texts or ({"<|flush|>"} <= texts and {"<|call|>", "<|calls|>"} & texts):
        mere.add("<|end|>")
    if "<|tool_response>" in texts:
        mere.add("</s>")
    return {by_text[text] for text in mere if text in by_text} - {ids.get("eos", -1)}
