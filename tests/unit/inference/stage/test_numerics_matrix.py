"""One text, the same bits: alone and in company, in any chunks, by any number of threads, on any instruction
set, after a prefix hit or none, cut anywhere (DESIGN 6). The reference stage's numbers are near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.cache.block_keys import block_keys
from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.kernels import team
from swarmnode.inference.kernels.targets import available, target
from swarmnode.inference.stage import compiled_stage
from swarmnode.inference.stage.compiled_stage import CompiledStage, load_compiled_stage
from swarmnode.inference.stage.numpy_stage import load_stage
from swarmnode.inference.stage.residual import pack_f16, unpack_f16
from swarmnode.inference.stage.seam import BLOCK, Batch, Slice
from swarmnode.models.gguf import GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.layers import LayerRange

ROWS = 140  # three blocks of 64
IDS = np.random.default_rng(5).integers(0, 300, ROWS).astype(np.int32)
KEYS = block_keys(b"salt", IDS.tolist())
TARGETS = [one.name for one in available()]
CHUNKS = [1, 7, 64, ROWS]
THREADS = [1, 2]
#: Everything on the best instruction set; every number of threads, of chunks and of rows on the others.
#: What is left of the full product is run where there is time.
QUICK_ALONE = ((1, 1), (2, 7), (1, 64), (2, ROWS))
QUICK_COMPANY = (3, 8)


def _slow_unless(quick: bool, *values: object) -> object:
    return pytest.param(*values, marks=() if quick else pytest.mark.slow)


ALONE = [
    _slow_unless(name == TARGETS[0] or (threads, chunk) in QUICK_ALONE, name, threads, chunk)
    for name in TARGETS
    for threads in THREADS
    for chunk in CHUNKS
]
COMPANY = [
    _slow_unless(name == TARGETS[0] or size in QUICK_COMPANY, name, size)
    for name in TARGETS
    for size in range(2, 9)
]
WIDE = {"hidden": 256, "feed_forward": 256, "head_dim": 64}
WEIGHTS = ["Q4_K", "Q6_K", "Q8_0", "F16", "F32"]


@dataclass
class Case:
    """A model and its stages; the rows that all others must equal."""

    gguf: GgufFile
    cache: Path
    kv: str = "f16"
    residual: str | None = None
    stages: dict[tuple[str, int], CompiledStage] = field(default_factory=dict)

    def load(self, name: str, threads: int = 1, layers: LayerRange | None = None) -> CompiledStage:
        return load_compiled_stage(
            self.gguf,
            layers=layers,
            kv=self.kv,
            residual=self.residual,
            threads=threads,
            target=target(name),
            cache=self.cache,
            blocks=BlockLimits(1 << 30),
        )

    def stage(self, name: str = TARGETS[0], threads: int = 1) -> CompiledStage:
        if (name, threads) not in self.stages:
            self.stages[name, threads] = self.load(name, threads)
            assert self.stages[name, threads].threads == threads
        return self.stages[name, threads]

    @property
    def whole(self) -> np.ndarray:
        if not hasattr(self, "_whole"):
            self._whole = in_chunks([self.stage()], ROWS)
        return self._whole


def in_chunks(stages: Sequence[CompiledStage], chunk: int) -> np.ndarray:
    """The logits of all rows, through stages one after another, as they would be on several nodes."""
    for stage in stages:
        stage.open(1, ROWS)
    parts = []
    for first in range(0, ROWS, chunk):
        tokens = IDS[first : first + chunk]
        slices = (Slice(1, first, len(tokens), "all"),)
        result = stages[0].step(Batch(slices, tokens))
        for stage in stages[1:]:
            hidden = result.hidden
            if stage.profile.residual == "f16":
                hidden = unpack_f16(*pack_f16(hidden))  # what the wire carries
            result = stage.step(Batch(slices, hidden=hidden))
        parts.append(result.logits)
    for stage in stages:
        stage.close(1)
    return np.concatenate(parts)


def same(found: np.ndarray | None, wanted: np.ndarray) -> None:
    assert found is not None and found.shape == wanted.shape
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


@pytest.fixture(scope="module", autouse=True)
def every_step_by_all_threads():
    """Small steps would be left to one thread, and there may be fewer cores than threads here."""
    patch = pytest.MonkeyPatch()
    patch.setattr(compiled_stage, "SMALL_STEP_BYTES", 0)
    patch.setattr(team, "physical_cores", lambda: 8)
    yield
    patch.undo()


def made(model: RandomModel, folder: Path, cache: Path, kv: str = "f16", residual: str | None = None) -> Case:
    return Case(GgufFile(write_random_model(folder / "m.gguf", model)), cache, kv, residual)


@pytest.fixture(scope="module", params=WEIGHTS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kernel_cache: Path):
    model = RandomModel(weights=request.param, tied=request.param == "Q6_K", **WIDE)
    found = made(model, tmp_path_factory.mktemp("model"), kernel_cache)
    yield found
    for stage in found.stages.values():
        stage.shut()


@pytest.mark.parametrize(("name", "threads", "chunk"), ALONE)
def test_alone(case: Case, name: str, threads: int, chunk: int) -> None:
    same(in_chunks([case.stage(name, threads)], chunk), case.whole)


def test_three_threads(case: Case) -> None:
    same(in_chunks([case.stage(threads=3)], 64), case.whole)


@pytest.mark.parametrize(("name", "size"), COMPANY)
def test_in_company(case: Case, name: str, size: int) -> None:
    """Sessions at different places of the same text, some rows each, in turning order."""
    stage = case.stage(name, 1 + size % 2)
    places = np.linspace(0, 120, size).astype(int).tolist()
    for session, place in enumerate(places):
        stage.open(session, ROWS)
        if place:
            stage.step(Batch((Slice(session, 0, place, "none"),), IDS[:place]))
    for step in range(4):
        counts = [1 + (session + step) % 3 for session in range(size)]
        order = np.roll(np.arange(size), step)
        slices = tuple(Slice(int(s), places[s], counts[s], "all") for s in order)
        rows = np.concatenate([np.arange(s.first, s.first + s.count) for s in slices])
        same(stage.step(Batch(slices, IDS[rows])).logits, case.whole[rows])
        places = [place + count for place, count in zip(places, counts, strict=True)]
    for session in range(size):
        stage.close(session)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", TARGETS)
def test_after_a_prefix_hit(case: Case, name: str, threads: int) -> None:
    stage = case.stage(name, threads)
    stage.forget_blocks()
    stage.open(1, ROWS)
    assert stage.adopt(1, KEYS) == 0
    stage.step(Batch((Slice(1, 0, ROWS, "none"),), IDS))
    stage.publish(1, KEYS)
    for session, blocks in ((2, 1), (3, 2)):
        stage.open(session, ROWS)
        held = stage.adopt(session, KEYS[:blocks])
        assert held == blocks * BLOCK
        rest = Batch((Slice(session, held, ROWS - held, "all"),), IDS[held:])
        same(stage.step(rest).logits, case.whole[held:])
    stage.step(Batch((Slice(2, 40, 60, "none"),), IDS[::-1][:60]))  # it goes another way in a shared block
    same(stage.step(Batch((Slice(3, 128, 12, "all"),), IDS[128:])).logits, case.whole[128:])
    for session in (1, 2, 3):
        stage.close(session)
    stage.forget_blocks()


@pytest.mark.parametrize("cuts", [(0, 1, 3), (0, 2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("name", TARGETS)
def test_cut(case: Case, name: str, cuts: tuple[int, ...]) -> None:
    ranges = [LayerRange(*pair) for pair in zip(cuts, cuts[1:], strict=False)]
    stages = [case.load(name, 1, layers) for layers in ranges]
    same(in_chunks(stages, 50), case.whole)


def test_a_chain_of_different_machines(case: Case) -> None:
    """Each layer on another instruction set, and a session that moves in the middle of the text."""
    names = (TARGETS * 3)[:3]
    stages = [case.load(one, 1, LayerRange(index, index + 1)) for index, one in enumerate(names)]
    same(in_chunks(stages, 70), case.whole)
    first, last = case.stage(TARGETS[0]), case.stage(TARGETS[-1])
    first.open(1, ROWS)
    last.open(2, ROWS)
    first.step(Batch((Slice(1, 0, 90, "none"),), IDS[:90]))
    last.restore(2, first.export(1, 90))
    same(last.step(Batch((Slice(2, 90, 50, "all"),), IDS[90:])).logits, case.whole[90:])
    first.close(1)
    last.close(2)


def test_near_the_reference(case: Case) -> None:
    """The other stage multiplies unrounded activations: near, not equal. The numbers mean something."""
    stage = load_stage(case.gguf, kv="f16", max_dequantised_bytes=1 << 30)
    stage.open(1, ROWS)
    wanted = stage.step(Batch((Slice(1, 0, ROWS, "all"),), IDS)).logits
    quantised = stage.profile.residual == "f16"
    error = np.abs(case.whole - wanted).max() / np.abs(wanted).max()
    assert error < (0.05 if quantised else 2e-3)
    assert np.corrcoef(case.whole.ravel(), wanted.ravel())[0, 1] > 0.999
    assert len(np.unique(case.whole, axis=0)) == ROWS


FAMILIES = {
    "gemma2: windows, caps, f32 cache": (
        RandomModel(architecture="gemma2", window=40, feed_forward=96, tied=True),
        "f32",
        None,
    ),
    "gemma3: windows, q8_0 cache": (
        RandomModel(architecture="gemma3", layers=7, window=65, vocab=301, tied=True),
        "q8_0",
        "f16",
    ),
    "llama q8_0, odd sizes, q8_0 cache": (
        RandomModel(weights="Q8_0", hidden=96, heads=3, kv_heads=1, head_dim=32, feed_forward=160, vocab=301),
        "q8_0",
        None,
    ),
    "mistral q5_1, a window over two blocks": (
        RandomModel(window=100, heads=6, weights="Q5_1"),
        "f16",
        None,
    ),
    "mixtral f32": (RandomModel(experts=5, layers=2), "f32", None),
    "qwen3moe q4_0": (
        RandomModel(
            architecture="qwen3moe", experts=8, experts_used=3, expert_feed_forward=96, weights="Q4_0"
        ),
        "f16",
        None,
    ),
    "starcoder2: layer norms, no gate, odd sizes": (
        RandomModel(
            architecture="starcoder2", hidden=60, heads=3, kv_heads=1, head_dim=20, feed_forward=99, vocab=301
        ),
        "f32",
        "f16",
    ),
    "glm4: pairs, part of the head turns": (
        RandomModel(architecture="glm4", rope_dim=8, layers=2),
        "f16",
        "f16",
    ),
    "phi3 q8_0: fused": (RandomModel(architecture="phi3", window=64, weights="Q8_0"), "q8_0", None),
    "qwen2 bf16": (RandomModel(architecture="qwen2", weights="BF16"), "f16", None),
    "qwen3 q4_k_m": (
        RandomModel(architecture="qwen3", weights="Q4_K_M", layers=2, **WIDE),
        "q8_0",
        None,
    ),
    "llama q5_k": (RandomModel(weights="Q5_K", layers=2, **WIDE), "f32", "f32"),
}
#: The best and the plainest: `test_self_check` compares the others kernel by kernel.
SOME_TARGETS = [TARGETS[0], TARGETS[-1]]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kernel_cache: Path):
    model, kv, residual = FAMILIES[request.param]
    found = made(model, tmp_path_factory.mktemp("model"), kernel_cache, kv, residual)
    yield found
    for stage in found.stages.values():
        stage.shut()


@pytest.mark.parametrize("name", SOME_TARGETS)
def test_families_alone(family: Case, name: str) -> None:
    for threads, chunk in ((1, 1), (2, 7), (2, ROWS)) if name == TARGETS[0] else ((2, 7), (1, ROWS)):
        same(in_chunks([family.stage(name, threads)], chunk), family.whole)


@pytest.mark.parametrize("name", SOME_TARGETS)
def test_families_in_company(family: Case, name: str) -> None:
    test_in_company(family, name, 5)


def test_families_after_a_prefix_hit(family: Case) -> None:
    test_after_a_prefix_hit(family, TARGETS[0], 2)


def test_families_cut_anywhere(family: Case) -> None:
    last = family.stage().facts.layers
    for cut in range(1, last):
        ranges = (LayerRange(0, cut), LayerRange(cut, last))
        stages = [family.load(TARGETS[cut % len(TARGETS)], 1, layers) for layers in ranges]
        same(in_chunks(stages, 33), family.whole)


def test_families_are_near_the_reference(family: Case) -> None:
    """In the middle of all numbers: where experts or windows are near a tie, single rows may go another way.
    The reference has no q8_0 cache."""
    kv = "f16" if family.kv == "q8_0" else family.kv
    stage = load_stage(family.gguf, kv=kv, residual=family.residual, max_dequantised_bytes=1 << 30)
    stage.open(1, ROWS)
    wanted = stage.step(Batch((Slice(1, 0, ROWS, "all"),), IDS)).logits
    weights = {info.type_name for info in family.gguf.tensors.values()}
    rough = kv != family.kv or not weights <= {"F32", "F16", "BF16"}
    assert np.median(np.abs(family.whole - wanted)) < (0.05 if rough else 2e-3) * wanted.std()
