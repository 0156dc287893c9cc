"""Writes models of random weights: real shapes and types, numbers without sense.

python -m benchmarks.models FOLDER [--only tinyllama-Q4_K_M ...]
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.blocks import packed_bytes, random_tensor
from benchmarks.shapes import MIXES, SPEED, Shape, tensors_of
from swarmnode.models.gguf import GgufFile

#: What the measurements of speed run on.
SPEED_MODELS: dict[str, tuple[Shape, str]] = {
    **{f"tinyllama-{kind}": (SPEED["tinyllama"], kind) for kind in MIXES if kind != "F32"},
    "mixture-Q4_K_M": (SPEED["mixture"], "Q4_K_M"),
}
#: Spread of the numbers of norms around 1, of biases around 0.
VECTOR_SPREAD = 0.1
#: How much more decisive routers are than other matrices.
ROUTER_FACTOR = 8.0


def write_model(path: Path, shape: Shape, weights: str, seed: int = 1, *, unpacked: bool = False) -> Path:
    """Write a GGUF of that shape, its tensors one after another (a large one never lies in memory whole).

    weights: a name of `shapes.MIXES`. The same arguments give the same numbers. unpacked: write them as
    float32, dequantised: the model that the packed one stands for. Returns the path.
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), shape.architecture)
    _write_metadata(writer, shape, "F32" if unpacked else weights)
    _write_vocabulary(writer, shape.vocab)
    tensors = list(tensors_of(shape, weights))
    for name, size, kind in tensors:
        kept = "F32" if unpacked else kind
        writer.add_tensor_info(
            name,
            (*size[:-1], packed_bytes(kept, size[-1:])),
            np.dtype(np.uint8),
            packed_bytes(kept, size),
            raw_dtype=gguf.GGMLQuantizationType[kept],
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(seed)
    for name, size, kind in tensors:
        data = _tensor(name, size, kind, rng, shape.tied)
        writer.write_tensor_data(_unpacked(kind, data, size) if unpacked else data)
    writer.close()
    return path


def _tensor(name: str, size: tuple[int, ...], kind: str, rng: np.random.Generator, tied: bool) -> Any:
    """uint8 [..., bytes a row]."""
    if len(size) > 1:
        return random_tensor(kind, size, spread_of(name, size, tied), rng)
    values = VECTOR_SPREAD * rng.standard_normal(size, dtype=np.float32)
    if not name.endswith("bias"):
        values += np.float32(1)
    return values.astype(np.float32).view(np.uint8)


def spread_of(name: str, size: tuple[int, ...], tied: bool) -> float:
    """The standard deviation of a matrix: rows of length 1, so that products are as large as what goes in.

    Two are unlike that, as in trained models. Embeddings are as large as what the layers add to them (one
    that is the head too is enlarged by the family itself). Routers are decisive: else nearly every token has
    two experts as good as equal, and what is compared is which way roundings throw the coin.
    """
    usual = float(size[-1] ** -0.5)
    if name == "token_embd.weight" and not tied:
        return 1.0
    return ROUTER_FACTOR * usual if name.endswith("ffn_gate_inp.weight") else usual


def _unpacked(kind: str, data: Any, size: tuple[int, ...]) -> Any:
    """float32 numbers, by the gguf package."""
    import gguf

    values = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    return np.ascontiguousarray(values.reshape(size), np.float32).view(np.uint8)


def _write_metadata(writer: Any, shape: Shape, weights: str) -> None:
    # Without the architecture: llama.cpp looks for tokens of its own in files that are named after some.
    writer.add_name(f"random {weights}")
    writer.add_file_type(MIXES[weights][2])
    writer.add_quantization_version(2)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.used)
    for key, value in shape.settings:
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{shape.architecture}.{key}", value)


def _write_vocabulary(writer: Any, size: int) -> None:
    """SentencePiece: control tokens, bytes, printable characters, then made-up words."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [2, 3, 3] + [6] * 256
    letters = [chr(code) for code in range(33, 127)] + ["\u2581"]
    words = letters + [f"\u2581w{number}" for number in range(size)]
    tokens = (tokens + words)[:size]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(place) for place in range(size)])
    writer.add_token_types((types + [1] * len(words))[:size])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)


def bytes_a_token(path: Path) -> int:
    """Bytes of weights that computing one token reads: all tensors, of the experts only the share that is
    used, and of an embedding table that is not also the head one row."""
    with GgufFile(path) as file:
        experts, used = _experts(file)
        untied = "output.weight" in file.tensors
        total = 0.0
        for name, info in file.tensors.items():
            if name == "token_embd.weight" and untied:
                total += info.nbytes / info.shape[0]
            elif re.search(r"_exps\.", name):
                total += info.nbytes * used / experts
            else:
                total += info.nbytes
        return round(total)


def _experts(file: GgufFile) -> tuple[int, int]:
    """How many experts a layer has, and how many of them a token uses; 0 and 0 for dense models."""
    architecture = file.metadata["general.architecture"]
    counts: list[Any] = [
        file.metadata.get(f"{architecture}.{key}", 0) for key in ("expert_count", "expert_used_count")
    ]
    return int(counts[0]), int(counts[1])


def main() -> None:
    """Write what is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(SPEED_MODELS), default=list(SPEED_MODELS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        path = options.folder / f"{name}.gguf"
        if not path.exists():
            began = time.perf_counter()
            partial = path.with_suffix(".part")
            write_model(partial, *SPEED_MODELS[name]).rename(path)
            print(f"{path}: {path.stat().st_size} bytes in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
