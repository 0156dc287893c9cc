"""The one memory estimate against the memory that a process with a stage really takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.policy.memory import Footprint, footprint
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.layers import KvType, LayerRange

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")

CONTEXT, SLOTS, CHUNK = 1024, 6, 128
#: The most that a process with the compiled stage has resident besides its weights and its libraries' files.
PROCESS_PEAK = 64 << 20

#: Loads a stage, fills all caches, computes one chunk, and reports what the system counts.
PROGRAM = """
import json, sys
import numpy as np
from pathlib import Path
from swarmnode.inference import serving
from swarmnode.inference.stage.choosing import load_named_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.inference.sampling.sampler import Sampler
from swarmnode.models.gguf import GgufFile
from swarmnode.values.generation import Sampling
from swarmnode.values.layers import LayerRange

def status(*names):
    found = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return sum(int(found[name].split()[0]) for name in names) * 1024

def mapped_of(path):
    found, ours = 0, False
    for line in open("/proc/self/smaps"):
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            ours = words[-1] == path
        elif ours and words[0] == "Rss:":
            found += int(words[1]) * 1024
    return found

backend, path, start, end, kv, held, context, slots, chunk, kernels = sys.argv[1:]
context, slots, chunk = int(context), int(slots), int(chunk)
gguf = GgufFile(path)
layers = LayerRange(int(start), int(end))
stage = load_named_stage(gguf, backend, layers=layers, kv=kv, dequantised_bytes=int(held),
                         context=context, threads=1, cache=Path(kernels))
size = stage.facts.kv_heads, stage.facts.head_dim
loaded = status("RssAnon", "RssShmem")
libraries = status("RssFile") - mapped_of(path)  # how many of their pages are resident is the system's affair
peak = status("VmHWM") - libraries
for session in range(slots):
    stage.open(session, context)
    if backend == "cpu":
        opened = stage._sessions.prepare(session, 0, context)
        for page in opened.pages:
            for layer in range(len(layers)):
                for view in stage._sessions.views(page, layer):
                    view[...] = 1
        opened.length = context
        continue
    for cache in stage._sessions.get(session).caches:
        cache.append(np.ones((context, *size), np.float32), np.ones((context, *size), np.float32))
rows = chunk + slots - 1
slices = [Slice(0, context - chunk, chunk)] + [Slice(s, context - 1, 1) for s in range(1, slots)]
tokens = np.arange(rows, dtype=np.int32) if stage.embeds else None
hidden = None if stage.embeds else np.ones((rows, stage.facts.hidden), np.float32)
if stage.embeds:  # as if all tokens had been seen
    np.frombuffer(gguf.data(gguf.tensors["token_embd.weight"]), np.uint8).max()
result = stage.step(Batch(tuple(slices), tokens, hidden))
if stage.has_head:
    Sampler(Sampling(), 1, 0, stage.facts.vocab).sample(result.logits[0], 5)

private = status("RssAnon", "RssShmem")
print(json.dumps({"private": private, "mapped": mapped_of(path), "loaded": loaded, "peak": peak}))
"""


#: name -> the model. Their weights and caches are large beside the process that runs them.
MODELS = {
    "middle": RandomModel(
        weights="Q4_K_M",
        layers=8,
        hidden=768,
        feed_forward=2048,
        heads=12,
        kv_heads=4,
        head_dim=64,
        vocab=16000,
        context=2048,
    ),
    "experts": RandomModel(
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
    ),
    "gemma": RandomModel(
        "gemma3",
        weights="Q5_0",
        layers=6,
        hidden=512,
        feed_forward=1536,
        heads=4,
        kv_heads=2,
        head_dim=128,
        vocab=16000,
        context=2048,
        window=256,
    ),
    "half": RandomModel(
        "phi3",
        weights="F16",
        layers=4,
        hidden=512,
        feed_forward=1536,
        heads=8,
        kv_heads=8,
        head_dim=64,
        vocab=16000,
        context=2048,
        tied=True,
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("models")
    written: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in written:
            written[name] = write_random_model(folder / f"{name}.gguf", MODELS[name])
        return written[name]

    return write


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def measured(
    backend: str, path: Path, layers: LayerRange, kv: str, held: int, kernels: Path
) -> dict[str, int]:
    words = [
        backend,
        str(path),
        *map(str, (layers.start, layers.end, kv, held, CONTEXT, SLOTS, CHUNK, kernels)),
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "layers", "kv", "held"),
    [
        ("middle", LayerRange(0, 8), "f16", 1 << 30),
        ("middle", LayerRange(0, 8), "f32", 0),
        ("middle", LayerRange(3, 6), "f16", 1 << 30),
        ("middle", LayerRange(4, 8), "f16", 0),
        ("experts", LayerRange(0, 3), "f16", 0),
        ("experts", LayerRange(0, 3), "f16", 1 << 30),
    ],
)
def test_the_reference_within_ten_percent(
    models: Callable[[str], Path], kernels: Path, name: str, layers: LayerRange, kv: KvType, held: int
) -> None:
    path = models(name)
    real = measured("numpy", path, layers, kv, held, kernels)
    _compare(_estimate(path, layers, kv, "numpy-1", held), real)


@pytest.mark.parametrize(
    ("name", "layers", "kv"),
    [
        ("middle", LayerRange(0, 8), "f16"),
        ("middle", LayerRange(0, 8), "f32"),
        ("middle", LayerRange(3, 6), "q8_0"),
        ("middle", LayerRange(4, 8), "f16"),
        ("experts", LayerRange(0, 3), "f16"),
        ("gemma", LayerRange(0, 6), "q8_0"),
        ("half", LayerRange(0, 4), "f16"),
    ],
)
def test_the_compiled_stage_within_ten_percent(
    models: Callable[[str], Path], kernels: Path, name: str, layers: LayerRange, kv: KvType
) -> None:
    path = models(name)
    measured("cpu", path, layers, kv, 0, kernels)  # compiles: what that leaves is not counted
    real = measured("cpu", path, layers, kv, 0, kernels)
    estimate = _estimate(path, layers, kv, "cpu-1", 0)
    _compare(estimate, real)
    # While it loads, the file's pages are let go as they are done with.
    assert real["peak"] < 1.1 * estimate.weights + PROCESS_PEAK


def _estimate(path: Path, layers: LayerRange, kv: KvType, profile: str, held: int) -> Footprint:
    with GgufFile(path) as gguf:
        facts = read_facts(gguf)
    return footprint(
        facts,
        layers,
        CONTEXT,
        SLOTS,
        kv,
        profile,
        max_dequantised_bytes=held,
        prefill_chunk=CHUNK,
        text=False,
    )


def _compare(estimate: Footprint, real: dict[str, int]) -> None:
    assert estimate.private == pytest.approx(real["private"], rel=0.1), (estimate, real)
    assert estimate.total == pytest.approx(real["private"] + real["mapped"], rel=0.1), (estimate, real)
