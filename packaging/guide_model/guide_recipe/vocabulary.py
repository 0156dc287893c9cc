"""The tokenizer: a byte-level BPE of our own, with GPT-2's way of cutting text into words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from random import Random

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from guide_recipe.normal_form import IM_END, IM_START, PAD

SPECIAL = (PAD, IM_START, IM_END)


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of `size` tokens, the special ones first. Deterministic for one order of texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != size:
        raise ValueError(f"the texts give {tokenizer.get_vocab_size()} tokens, not {size}")
    return tokenizer


def halves(tokenizer: Tokenizer) -> dict[int, tuple[int, int]]:
    """By token id: the two tokens that it was merged from."""
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    merges = tokens_and_merges(tokenizer)[1]
    pairs = (merge.split(" ") for merge in merges)
    return {vocab[left + right]: (vocab[left], vocab[right]) for left, right in pairs}


def in_pieces(
    ids: Iterable[int], parts: Mapping[int, tuple[int, int]], share: float, rng: Random
) -> list[int]:
    """The tokens, each taken apart with the chance `share`, and its halves likewise: it shows the model
    words as misspelt ones come. (The library's own BPE dropout cannot be seeded.)"""
    found: list[int] = []
    for token in ids:
        if token in parts and rng.random() < share:
            found += in_pieces(parts[token], parts, share, rng)
        else:
            found.append(token)
    return found


def tokens_and_merges(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """For the GGUF: token texts by id, and merges as `left right`, by rank."""
    state = json.loads(tokenizer.to_str())
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
    return sorted(vocab, key=vocab.__getitem__), merges
