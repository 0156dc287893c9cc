"""Log-probabilities against llama.cpp itself, on random models of every usual type.

llama.cpp multiplies quantised weights with activations rounded to 8 bits; we do not. So plain float
types agree to roundings, quantised ones within what that rounding does to a random model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from swarmnode.inference.sampling.sampler import log_softmax
from swarmnode.inference.stage.numpy_stage import load_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.models.gguf import GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model

xllamacpp = pytest.importorskip("xllamacpp", reason="llama.cpp (xllamacpp) is not installed")

TOP = 10
SIZES: dict[str, Any] = {"hidden": 256, "feed_forward": 512, "heads": 8, "head_dim": 32, "vocab": 1000}
LONGROPE = {"architecture": "phi3", "long_factors": True}
IDS = np.concatenate([[1], np.random.default_rng(4).integers(300, 1000, 120)]).astype(np.int32)


class LlamaCpp:
    """llama.cpp on one thread with float32 keys and values."""

    def __init__(self, path: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.warmup, params.n_gpu_layers = 512, 1, False, 0
        params.cpuparams.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.verbosity = -1
        self._server = xllamacpp.Server(params)

    def next_token(self, ids: list[int]) -> dict[int, float]:
        """The most likely next tokens with their log-probabilities; empty where it reports none."""
        answers: list[dict[str, Any]] = []
        request = {"prompt": ids, "n_predict": 1, "temperature": 0, "logprobs": TOP, "cache_prompt": False}
        self._server.handle_completions(request, lambda answer: answers.append(answer) or False)
        reported = (answers[-1]["choices"][0]["logprobs"] or {}).get("content") or []
        return {entry["id"]: entry["logprob"] for entry in reported[0]["top_logprobs"]} if reported else {}


def our_logprobs(path: Path, ids: np.ndarray) -> np.ndarray:
    with GgufFile(path) as file:
        stage = load_stage(file, kv="f32")
        stage.open(1, len(ids))
        logits = stage.step(Batch((Slice(1, 0, len(ids), "all"),), ids)).logits
        del stage
    return log_softmax(logits)


def differences(path: Path, ids: np.ndarray) -> np.ndarray:
    """|ours - theirs| over the likeliest tokens after prefixes of many lengths."""
    ours, theirs = our_logprobs(path, ids), LlamaCpp(path)
    found = [
        abs(ours[end - 1][token] - logprob)
        for end in range(5, len(ids), 5)
        for token, logprob in theirs.next_token(ids[:end].tolist()).items()
    ]
    assert len(found) >= 10 * TOP
    return np.array(found)


@pytest.mark.parametrize(
    ("architecture", "weights", "mean", "most"),
    [
        ("llama", "F32", 2e-6, 2e-5),
        ("qwen2", "F32", 2e-6, 2e-5),
        ("qwen3", "F32", 2e-6, 2e-5),
        ("llama", "F16", 0.002, 0.02),
        ("llama", "BF16", 0.02, 0.1),
        ("llama", "Q8_0", 0.04, 0.3),
        ("llama", "Q5_K", 0.08, 0.6),
        ("qwen3", "Q6_K", 0.08, 0.6),
        ("llama", "Q4_K_M", 0.08, 0.6),
    ],
)
def test_logprobs_agree(tmp_path: Path, architecture: str, weights: str, mean: float, most: float) -> None:
    model = RandomModel(architecture=architecture, weights=weights, **SIZES)
    path = write_random_model(tmp_path / "random.gguf", model)
    found = differences(path, IDS)
    assert found.mean() < mean and found.max() < most


@pytest.mark.parametrize(
    ("model", "mean", "most"),
    [
        ({"experts": 8, "expert_feed_forward": 512}, 2e-6, 2e-5),
        ({"architecture": "qwen3moe", "experts": 16, "experts_used": 4}, 2e-6, 2e-5),
        ({"architecture": "phi3"}, 2e-6, 2e-5),
        ({"architecture": "glm4", "rope_dim": 16}, 2e-6, 2e-5),
        # llama.cpp looks GELU up in a table of float16
        ({"architecture": "gemma", "tied": True}, 5e-4, 5e-3),
        ({"architecture": "gemma2", "tied": True, "window": 40}, 5e-4, 5e-3),
        ({"architecture": "gemma3", "tied": True, "window": 40, "layers": 7}, 5e-4, 5e-3),
        ({"architecture": "starcoder2"}, 5e-4, 5e-3),
    ],
)
def test_logprobs_of_other_families_agree(
    tmp_path: Path, model: dict[str, Any], mean: float, most: float
) -> None:
    path = write_random_model(tmp_path / "random.gguf", RandomModel(**{**SIZES, **model}))
    found = differences(path, IDS)
    assert found.mean() < mean and found.max() < most


@pytest.mark.parametrize(
    ("model", "metadata"),
    [
        ({}, {"type": "yarn", "factor": 4.0, "original_context_length": 128}),
        ({"architecture": "qwen3"}, {"type": "yarn", "factor": 8.0, "original_context_length": 64}),
        ({"architecture": "qwen2"}, {"type": "yarn", "factor": 0.5, "attn_factor": 1.2}),
        (
            {"architecture": "phi3", "long_factors": True},
            {"original_context_length": 128, "attn_factor": 1.19},
        ),
        ({"architecture": "phi3", "long_factors": True}, {"original_context_length": 600}),
        ({}, {"type": "linear", "factor": 4.0}),
    ],
)
def test_scaled_positions_agree(tmp_path: Path, model: dict[str, Any], metadata: dict[str, Any]) -> None:
    said = {f"rope__scaling__{name}": value for name, value in metadata.items()}
    path = write_random_model(tmp_path / "random.gguf", RandomModel(**{**SIZES, **model}), **said)
    found = differences(path, IDS)
    assert found.mean() < 4e-6 and found.max() < 4e-5


@pytest.mark.shared
def test_a_file_of_mistral_that_says_nothing_of_a_window(shared: Path) -> None:
    """As llama.cpp, we see the whole text then, whatever the original model did."""
    reference = np.load(shared / "data/tiny-models/Mistral.ref_logits_long.npz")
    ids = np.concatenate([reference["ids"]] * 2).astype(np.int32)[:121]
    assert differences(shared / "data/tiny-models/Mistral.f32.gguf", ids).max() < 2e-5


def requantised(source: Path, target: Path) -> None:
    """The file with Q8_0 in place of F32 wherever rows divide into blocks of 32."""
    writer = gguf.GGUFWriter(str(target), "llama")
    with GgufFile(source) as file:
        for key, value in file.metadata.items():
            if key != "general.architecture":
                add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
                {**add, str: writer.add_string, list: writer.add_array}[type(value)](key, value)
        for name, info in file.tensors.items():
            values = np.frombuffer(file.data(info), np.float32).reshape(info.shape)
            if len(info.shape) == 2 and info.shape[1] % 32 == 0:
                kind = gguf.GGMLQuantizationType.Q8_0
                writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
            else:
                writer.add_tensor(name, values.copy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


@pytest.mark.shared
def test_a_trained_model_in_q8_0_says_the_same_words(shared: Path, tmp_path: Path) -> None:
    """Along our own greedy story, llama.cpp would choose the same token at (nearly) every place."""
    path = tmp_path / "stories.q8_0.gguf"
    requantised(shared / "data/stories260K/stories260K.f32.gguf", path)
    ids = [1]
    with GgufFile(path) as file:
        stage = load_stage(file)
        assert stage.profile.residual == "f16"
        stage.open(1, 200)
        for position in range(199):
            step = Batch((Slice(1, position, 1),), np.array(ids[-1:], np.int32))
            ids.append(int(stage.step(step).logits[0].argmax()))
        del stage
    theirs, asked, same = LlamaCpp(path), 0, 0
    for end in range(1, 199):
        choices = theirs.next_token(ids[:end])
        asked += bool(choices)
        same += bool(choices) and max(choices, key=choices.__getitem__) == ids[end]
    assert asked > 150
    assert same / asked >= 0.98
