"""llama.cpp's C interface through ctypes: one binding for every build, so that each is timed alike.

Works with the `libllama` of the llama-cpp-python package, and with the extension module of xllamacpp,
which exports the same functions. The structs of parameters grow with every version, so they are not
declared here: the library fills in its own defaults, the few fields that matter are found in them by their
default values, and a field that cannot be found is an error (`FieldNotFound`), not a guess. Source: llama.h.
"""

from __future__ import annotations

import ctypes
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Larger than any version's struct of parameters: the library reads as much of it as it knows.
PARAMETER_WORDS = 256
KV_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
LIBRARIES = ("libllama.so", "xllamacpp.abi3.so", "libllama.dylib", "llama.dll")
MAX_LOG_LINES = 4096
_MINUS_ONE = 0xFFFFFFFF
_MINUS_ONE_F32 = 0xBF800000
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class FieldNotFound(RuntimeError):
    """The library's struct of parameters does not look as any version known here."""


class _Parameters(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint32 * PARAMETER_WORDS)]


class _Batch(ctypes.Structure):
    """`llama_batch`."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def flash_attention_word(words: list[int]) -> int:
    """Where `flash_attn_type` is: the last of rope_scaling_type, pooling_type, attention_type and
    flash_attn_type, whose defaults are all -1."""
    for place in range(4, 24):
        if words[place : place + 4] == [_MINUS_ONE] * 4:
            return place + 3
    raise FieldNotFound("flash_attn_type is not where llama.h had it")


def kv_type_word(words: list[int]) -> int:
    """Where `type_k` is (`type_v` follows): both 1 (F16), after the floats of YaRN (whose last -1.0 is the
    last one at all) and the two pointers of `cb_eval`, which are null."""
    floats = [place for place, word in enumerate(words) if word == _MINUS_ONE_F32]
    if floats:
        for place in range(floats[-1] + 5, floats[-1] + 9):
            if words[place : place + 2] == [1, 1] and not any(words[place - 4 : place]):
                return place
    raise FieldNotFound("type_k and type_v are not where llama.h had them")


def find_library(where: Path | None = None) -> Path:
    """The library in a file, a folder or a virtual environment (None: xllamacpp of this one)."""
    where = where or Path(sysconfig.get_path("platlib")) / "xllamacpp"
    if where.is_file():
        return where
    for name in LIBRARIES:
        if found := sorted(where.rglob(name)):
            return found[0]
    raise FileNotFoundError(f"no {' or '.join(LIBRARIES)} below {where}")


class LlamaCpp:
    """One library. `log` holds what it printed while loading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log: list[str] = []
        self._level = 0
        self._library = library = ctypes.CDLL(str(path))
        self._declare()
        self._callback = _LOG(self._keep_line)
        library.llama_log_set(self._callback, None)
        library.llama_backend_init()

    def _keep_line(self, _level: int, text: bytes | None, _data: Any) -> None:
        if text and len(self.log) < MAX_LOG_LINES:
            self.log.append(text.decode("utf-8", "replace").rstrip("\n"))

    def _declare(self) -> None:
        library, pointer = self._library, ctypes.c_void_p
        for name, result, arguments in (
            ("llama_log_set", None, [_LOG, pointer]),
            ("llama_backend_init", None, []),
            ("llama_print_system_info", ctypes.c_char_p, []),
            ("llama_model_default_params", _Parameters, []),
            ("llama_context_default_params", _Parameters, []),
            ("llama_model_load_from_file", pointer, [ctypes.c_char_p, _Parameters]),
            ("llama_model_free", None, [pointer]),
            ("llama_model_get_vocab", pointer, [pointer]),
            ("llama_vocab_n_tokens", ctypes.c_int32, [pointer]),
            ("llama_init_from_model", pointer, [pointer, _Parameters]),
            ("llama_free", None, [pointer]),
            ("llama_set_n_threads", None, [pointer, ctypes.c_int32, ctypes.c_int32]),
            ("llama_n_ctx", ctypes.c_uint32, [pointer]),
            ("llama_get_memory", pointer, [pointer]),
            ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
            ("llama_batch_init", _Batch, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]),
            ("llama_batch_free", None, [_Batch]),
            ("llama_decode", ctypes.c_int32, [pointer, _Batch]),
            ("llama_synchronize", None, [pointer]),
            ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [pointer, ctypes.c_int32]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

    def system_info(self) -> str:
        """The instruction sets and features that it was built with."""
        return str(self._library.llama_print_system_info().decode()).strip()

    def load(
        self, model: Path, *, context: int, threads: int, kv: str = "f16", flash: bool | None = None
    ) -> LlamaModel:
        """Load a model as the library does by default (mapped, weights repacked where it likes that).

        flash None: its own choice of attention; False: the plain one, which keeps float32 throughout.
        Raises `RuntimeError` with its log, `FieldNotFound`.
        """
        return LlamaModel(self, model, context, threads, kv, flash)

    def context_parameters(self, context: int, kv: str, flash: bool | None) -> _Parameters:
        """Its defaults with n_ctx = n_batch = context, the cache's types and the kind of attention."""
        parameters: _Parameters = self._library.llama_context_default_params()
        words = list(parameters.words)
        parameters.words[0] = context
        parameters.words[1] = max(context, words[1])
        where = flash_attention_word(words)
        if flash is not None:
            parameters.words[where] = int(flash)
        where = kv_type_word(words)
        parameters.words[where] = parameters.words[where + 1] = KV_TYPES[kv]
        return parameters


