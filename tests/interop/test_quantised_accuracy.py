"""Quantised weights against float32 products of the same weights, beside llama.cpp's own error.

The reference is llama.cpp on a float32 file of the dequantised weights; another implementation (the numpy
stage) confirms it. Both engines then run the packed file over 5,120 teacher-forced positions a family
and type.
`SWARMNODE_ACCURACY_STAGE` names another stage to judge (`module:function`, called as `load_stage` is).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.llama_cpp import LlamaCpp, find_library
from benchmarks.models import write_model
from benchmarks.shapes import ACCURACY

pytest.importorskip("xllamacpp", reason="llama.cpp (xllamacpp) is not installed")

#: The stage that is judged.
STAGE = os.environ.get("SWARMNODE_ACCURACY_STAGE", accuracy.STAGE)
FAMILIES = tuple(ACCURACY)
#: Two implementations of float32 agree so far: float16 tables of GELU in llama.cpp leave 1e-6.
F32_KL, F32_WORST = 2e-6, 0.02
#: The largest differences of a mixture, over llama.cpp's, where both are made by other experts.
MIXTURE_WORST = 1.5


@pytest.fixture(scope="module")
def llama_cpp() -> LlamaCpp:
    return LlamaCpp(find_library())


def expected_wrong(theirs: int) -> float:
    """As many clear positions may be wrong as are with llama.cpp, and three standard deviations more."""
    return theirs + 3 * math.sqrt(theirs + 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_farther_from_float32_than_llama_cpp(tmp_path: Path, llama_cpp: LlamaCpp, family: str) -> None:
    worst: list[float] = []
    for weights in accuracy.WEIGHTS:
        result = accuracy.compare(tmp_path, family, weights, llama_cpp, STAGE, {"kv": "f32"})
        ours, theirs = result.ours, result.theirs
        assert ours.positions >= 1000 and ours.clear > 500
        assert theirs.kl > 1e-5, "llama.cpp rounds activations: the comparison would be empty without that"
        assert ours.kl_median <= accuracy.ALLOWANCE * theirs.kl_median
        assert ours.wrong <= expected_wrong(theirs.wrong)
        worst.append(ours.worst_of_each / theirs.worst_of_each)
        # In a mixture a rounding may change which expert is asked: the few positions where it does are
        # farther off by orders of magnitude and make the mean a matter of luck.
        if not ACCURACY[family].experts:
            assert ours.kl <= accuracy.ALLOWANCE * theirs.kl
    assert sum(worst) / len(worst) <= (MIXTURE_WORST if ACCURACY[family].experts else accuracy.ALLOWANCE)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_is_confirmed_by_another_implementation(
    tmp_path: Path, llama_cpp: LlamaCpp, family: str
) -> None:
    path = write_model(tmp_path / "plain.gguf", ACCURACY[family], "Q4_K_M", unpacked=True)
    found = accuracy.distance(
        accuracy.logits_of_llama_cpp(path, llama_cpp),
        accuracy.logits_of_stage(path, accuracy.REFERENCE_STAGE, {"kv": "f32", "residual": "f32"}),
    )
    assert found.kl < F32_KL and found.worst_top < F32_WORST
    assert found.wrong == 0


def test_the_packed_file_and_the_plain_one_hold_the_same_numbers(tmp_path: Path) -> None:
    packed = write_model(tmp_path / "packed.gguf", ACCURACY["llama"], "Q4_K_M")
    plain = write_model(tmp_path / "plain.gguf", ACCURACY["llama"], "Q4_K_M", unpacked=True)
    options = {"kv": "f32", "residual": "f32", "max_dequantised_bytes": 1 << 30}
    assert np.array_equal(
        accuracy.logits_of_stage(packed, accuracy.REFERENCE_STAGE, options),
        accuracy.logits_of_stage(plain, accuracy.REFERENCE_STAGE, options),
    )
