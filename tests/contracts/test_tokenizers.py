"""Token ids against llama.cpp and SentencePiece: published ids, then random text."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from swarmnode.cli.main import main
from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.pretokenizers import LLAMA_CPP, PRE_TOKENIZERS
from swarmnode.models.gguf import GgufFile

ORACLE = Path(__file__).with_name("llama_cpp_oracle.py")
VOCABULARIES = (
    *("bert-bge", "deepseek-llm", "gemma-4", "gpt-2", "llama-bpe", "llama-spm"),
    *("phi-3", "qwen2", "starcoder"),
)


# ------------------------------------------------------------------ published ids


@pytest.mark.shared
@pytest.mark.parametrize("name", VOCABULARIES)
def test_equal_to_the_published_ids(shared: Path, name: str) -> None:
    path = shared / f"data/vocab/ggml-vocab-{name}.gguf"
    segments = Path(f"{path}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    expected = [[int(i) for i in line.split()] for line in Path(f"{path}.out").read_text().split("\n")]
    text_model = _load(path)
    assert len(segments) in (len(expected) - 1, len(expected))
    for segment, ids in zip(segments, expected, strict=False):
        assert text_model.encode(segment, add_special=False, parse_special=False) == ids, repr(segment)


@pytest.mark.shared
def test_the_command_prints_one_line_of_json(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(shared / "data/vocab/ggml-vocab-llama-spm.gguf")
    text = tmp_path / "text"
    text.write_bytes("Hello </s>\r\n w\u00f6rld".encode())

    def run(*words: str) -> Any:
        assert main(["tokenize", "--model", model, "--json", *words]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        return json.loads(line)

    whole = run("--file", str(text))
    assert whole["count"] == len(whole["ids"]) and whole["ids"][0] == 1 and 2 in whole["ids"]
    bare = run("--file", str(text), "--no-bos", "--no-special")
    assert 1 not in bare["ids"] and 2 not in bare["ids"]
    assert run("--decode", " ".join(map(str, bare["ids"])))["text"] == " Hello </s>\r\n w\u00f6rld"


# ------------------------------------------------------------------ random text

#: Words of many scripts, marks, spaces, numbers and signs; anything may stand beside anything.
WORDS = tuple(
    [" ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", "'s", "'T", "'ll", "'RE", "a", "Hello", "WORLD"]
    + ["camelCase", "XMLHttp", "\u00e9", "\u00c9", "\u00f1and\u00fa", "\u00df", "\u01c5", "\u02b0"]
    + ["1", "12", "123", "1234", "\u0663", "\u00bd", "\u00b2", "\u2167"]
    + [
        "!",
        "...",
        "--",
        "$",
        "+=",
        "<|",
        "|>",
        "`",
        "~",
        "^",
        "\u00ab",
        "\u201c",
        "\u3002",
        "\uff0c",
        "\uff01",
    ]
    + [
        "\u4e2d\u6587",
        "\u6f22\u5b57",
        "\u3072\u3089",
        "\u30ab\u30ca",
        "\uff76\uff85",
        "\ud55c\uad6d",
        "\u3131",
    ]
    + ["\u0e44\u0e17\u0e22", "\u0ea5\u0eb2\u0ea7", "\u1781\u17d2\u1798", "\u1019\u103c\u1014\u103a"]
    + [
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "\u09ac\u09be\u0982",
        "\u062a\u064e\u0634\u0652",
        "\u05e2\u05d1",
    ]
    + ["\u03a9\u03bc\u03ad", "\u041f\u0440\u0438", "\U0001f642", "\U0001f469\u200d\U0001f467", "e\u0301"]
    + ["\u00a0", "\u3000", "\u2028", "\u200d", "\u200c", "\ufeff", "\u0085", "\x0b", "\x0c", "\x7f"]
    + ["_", "foo_bar", "/", "//x", "#tag", "%", "&", "(", ")", "[", "]", "{", "}", '"', "'", "\\", "*", "="]
    + [";", ":", ",", ".", "?", "\u0130", "\u017f", "\u212a", "\u3006", "\u3005", "\u30fc", "\u2460"]
)
#: Where a row follows the model rather than llama.cpp, only text on which the two agree.
PLAIN_WORDS = (
    *(" ", "  ", "\n", "\n\n", "a", "hello", "world", "'s", "!", "...", "(", ")", "="),
    *("_", "//x", "#tag", "{", "}", "\u4e2d\u6587", ","),
)
#: llama.cpp hides white space beyond ASCII from expressions without a Unicode class; the models do not.
#: llama.cpp's special tokens swallow white space of ASCII only, the model's own all white space.
SPACES_DIFFER = {"deepseek-llm", "deepseek-coder", "phi-3"}
#: llama.cpp joins a number with all text before it.
DIGITS_DIFFER = {"afmoe"}


def _texts(words: tuple[str, ...], count: int, seed: int = 7) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(words, k=rng.randint(1, 40))) for _ in range(count)]


def _words_for(name: str) -> tuple[str, ...]:
    if name in DIGITS_DIFFER or (name in PRE_TOKENIZERS and PRE_TOKENIZERS[name].source != LLAMA_CPP):
        return PLAIN_WORDS
    if name in SPACES_DIFFER:
        return tuple(word for word in WORDS if word.isascii() or not word.isspace())
    return WORDS


@cache
def _trained(raw: bool) -> tuple[list[str], list[str]]:
    """(tokens, merges) that join across everything, so that every cut between words shows."""
    tokenizer = Tokenizer(models.BPE())
    alphabet: list[str] = []
    if raw:
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    else:
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=4000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_texts(WORDS, 3000, seed=1), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), [" ".join(m) for m in model["merges"]]


def _write_model(path: Path, pre: str) -> None:
    """A model without sense, for llama.cpp to load, with a vocabulary that is cut by `pre`."""
    raw = PRE_TOKENIZERS[pre].raw_utf8
    tokens, merges = _trained(raw)
    kinds = [1] * len(tokens)
    if raw:
        named = ["<pad>", "<s>", "</s>", "<unk>", *[f"<0x{b:02X}>" for b in range(256)]]
        tokens, kinds = [*named, *tokens], [3, 3, 3, 2, *([6] * 256), *kinds]
    _write_weights(
        path,
        len(tokens),
        lambda writer: (
            writer.add_tokenizer_model("gpt2"),
            writer.add_tokenizer_pre(pre),
            writer.add_token_list(tokens),
            writer.add_token_types(kinds),
            writer.add_token_merges(merges),
            writer.add_bos_token_id(0),
            writer.add_eos_token_id(0),
        ),
    )


def _write_weights(path: Path, tokens: int, add_tokenizer: Any) -> None:
    width = 32
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_context_length, 256),
        (writer.add_embedding_length, width),
        (writer.add_block_count, 1),
        (writer.add_feed_forward_length, width),
        (writer.add_head_count, 1),
        (writer.add_head_count_kv, 1),
        (writer.add_layer_norm_rms_eps, 1e-5),
        (writer.add_vocab_size, tokens),
        (writer.add_rope_dimension_count, width),
    ):
        add(value)
    add_tokenizer(writer)
    writer.add_tensor("token_embd.weight", np.zeros((tokens, width), np.float16))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((width, width), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _llama_cpp(model: Path, requests: list[dict[str, Any]]) -> list[list[int]]:
    done = subprocess.run(
        [sys.executable, str(ORACLE), str(model)],
        input=json.dumps(requests).encode(),
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _load(path: Path) -> TextModel:
    with GgufFile(path) as file:
        return TextModel.load(file)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRE_TOKENIZERS))
def test_every_pre_tokenizer_cuts_random_text_as_llama_cpp_does(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.gguf"
    _write_model(path, name)
    text_model = _load(path)
    texts = _texts(_words_for(name), 300)
    requests = [{"content": text, "add_special": False, "parse_special": False} for text in texts]
    for text, ids in zip(texts, _llama_cpp(path, requests), strict=True):
        assert text_model.encode(text, add_special=False, parse_special=False) == ids, repr(text)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2", "starcoder"])
def test_real_vocabularies_read_special_tokens_as_llama_cpp_does(
    shared: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "model.gguf"
    text_model = _with_weights(shared / f"data/vocab/ggml-vocab-{name}.gguf", path)
    tokens, kinds = text_model.vocabulary.tokens, text_model.vocabulary.kinds
    named = [tokens[i] for i in sorted(text_model.special_ids)][:40]
    named += [text for text, kind in zip(tokens, kinds, strict=True) if kind == 4][:40]
    texts = _texts((*_words_for(name), *(named * 4)), 150, seed=11)
    flags = [(add, parse) for add in (False, True) for parse in (False, True)]
    requests = [
        {"content": text, "add_special": add, "parse_special": parse}
        for text in texts
        for add, parse in flags
    ]
    for request, ids in zip(requests, _llama_cpp(path, requests), strict=True):
        text = request.pop("content")
        assert text_model.encode(text, **request) == ids, (text, request)


def _with_weights(vocabulary: Path, path: Path) -> TextModel:
    metadata = GgufFile(vocabulary).metadata

    def add(writer: gguf.GGUFWriter) -> None:
        for key in metadata:
            if key.startswith("tokenizer.") or key == "general.name":
                _add(writer, key, metadata[key])

    _write_weights(path, len(metadata["tokenizer.ggml.tokens"]), add)
    return _load(path)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    adders = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
    }
    adders.get(type(value), writer.add_array)(key, value)


# ------------------------------------------------------------------ SentencePiece

PERIODIC = (
    *("a", "b", "n", "an", "na", "ba", "aa", "  ", " ", "e", "ee", "th", "the", "in", "ing", "er", "s", "t"),
    *("=", "==", "-", "--", "\n", "0", "1", "00", ".", "\u00e9", "l", "ll", "o", "oo", "tt", "**", "//"),
    *("\u4e2d", "\u56fd"),
)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["vocab/ggml-vocab-llama-spm.gguf", "stories260K/stories260K.f32.gguf"])
def test_equal_to_sentencepiece(shared: Path, name: str) -> None:
    path = shared / "data" / name
    processor, text_model = _sentencepiece(path), _load(path)
    rng = random.Random(3)
    texts = _texts(WORDS, 300) + _texts(PERIODIC, 500)
    # Repetition is where the order of equal merges would show.
    texts += ["".join(rng.choices(PERIODIC, k=rng.randint(1, 4))) * rng.randint(1, 30) for _ in range(500)]
    texts += [letter * count for letter in "abehilmnost =-_*/#.0" for count in range(1, 70)]
    for text in texts:
        ids = text_model.encode(text, add_special=False, parse_special=False)
        assert ids == processor.encode(text), repr(text)


def _sentencepiece(path: Path) -> SentencePieceProcessor:
    metadata = GgufFile(path).metadata
    model = sentencepiece_model_pb2.ModelProto()
    for key in ("tokens", "scores", "token_type"):
        assert metadata.array_length(f"tokenizer.ggml.{key}")
    rows = zip(
        *(metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type")), strict=True
    )
    for piece, score, kind in rows:
        model.pieces.add(piece=piece, score=score, type=kind)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.byte_fallback = sentencepiece_model_pb2.TrainerSpec.BPE, True
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
    normalizer.name, normalizer.add_dummy_prefix = "identity", True
    normalizer.remove_extra_whitespaces, normalizer.escape_whitespaces = False, True
    return SentencePieceProcessor(model_proto=model.SerializeToString())


# ------------------------------------------------------------------ long and hostile text


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", " ", "\n", "7", "\u4e2d", "!", "aB1 \n", "the quick brown fox. "])
@pytest.mark.parametrize("name", ["llama-spm", "llama-bpe"])
def test_four_megabytes_of_anything_are_encoded(shared: Path, name: str, unit: str) -> None:
    text_model = _load(shared / f"data/vocab/ggml-vocab-{name}.gguf")
    text = unit * (4_000_000 // len(unit.encode()))
    ids = text_model.encode(text, add_special=False, parse_special=False)
    decoded = b"".join(map(text_model.piece, ids)).decode()
    assert decoded.removeprefix(" " if name == "llama-spm" else "") == text