class LlamaModel:
    """A loaded model with one context and one sequence."""

    def __init__(
        self, owner: LlamaCpp, model: Path, context: int, threads: int, kv: str, flash: bool | None
    ) -> None:
        self._owner, self._c = owner, owner._library
        del owner.log[:]
        parameters = self._c.llama_model_default_params()
        self._model = self._c.llama_model_load_from_file(str(model).encode(), parameters)
        if not self._model:
            raise RuntimeError(f"llama.cpp did not load {model}:\n" + "\n".join(owner.log[-20:]))
        self._context = self._c.llama_init_from_model(
            self._model, owner.context_parameters(context, kv, flash)
        )
        if not self._context:
            raise RuntimeError("llama.cpp made no context:\n" + "\n".join(owner.log[-20:]))
        self._c.llama_set_n_threads(self._context, threads, threads)
        self.vocab = int(self._c.llama_vocab_n_tokens(self._c.llama_model_get_vocab(self._model)))
        self.context = int(self._c.llama_n_ctx(self._context))
        self._check_cache(kv)
        self._batch = self._c.llama_batch_init(max(context, 1), 0, 1)

    def _check_cache(self, kv: str) -> None:
        """Its log says the cache's types: a field written to the wrong place must not go unnoticed."""
        lines = [line for line in self._owner.log if "K (" in line and "V (" in line]
        if not lines or any(f"K ({kv})" not in line or f"V ({kv})" not in line for line in lines):
            raise FieldNotFound(f"llama.cpp does not say that its cache is {kv}: {lines}")

    def forget(self) -> None:
        """Empty the cache."""
        self._c.llama_memory_clear(self._c.llama_get_memory(self._context), True)

    def decode(self, tokens: npt.NDArray[np.int32], first: int, *, all_logits: bool = False) -> None:
        """Compute tokens at positions from `first` on, and wait for the end. The logits of the last one,
        or of all, are computed. Raises `RuntimeError`."""
        batch, count = self._batch, len(tokens)
        for place, token in enumerate(tokens.tolist()):
            batch.token[place] = token
            batch.pos[place] = first + place
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = 0
            batch.logits[place] = all_logits or place == count - 1
        batch.n_tokens = count
        if status := self._c.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode: {status}\n" + "\n".join(self._owner.log[-5:]))
        self._c.llama_synchronize(self._context)

    def logits(self, row: int = -1) -> npt.NDArray[np.float32]:
        """The logits of one row of the last batch (-1: the last one): float32 [vocab], a view."""
        pointer = self._c.llama_get_logits_ith(self._context, row)
        if not pointer:
            raise RuntimeError(f"llama.cpp has no logits for row {row}")
        return np.ctypeslib.as_array(pointer, (self.vocab,))

    def all_logits(self, tokens: npt.NDArray[np.int32], rows: int = 64) -> npt.NDArray[np.float32]:
        """Logits after every token of a fresh sequence: float32 [tokens, vocab]."""
        self.forget()
        found = np.empty((len(tokens), self.vocab), np.float32)
        for first in range(0, len(tokens), rows):
            part = tokens[first : first + rows]
            self.decode(part, first, all_logits=True)
            for row in range(len(part)):
                found[first + row] = self.logits(row)
        return found

    def close(self) -> None:
        """Free everything."""
        self._c.llama_batch_free(self._batch)
        self._c.llama_free(self._context)
        self._c.llama_model_free(self._model)
