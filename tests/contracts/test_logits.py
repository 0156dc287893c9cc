"""Logits against transformers, greedy text against llama2.c, through the command line's own code."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from swarmnode.cli.main import main
from swarmnode.inference.kernels.selection import OVERRIDE
from swarmnode.inference.kernels.targets import available
from swarmnode.inference.sampling.sampler import log_softmax
from swarmnode.inference.stage.choosing import BACKENDS, load_named_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.models.gguf import GgufFile

FAMILIES = (
    "Llama",
    "Llama3rope",
    "Mistral",
    "Mixtral",
    "Qwen2",
    "Qwen3",
    "Qwen3Moe",
    "Gemma",
    "Gemma2",
    "Gemma3",
    "Phi3",
    "Glm4",
    "Starcoder2",
)
#: transformers' float32 and ours differ by roundings only.
TOLERANCE = 1e-5


#: The reference stage, and the compiled one on every instruction set of this machine.
COMPUTERS = ("numpy", *(one.name for one in available()))


@pytest.fixture(autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are kept for the run, in a folder of its own."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


@pytest.fixture
def words(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line's words for one of `COMPUTERS`."""
    if request.param == "numpy":
        return ["--backend", "numpy"]
    monkeypatch.setenv(OVERRIDE, request.param)
    return ["--backend", "cpu"]


def logits_of(folder: Path, model: Path, ids: list[int], *words: str) -> np.ndarray:
    out, file = folder / "out.npy", folder / "ids.json"
    file.write_text(json.dumps({"ids": ids}))
    assert main(["logits", "--model", str(model), "--ids-file", str(file), "--out", str(out), *words]) == 0
    return np.load(out)


def furthest(folder: Path, model: Path, reference: Path, *words: str) -> float:
    """The largest difference of log-probabilities from transformers'."""
    known = np.load(reference)
    ids = known["ids"].tolist()
    logits = logits_of(folder, model, ids, *words)
    assert logits.dtype == np.float32 and logits.shape == (len(ids), 512)
    if "positions" in known:
        logits = logits[known["positions"]]
    return float(np.abs(log_softmax(logits) - log_softmax(known["logits"])).max())


@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", ["", "_long"])
@pytest.mark.parametrize("words", COMPUTERS, indirect=True)
def test_equal_to_transformers(
    shared: Path, tmp_path: Path, family: str, length: str, words: list[str]
) -> None:
    models = shared / "data/tiny-models"
    model = models / f"{family}.f32.gguf"
    if (family, length) == ("Mistral", "_long"):
        model = with_window(model, tmp_path / "windowed.gguf", 32)
    assert furthest(tmp_path, model, models / f"{family}.ref_logits{length}.npz", *words) < TOLERANCE


def with_window(source: Path, target: Path, window: int) -> Path:
    """A copy whose header has the sliding window that llama.cpp's converter leaves out of files of
    Mistral's plan."""
    writer = gguf.GGUFWriter(str(target), "llama")
    add = {int: writer.add_uint32, float: writer.add_float32}
    with GgufFile(source) as file:
        for key, value in file.metadata.items():
            if key.startswith("llama."):
                add[type(value)](key, value)
        for name, info in file.tensors.items():
            writer.add_tensor(name, np.frombuffer(file.data(info), np.float32).reshape(info.shape).copy())
        writer.add_sliding_window(window)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target


