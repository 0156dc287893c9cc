"""The tokenizer: a byte-level BPE of our own, with GPT-2's way of cutting text into words."""

from __future__ import annotations

import json
from collections.abc import Iterable

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


def with_dropout(tokenizer: Tokenizer, dropout: float) -> Tokenizer:
    """The same tokenizer, which leaves out merges by chance: it shows the model words in pieces."""
    state = json.loads(tokenizer.to_str())
    state["model"]["dropout"] = dropout
    return Tokenizer.from_str(json.dumps(state))


def tokens_and_merges(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """For the GGUF: token texts by id, and merges as `left right`, by rank."""
    state = json.loads(tokenizer.to_str())
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
    return sorted(vocab, key=vocab.__getitem__), merges
