"""The one memory estimate against the memory that a process with a stage really takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.policy.memory import footprint
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.layers import LayerRange

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")

CONTEXT, SLOTS, CHUNK = 1024, 6, 128

#: Loads a stage, computes one chunk, fills all caches, and reports what the system counts.
PROGRAM = """
import json, sys
import numpy as np
from swarmnode.inference import serving
from swarmnode.inference.stage.numpy_stage import load_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.inference.sampling.sampler import Sampler
from swarmnode.models.gguf import GgufFile
from swarmnode.values.generation import Sampling
from swarmnode.values.layers import LayerRange

path, start, end, kv, held, context, slots, chunk = sys.argv[1:]
context, slots, chunk = int(context), int(slots), int(chunk)
gguf = GgufFile(path)
stage = load_stage(gguf, layers=LayerRange(int(start), int(end)), kv=kv, max_dequantised_bytes=int(held))
size = stage.facts.kv_heads, stage.facts.head_dim
for session in range(slots):
    stage.open(session, context)
    for cache in stage._sessions.get(session).caches:
        cache.append(np.ones((context, *size), np.float32), np.ones((context, *size), np.float32))
rows = chunk + slots - 1
slices = [Slice(0, context - chunk, chunk)] + [Slice(s, context - 1, 1) for s in range(1, slots)]
tokens = np.arange(rows, dtype=np.int32) if stage.embeds else None
hidden = None if stage.embeds else np.ones((rows, stage.facts.hidden), np.float32)
result = stage.step(Batch(tuple(slices), tokens, hidden))
if stage.has_head:
    Sampler(Sampling(), 1, 0, stage.facts.vocab).sample(result.logits[0], 5)

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
mapped, ours = 0, False
for line in open("/proc/self/smaps"):
    words = line.split()
    if "-" in words[0] and not words[0].endswith(":"):
        ours = words[-1] == path
    elif ours and words[0] == "Rss:":
        mapped += int(words[1])
private = sum(int(status[name].split()[0]) for name in ("RssAnon", "RssShmem"))
print(json.dumps({"private": private * 1024, "mapped": mapped * 1024}))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = RandomModel(
        weights="Q4_K_M",
        layers=8,
        hidden=768,
        feed_forward=2048,
        heads=12,
        kv_heads=4,
        head_dim=64,
        vocab=16000,
        context=2048,
    )
    return write_random_model(tmp_path_factory.mktemp("models") / "middle.gguf", model)


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = RandomModel(
        weights="Q4_K_M",
        layers=3,
        hidden=768,
        heads=12,
        kv_heads=4,
        head_dim=64,
        vocab=16000,
        context=2048,
        experts=8,
        expert_feed_forward=1024,
    )
    return write_random_model(tmp_path_factory.mktemp("models") / "experts.gguf", model)


def measured(path: Path, layers: LayerRange, kv: str, held: int) -> dict[str, int]:
    words = [str(path), *map(str, (layers.start, layers.end, kv, held, CONTEXT, SLOTS, CHUNK))]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("layers", "kv", "held"),
    [
        (LayerRange(0, 8), "f16", 1 << 30),
        (LayerRange(0, 8), "f32", 0),
        (LayerRange(3, 6), "f16", 1 << 30),
        (LayerRange(4, 8), "f16", 0),
    ],
)
def test_within_ten_percent(path: Path, layers: LayerRange, kv: str, held: int) -> None:
    compare(path, layers, kv, held)


@pytest.mark.parametrize("held", [0, 1 << 30])
def test_experts_too(experts: Path, held: int) -> None:
    compare(experts, LayerRange(0, 3), "f16", held)


def compare(path: Path, layers: LayerRange, kv: str, held: int) -> None:
    with GgufFile(path) as gguf:
        facts = read_facts(gguf)
    estimate = footprint(
        facts, layers, CONTEXT, SLOTS, kv, max_dequantised_bytes=held, prefill_chunk=CHUNK, text=False
    )
    real = measured(path, layers, kv, held)
    assert estimate.private == pytest.approx(real["private"], rel=0.1), estimate
    assert estimate.total == pytest.approx(real["private"] + real["mapped"], rel=0.1), (estimate, real)