@pytest.mark.shared
def test_a_window_that_the_header_does_not_have_is_not_made_up(shared: Path, tmp_path: Path) -> None:
    """The published Mistral 7B 0.1 has a window; its GGUFs do not say so, and llama.cpp runs them
    without (`tests/interop/test_llama_cpp.py` agrees to 1e-5), so the long text differs."""
    models = shared / "data/tiny-models"
    assert furthest(tmp_path, models / "Mistral.f32.gguf", models / "Mistral.ref_logits_long.npz") > 0.1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("family", "architecture"),
    [("Qwen2Moe", "qwen2moe"), ("DeepseekV2", "deepseek2"), ("Llama4", "llama4"), ("Glm4Moe", "glm4moe")],
)
def test_later_families_are_refused_by_name(
    shared: Path, tmp_path: Path, family: str, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shared / f"data/tiny-models/{family}.f32.gguf"
    assert main(["logits", "--model", str(model), "--ids", "1", "--out", str(tmp_path / "o.npy")]) != 0
    said = capsys.readouterr().err
    assert f"'{architecture}'" in said and "qwen3moe, gemma, gemma2" in said


@pytest.mark.shared
@pytest.mark.parametrize("residual", ["f32", "f16"])
@pytest.mark.parametrize("split", ["0-0,1-4", "0-1,2-4", "0,1,2,3,4", "0-2,3-99"])
@pytest.mark.parametrize("words", ["numpy", COMPUTERS[1]], indirect=True)
def test_every_split_gives_the_same_bits(
    shared: Path, tmp_path: Path, split: str, residual: str, words: list[str]
) -> None:
    model = shared / "data/stories260K/stories260K.f32.gguf"
    ids = np.random.default_rng(1).integers(0, 512, 140).tolist()
    whole = logits_of(tmp_path, model, ids, "--residual", residual, *words)
    parts = logits_of(tmp_path, model, ids, "--residual", residual, "--split", split, *words)
    np.testing.assert_array_equal(parts.view(np.uint32), whole.view(np.uint32))


@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("words", ["numpy", COMPUTERS[1]], indirect=True)
def test_families_split_too(shared: Path, tmp_path: Path, family: str, words: list[str]) -> None:
    model = shared / f"data/tiny-models/{family}.f32.gguf"
    ids = list(range(100, 180))
    whole = logits_of(tmp_path, model, ids, "--kv", "f16", *words)
    parts = logits_of(tmp_path, model, ids, "--kv", "f16", "--split", "0-0,1-1", *words)
    np.testing.assert_array_equal(parts.view(np.uint32), whole.view(np.uint32))
    assert not np.array_equal(logits_of(tmp_path, model, ids, *words), whole)


@pytest.mark.shared
@pytest.mark.parametrize("kv", ["f32", "f16"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_greedy_story(shared: Path, kv: str, backend: str) -> None:
    """200 greedy steps from BOS spell the published text; the tokens are joined by hand."""
    folder = shared / "data/stories260K"
    file = GgufFile(folder / "stories260K.f32.gguf")
    stage = load_named_stage(file, backend, kv=kv, dequantised_bytes=1 << 30)
    stage.open(1, 512)
    token, ids = int(file.metadata["tokenizer.ggml.bos_token_id"]), []
    for position in range(200):
        logits = stage.step(Batch((Slice(1, position, 1),), np.array([token], np.int32))).logits
        token = int(logits[0].argmax())
        ids.append(token)
    text = spelled(file.metadata["tokenizer.ggml.tokens"], ids)
    assert text.lstrip(" ") == (folder / "greedy200.txt").read_text("utf-8").rstrip("\n").lstrip(" ")


def spelled(tokens: list[str], ids: list[int]) -> str:
    """SentencePiece pieces as text: `▁` is a space, `<0x0A>` a byte."""
    joined = bytearray()
    for token in ids:
        piece = tokens[token]
        if piece.startswith("<0x"):
            joined.append(int(piece[3:5], 16))
        else:
            joined += piece.replace("\u2581", " ").encode()
    return joined.decode()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("backend", "profile"),
    [([], "cpu-1:"), (["--backend", "cpu"], "cpu-1:"), (["--backend", "numpy"], "numpy-1/")],
)
def test_one_line_of_json(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: list[str], profile: str
) -> None:
    model = shared / "data/tiny-models/Qwen3.f32.gguf"
    out = tmp_path / "o.npy"
    words = ["--ids", "5,6,7", "--out", str(out), "--split", "0,1-9", "--json"]
    assert main(["logits", "--model", str(model), *words, *backend]) == 0
    line = capsys.readouterr().out
    report = json.loads(line)
    assert line.count("\n") == 1
    assert report["shape"] == [3, 512]
    assert report["layers"] == ["0-0", "1-1"]
    assert report["profile"].startswith(profile)
    assert ":kv=f32:" in report["profile"]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ids", "1,x"], "not token ids"),
        (["--ids", "1,-2"], "does not hold token ids"),
        (["--ids", "1,512"], "no token 512"),
        (["--ids", "1", "--split", "0-0"], "last layer 1"),
        (["--ids-file", "/nonexistent.json"], "cannot be read"),
        (["--ids", "1", "--out", "/nonexistent/o.npy"], "cannot be written"),
    ],
)
def test_faults_are_named(
    shared: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shared / "data/tiny-models/Qwen2.f32.gguf"
    base = ["logits", "--model", str(model), "--out", str(tmp_path / "o.npy")]
    assert main([*base, *words]) != 0
    printed = capsys.readouterr()
    assert said in printed.err and not printed.out
