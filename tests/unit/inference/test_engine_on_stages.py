"""The batch engine on real stages: the same bits with and without shared prompts, or company."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from swarmnode.inference.batching import BatchEngine
from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.prefix_sharing import PrefixPolicy
from swarmnode.inference.stage.compiled_stage import CompiledStage, load_compiled_stage
from swarmnode.inference.stage.numpy_stage import NumpyStage, load_stage
from swarmnode.inference.stage.seam import Batch, StepResult
from swarmnode.models.gguf import GgufFile
from swarmnode.testing.engine_bench import Letters
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.generation import Finished, GenerationRequest, Sampling, TextDelta, TokenIds

MODEL = RandomModel(weights="Q8_0", context=640)
IDS = tuple(int(i) for i in np.random.default_rng(11).integers(0, 320, 513))
SEEDED = Sampling(temperature=1.0, seed=9)
#: A token and the bits of its log-probability and of those of the likeliest three.
Bits = list[tuple[int, float, tuple[float, ...]]]


Load = Callable[[BlockLimits], NumpyStage | CompiledStage]


@pytest.fixture(scope="module", params=["numpy", "compiled"])
def load(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    folder = tmp_path_factory.mktemp("model")
    with GgufFile(write_random_model(folder / "m.gguf", MODEL)) as gguf:
        if request.param == "numpy":
            yield lambda limits: load_stage(gguf, max_dequantised_bytes=1 << 26, blocks=limits)
        else:
            yield lambda limits: load_compiled_stage(gguf, blocks=limits, cache=folder)


@dataclass
class Served:
    """An engine on a stage, and how many rows each step had."""

    load: Load
    shared: bool = True
    rows: list[int] = field(default_factory=list)
    events: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = BlockLimits(1 << 26 if self.shared else 0)
        self.stage = self.load(limits)
        self._compute = self.stage.step
        self.stage.step = self._counted  # type: ignore[method-assign]
        self.engine = BatchEngine(
            self.stage,
            choice_text=Letters,
            piece=lambda token: bytes([token % 256]),
            ends=frozenset(),
            context=MODEL.context,
            slots=4,
            prefill_chunk=128,
            prefix=PrefixPolicy(self.shared),
        )

    def _counted(self, batch: Batch) -> StepResult:
        self.rows.append(sum(part.count for part in batch.slices))
        return self._compute(batch)

    def submit(self, name: str, prompt: tuple[int, ...], **fields: Any) -> None:
        fields = {"sampling": SEEDED, "max_tokens": 6, "logprobs": 3, **fields}
        seen = self.events.setdefault(name, [])
        self.engine.submit(GenerationRequest(name, "m", TokenIds(prompt), **fields), seen.append)

    def run(self) -> int:
        """Run to the end; how many rows were computed."""
        before = sum(self.rows)
        while self.engine.step():
            pass
        return sum(self.rows) - before

    def bits(self, name: str, choice: int = 0) -> Bits:
        assert isinstance(self.events[name][-1], Finished)
        deltas = [e for e in self.events[name] if isinstance(e, TextDelta) and e.choice == choice]
        entries = [entry for delta in deltas for entry in delta.logprobs]
        return [(e.token_id, e.logprob, tuple(top.logprob for top in e.top)) for e in entries]


def alone(load: Load, prompt: tuple[int, ...]) -> Bits:
    made = Served(load, shared=False)
    made.submit("a", prompt)
    made.run()
    return made.bits("a")


def test_a_hit_gives_the_bits_of_a_miss(load: Load) -> None:
    made = Served(load)
    made.submit("miss", IDS)
    assert made.run() == 513 + 5
    made.submit("hit", IDS)
    assert made.run() == 1 + 5
    assert made.events["hit"][-1].usage.cached_tokens == 512
    assert made.bits("hit") == made.bits("miss") == alone(load, IDS)


def test_a_partial_hit_gives_the_bits_of_a_miss(load: Load) -> None:
    made, turn = Served(load), (*IDS[:100], 7, 8, 9)
    made.submit("first", IDS)
    made.run()
    made.submit("other", turn)
    assert made.run() == len(turn) - 64 + 5
    assert made.bits("other") == alone(load, turn)


def test_the_next_turn_gives_the_bits_of_a_whole_prompt(load: Load) -> None:
    made = Served(load)
    made.submit("first", IDS[:150], max_tokens=60)
    made.run()
    answer = tuple(token for token, *_ in made.bits("first"))
    turn = (*IDS[:150], *answer, 1, 2, 3)
    made.submit("second", turn)
    assert made.run() == len(turn) - 192 + 5
    assert made.bits("second") == alone(load, turn)


def test_choices_give_the_bits_of_choices_without_sharing(load: Load) -> None:
    shared, plain = Served(load), Served(load, shared=False)
    for made in (shared, plain):
        made.submit("a", IDS[:200], n=3)
    assert shared.run() == 200 + 2 * (200 - 192) + 3 * 5
    assert plain.run() == 3 * 200 + 3 * 5
    assert [shared.bits("a", i) for i in range(3)] == [plain.bits("a", i) for i in range(3)]


def test_together_gives_the_bits_of_alone(load: Load) -> None:
    made = Served(load)
    prompts = {"a": IDS[:70], "b": IDS[:200], "c": IDS[5:90], "d": (3,), "e": IDS[:201], "f": IDS[300:]}
    for name, prompt in prompts.items():
        made.submit(name, prompt)
        made.engine.step()
    made.run()
    for name, prompt in prompts.items():
        assert made.bits(name) == alone(load, prompt), name
    assert made.engine.describe()["prefix_cache"]["hits"] > 0
