"""Training: fixed steps and seeds, loss on answers only, averaged weights at the end.

What is hard is to tell the questions apart, and that shows in the first words of an answer (each
answer begins in its own way). So most batches hold answers cut after a few tokens: they are short, and
a step of the same length in time holds many more questions. The others hold whole answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from guide_recipe.corpus import Corpus
from guide_recipe.network import Guide, Shape
from guide_recipe.normal_form import IM_END, IM_START, PAD
from guide_recipe.vocabulary import halves, in_pieces

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the result, beside the data."""

    shape: Shape = field(default_factory=Shape)
    steps: int = 7000
    seed: int = 1
    cut_batch: int = 64
    cut_tokens: int = 6
    whole_batch: int = 16
    whole_every: int = 4
    rate: float = 3e-3
    final_rate: float = 0.02
    warm_up: int = 100
    decay: float = 0.05
    dropout: float = 0.05
    pieced: float = 0.4
    piece_share: float = 0.1
    average: float = 0.998
    average_from: float = 0.5
    clip: float = 1.0


class Batches:
    """Draws batches of token ids and targets."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, plan: Plan) -> None:
        self._corpus, self._tokenizer, self._plan = corpus, tokenizer, plan
        self._halves = halves(tokenizer)
        self._rng = Random(plan.seed)
        self._before = self._ids(f"{IM_START}user\n")
        self._after = self._ids(f"{IM_END}\n{IM_START}assistant\n")
        self._pad = tokenizer.token_to_id(PAD)
        self._answers = {a: self._ids(a + IM_END) for a in corpus.answers()}

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def _question(self, text: str) -> list[int]:
        ids = self._ids(text)
        if self._rng.random() < self._plan.pieced:
            ids = in_pieces(ids, self._halves, self._plan.piece_share, self._rng)
        return self._before + ids + self._after

    def next(self, whole: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets, [batch, rows]; targets outside of answers are IGNORED."""
        plan = self._plan
        cut = None if whole else plan.cut_tokens
        pairs = [self._corpus.draw(self._rng) for _ in range(plan.whole_batch if whole else plan.cut_batch)]
        rows = [(self._question(question), self._answers[answer][:cut]) for question, answer in pairs]
        length = max(len(question) + len(answer) for question, answer in rows)
        ids = torch.full((len(rows), length), self._pad)
        targets = torch.full((len(rows), length), IGNORED)
        for i, (question, answer) in enumerate(rows):
            end = len(question) + len(answer)
            ids[i, :end] = torch.tensor(question + answer)
            targets[i, len(question) - 1 : end - 1] = torch.tensor(answer)
        return ids, targets


def rate_at(step: int, plan: Plan) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` of the highest rate."""
    if step < plan.warm_up:
        return plan.rate * (step + 1) / plan.warm_up
    done = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
    return plan.rate * (plan.final_rate + (1 - plan.final_rate) * (1 + math.cos(math.pi * done)) / 2)


def loss_of(network: Guide, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens, in nats."""
    wanted = targets != IGNORED
    return functional.cross_entropy(network.logits(network(ids)[wanted]), targets[wanted])


def _optimizer(network: Guide, plan: Plan) -> torch.optim.AdamW:
    matrices = [p for p in network.parameters() if p.dim() == 2]
    others = [p for p in network.parameters() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": plan.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), fused=False)


@torch.no_grad()
def _average_in(average: Guide, network: Guide, keep: float) -> None:
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - keep)


def train(corpus: Corpus, tokenizer: Tokenizer, plan: Plan, say: Callable[[str], None] = print) -> Guide:
    """The averaged network after all steps."""
    torch.manual_seed(plan.seed)
    network = Guide(plan.shape, plan.dropout)
    average = deepcopy(network)
    optimizer = _optimizer(network, plan)
    batches = Batches(corpus, tokenizer, plan)
    started, seen, shown = time.monotonic(), 0, 0.0
    for step in range(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, plan)
        ids, targets = batches.next(whole=step % plan.whole_every == 0)
        loss = loss_of(network, ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
        optimizer.step()
        _average_in(average, network, plan.average if step > plan.steps * plan.average_from else 0.0)
        seen, shown = seen + ids.numel(), 0.99 * shown + 0.01 * float(loss.detach())
        if step % 200 == 199:
            speed = seen / (time.monotonic() - started)
            say(f"step {step + 1}/{plan.steps} loss {shown:.4f} {speed:.0f} tok/s")
    return average.eval()
