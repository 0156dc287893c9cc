"""Trying out a model that is cut over nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SplitWish:
    """What to try. model: as the user writes it; empty: the default. peer: a peer id, an address or an invite
    code. split: `0-2,3-5`; empty: two halves. remote: which of the ranges the peer computes, from 0; empty:
    the last. seed: of the answer that is drawn by chance."""

    peer: str
    prompt: str
    model: str = ""
    split: str = ""
    remote: tuple[int, ...] = ()
    max_tokens: int = 32
    seed: int = 7
