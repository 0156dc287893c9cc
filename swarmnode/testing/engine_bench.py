"""A batch engine on a stage made of arithmetic: every answer can be told beforehand, every row is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swarmnode.inference.batching import BatchEngine
from swarmnode.inference.cache.block_store import BlockCounts, BlockLimits, BlockStore
from swarmnode.inference.stage.seam import BLOCK, Batch, StepResult
from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import LocalFault, Unavailable
from swarmnode.values.generation import GenerationEvent, GenerationRequest, Sampling, TextDelta, TokenIds
from swarmnode.values.layers import LayerRange, NumericsProfile

VOCAB, CONTEXT, END = 40, 640, 39
GREEDY = Sampling(temperature=0.0)


def logits_after(tokens: list[int]) -> npt.NDArray[np.float32]:
    """Logits [VOCAB] that depend on every token before."""
    seed = int.from_bytes(hashlib.sha256(repr(tokens).encode()).digest()[:4], "big")
    return np.random.default_rng(seed).normal(size=VOCAB).astype(np.float32)


def greedy(prompt: Sequence[int], count: int) -> list[int]:
    """At most `count` tokens that must follow the prompt, computed plainly."""
    tokens = list(prompt)
    for _ in range(count):
        token = int(logits_after(tokens).argmax())
        if token == END:
            break
        tokens.append(token)
    return tokens[len(prompt) :]


class ArithmeticStage:
    """A whole model whose cache holds the tokens themselves (see `inference.stage.seam.Stage`).

    `poison` is a token whose row cannot be computed; `room` bounds the positions that sessions and shared
    blocks may take together; `computed` counts rows.
    """

    facts = ModelFacts("toy", 1, 8, 1, 1, 8, VOCAB, CONTEXT, "F32", 0)
    layers = LayerRange(0, 1)
    profile = NumericsProfile("toy-1")
    embeds = has_head = True

    def __init__(self, blocks: BlockLimits | None = None) -> None:
        self.rows: dict[int, list[int]] = {}
        self.reserved: dict[int, int] = {}
        self.batches: list[Batch] = []
        self.room = 10_000
        self.poison: int | None = None
        self.computed = 0
        self.blocks: BlockStore[list[int]] = BlockStore(blocks or BlockLimits())

    def open(self, session: int, tokens: int) -> None:
        free = self.room - sum(self.reserved.values()) + self.reserved.get(session, 0)
        if tokens > free:
            raise Unavailable("no room", code="no_cache_room")
        while self.blocks.nbytes > free - tokens:
            self.blocks.give_up_oldest()
        self.reserved[session] = max(tokens, self.reserved.get(session, 0))
        self.rows.setdefault(session, [])

    def step(self, batch: Batch) -> StepResult:
        assert batch.tokens is not None
        tokens = [int(token) for token in batch.tokens]
        if self.poison in tokens:
            raise LocalFault("row is not finite", code="not_finite")
        self.batches.append(batch)
        wanted, at = [], 0
        for part in batch.slices:
            rows = self.rows[part.session]
            assert part.first <= len(rows)
            del rows[part.first :]
            rows += tokens[at : at + part.count]
            at += part.count
            assert len(rows) <= self.reserved[part.session]
            if part.want == "last":
                wanted.append(logits_after(rows))
        self.computed += len(tokens)
        return StepResult(logits=np.array(wanted, np.float32).reshape(len(wanted), VOCAB))

    def fit(self, session: int) -> None:
        self.reserved[session] = max(1, len(self.rows[session]))

    def length(self, session: int) -> int:
        return len(self.rows[session])

    def truncate(self, session: int, position: int) -> None:
        del self.rows[session][position:]

    def close(self, session: int) -> None:
        self.rows.pop(session, None)
        self.reserved.pop(session, None)

    def resident_bytes(self) -> int:
        return 7

    def adopt(self, session: int, keys: Sequence[bytes]) -> int:
        assert self.rows[session] == []
        for block in self.blocks.find(keys[: self.reserved[session] // BLOCK]):
            self.rows[session] += block
        return len(self.rows[session])

    def publish(self, session: int, keys: Sequence[bytes]) -> None:
        rows = self.rows[session]
        room = self.room - sum(self.reserved.values())
        self.blocks.put(keys[: len(rows) // BLOCK], BLOCK, lambda i: rows[i * BLOCK : (i + 1) * BLOCK], room)

    def export(self, session: int, position: int) -> bytes:
        return bytes(self.rows[session][:position])

    def restore(self, session: int, snapshot: bytes) -> None:
        self.rows[session] = list(snapshot)

    def forget_blocks(self) -> None:
        self.blocks.clear()

    def expire(self, now: float) -> None:
        self.blocks.expire(now)

    def block_counts(self) -> BlockCounts:
        return self.blocks.counts()

    def reserved_bytes(self) -> int:
        return sum(self.reserved.values())


@dataclass
class LetterStep:
    """What one token adds (`inference.choice_run.ChoiceStepLike`)."""

    text: str
    reason: str | None = None
    stop: str | None = None


class Letters:
    """Token t is the letter chr(65 + t); END ends; the stop strings are single letters."""

    def __init__(self, stops: tuple[str, ...], _last: int) -> None:
        self.stops = stops

    def push(self, token: int) -> LetterStep:
        letter = chr(65 + token)
        if token == END:
            return LetterStep("", "stop")
        return LetterStep("", "stop", letter) if letter in self.stops else LetterStep(letter)

    def flush(self) -> str:
        return ""


class EngineBench:
    """An engine, its stage, a clock that a test moves, and what each request has emitted.

    row_seconds: what a row takes, on that clock.
    """

    def __init__(
        self,
        slots: int = 4,
        chunk: int = 16,
        blocks: BlockLimits | None = None,
        row_seconds: float = 0.0,
        **options: Any,
    ) -> None:
        self.stage = ArithmeticStage(blocks)
        self.now = 0.0
        self.events: dict[str, list[GenerationEvent]] = {}
        self._compute, self._row_seconds = self.stage.step, row_seconds
        self.stage.step = self._slow  # type: ignore[method-assign]
        self.engine = BatchEngine(
            self.stage,
            choice_text=Letters,
            piece=lambda token: chr(65 + token).encode(),
            ends=frozenset([END]),
            context=CONTEXT,
            slots=slots,
            prefill_chunk=chunk,
            clock=lambda: self.now,
            draw_seed=lambda: 1234,
            **options,
        )

    def _slow(self, batch: Batch) -> StepResult:
        self.now += self._row_seconds * sum(part.count for part in batch.slices)
        return self._compute(batch)

    def submit(self, name: str, prompt: Sequence[int] = (1, 2, 3), **fields: Any) -> int:
        """Submit a request of that name; its slot."""
        fields = {"sampling": GREEDY, "max_tokens": 8, **fields}
        request = GenerationRequest(name, "m", TokenIds(tuple(prompt)), **fields)
        return self.engine.submit(request, self.events.setdefault(name, []).append)

    def run(self, steps: int = 1000) -> None:
        """Step the engine until it has nothing to do, at most so many times."""
        for _ in range(steps):
            self.now += 0.001
            if not self.engine.step():
                break

    def ids(self, name: str, choice: int = 0) -> list[int]:
        """The tokens of an answer so far."""
        deltas = [e for e in self.events[name] if isinstance(e, TextDelta) and e.choice == choice]
        return [i for delta in deltas for i in delta.token_ids]

    def last(self, name: str) -> Any:
        """A request's last event."""
        return self.events[name][-1]
