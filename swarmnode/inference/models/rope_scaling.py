"""How rotary positions are slowed for texts longer than a model was first trained on.

Sources: arXiv 2306.15595 (linear interpolation), arXiv 2309.00071 (YaRN), arXiv 2402.13753 (LongRoPE),
the Llama 3.1 model card and its reference code (frequency-dependent scaling). What the metadata mean
is what they mean to llama.cpp.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from math import ceil, floor, log, pi

import numpy as np
import numpy.typing as npt

from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.models.keys import Keys
from swarmnode.values.errors import Refused

Speeds = npt.NDArray[np.float64]

FACTORS = "rope_freqs.weight"
LONG_FACTORS, SHORT_FACTORS = "rope_factors_long.weight", "rope_factors_short.weight"
#: Decimal digits of a result before it becomes a float64: 17 would do for all but the unlucky.
EXACT_DIGITS = 40
KINDS = ("none", "linear", "llama3", "yarn", "longrope")
LATER_KINDS = ("dynamic",)
#: What no model of our families says; elsewhere it changes what the other numbers mean.
LATER_YARN_KEYS = ("yarn_ext_factor", "yarn_attn_factor", "yarn_log_multiplier")
MAX_POSITIONS = 1 << 30
MAX_FACTOR = 1e6


def read_factors(gguf: GgufFile, keys: Keys, pairs: int) -> Speeds:
    """What each pair's speed is divided by, where the file has a tensor of that: float64 [pairs].

    Of LongRoPE's two tensors the long one is taken when the model's whole context is longer than its
    first training had it, whatever the length of this text: so every stage of a model turns alike, and
    a text that grows is not turned anew. llama.cpp, given the whole context, does the same.
    """
    if FACTORS in gguf.tensors:
        return _tensor(gguf, FACTORS, pairs)
    kind = keys.text("rope.scaling.type", KINDS + LATER_KINDS, default="linear")
    if LONG_FACTORS not in gguf.tensors and SHORT_FACTORS not in gguf.tensors and kind != "longrope":
        return np.ones(pairs)
    context = keys.integer("context_length", 1, MAX_POSITIONS)
    return _tensor(gguf, LONG_FACTORS if context > _original(keys) else SHORT_FACTORS, pairs)


def _tensor(gguf: GgufFile, name: str, pairs: int) -> Speeds:
    tensor = gguf.tensors.get(name)
    if tensor is None:
        raise BadModelFile(gguf.path, f"has no tensor {name}")
    if tensor.type_name != "F32" or tensor.shape != (pairs,):
        raise BadModelFile(gguf.path, f"{name} is not {pairs} numbers of type F32")
    factors = np.frombuffer(gguf.data(tensor), np.float32).astype(np.float64)
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise BadModelFile(gguf.path, f"{name} holds numbers that are not positive")
    return factors


def scaled(plain: Speeds, base: float, gguf: GgufFile, keys: Keys) -> tuple[Speeds, float]:
    """(speeds with all scaling, the factor of sines and cosines) for speeds without.

    Raises `Refused` for scalings that are not supported, `BadModelFile` for absurd numbers.
    """
    kind = keys.text("rope.scaling.type", KINDS + LATER_KINDS, default="linear")
    stretch = keys.number("rope.scaling.attn_factor", 1e-3, MAX_FACTOR, default=1.0)
    if kind in LATER_KINDS:
        raise _refused(gguf, f"rotary positions scaled by {kind!r}")
    if kind == "none":
        return plain, stretch
    if kind == "llama3":
        return llama3_scaled(
            plain,
            factor=_factor(keys),
            low=keys.number("rope.scaling.low_freq_factor", 1e-3, 1e6, default=1.0),
            high=keys.number("rope.scaling.high_freq_factor", 1e-3, 1e6, default=4.0),
            original=keys.integer("rope.scaling.original_context_length", 1, MAX_POSITIONS, default=8192),
        ), stretch
    if kind != "yarn":  # LongRoPE's factors are in tensors; some files slow all of it besides
        return plain / _factor(keys), stretch
    for name in LATER_YARN_KEYS:
        if keys.has(f"rope.scaling.{name}"):
            raise _refused(gguf, f"the scaling of rotary positions by {name}")
    factor = _factor(keys)
    speeds = yarn_scaled(
        plain,
        base=base,
        factor=factor,
        original=_original(keys),
        fast=keys.number("rope.scaling.yarn_beta_fast", 1e-3, 1e6, default=32.0),
        slow=keys.number("rope.scaling.yarn_beta_slow", 1e-3, 1e6, default=1.0),
    )
    return speeds, stretch * (1 + 0.1 * _exact_log(factor) if factor > 1 else 1.0)


def _exact_log(number: float) -> float:
    """The natural logarithm, rounded rightly: the same bits on every machine."""
    with localcontext(Context(prec=EXACT_DIGITS)):
        return float(Decimal(number).ln())


def _refused(gguf: GgufFile, what: str) -> Refused:
    return Refused(
        f"{gguf.path.name}: {what} is not supported yet",
        code="unsupported_rope_scaling",
        hint=f"Choose a file whose positions are scaled by one of these: {', '.join(KINDS)}.",
    )


def _factor(keys: Keys) -> float:
    """The scaling factor; 0 stands for none in files of old converters."""
    for name in ("rope.scaling.factor", "rope.scale_linear"):
        if keys.has(name):
            return keys.number(name, 0.0, MAX_FACTOR) or 1.0
    return 1.0


def _original(keys: Keys) -> int:
    """Positions of the texts that the model was first trained on."""
    context = keys.integer("context_length", 1, MAX_POSITIONS)
    return keys.integer("rope.scaling.original_context_length", 1, MAX_POSITIONS, default=context)


def llama3_scaled(plain: Speeds, *, factor: float, low: float, high: float, original: int) -> Speeds:
    """Long waves are slowed by `factor`, short ones kept, those between blended."""
    wavelength = 2 * pi / plain
    kept = (original / wavelength - low) / max(high - low, 1e-9)
    kept = np.clip(kept, 0.0, 1.0)
    return (1 - kept) * plain / factor + kept * plain


def yarn_scaled(
    plain: Speeds, *, base: float, factor: float, original: int, fast: float, slow: float
) -> Speeds:
    """Pairs that turn more than `fast` times in the original length keep their speed, those that turn
    less than `slow` times are slowed by `factor`, those between are blended by their number."""
    size = 2 * plain.size

    def pair(turns: float) -> float:
        """The pair, not a whole number, that turns so often."""
        return size * log(original / (turns * 2 * pi)) / (2 * max(log(base), 1e-9))

    first, last = max(floor(pair(fast)), 0), min(ceil(pair(slow)), size - 1)
    slowed = np.clip((np.arange(plain.size) - first) / max(last - first, 1e-3), 0.0, 1.0)
    return slowed * plain / factor + (1 - slowed) * plain
