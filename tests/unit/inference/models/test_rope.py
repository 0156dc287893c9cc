"""Rotary positions against the definition, and against a converter's factors for Llama 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.models.rope import Rotation, plain_speeds, read_speeds
from swarmnode.inference.models.rope_scaling import llama3_scaled, yarn_scaled
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.models.keys import Keys
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused

PLAIN = 10000.0 ** (-np.arange(0, 16, 2) / 16)


def speeds(folder: Path, **metadata: object) -> np.ndarray:
    path = write_random_model(folder / "random.gguf", RandomModel(layers=1), **metadata)
    with GgufFile(path) as gguf:
        return read_speeds(gguf, Keys(gguf, "llama"), 16).everywhere


@pytest.mark.parametrize("pairs", [True, False])
def test_a_turn_is_a_multiplication_of_complex_numbers(pairs: bool) -> None:
    heads = np.random.default_rng(1).standard_normal((3, 5, 8)).astype(np.float32)
    positions, rates = np.array([0, 3, 1000]), np.array([1.0, 0.5, 0.01])  # two of eight stay as they are
    real, imaginary = (heads[..., 0:6:2], heads[..., 1:6:2]) if pairs else (heads[..., 0:3], heads[..., 3:6])
    turned = (real + 1j * imaginary) * np.exp(1j * positions[:, None, None] * rates)
    rest = heads[..., 6:].copy()
    Rotation(positions, rates, pairs).turn(heads)
    np.testing.assert_allclose(real, turned.real, atol=1e-6)
    np.testing.assert_allclose(imaginary, turned.imag, atol=1e-6)
    np.testing.assert_array_equal(heads[..., 6:], rest)


def test_a_row_turns_the_same_alone() -> None:
    heads = np.random.default_rng(2).standard_normal((9, 2, 16)).astype(np.float32)
    alone = heads.copy()
    Rotation(np.arange(9) * 77, PLAIN, True).turn(heads)
    for row in range(9):
        Rotation(np.array([row * 77]), PLAIN, True).turn(alone[row : row + 1])
    np.testing.assert_array_equal(heads.view(np.uint32), alone.view(np.uint32))


def test_a_factor_lengthens_what_is_turned() -> None:
    heads = np.random.default_rng(3).standard_normal((4, 2, 16)).astype(np.float32)
    longer = heads.copy()
    Rotation(np.arange(4), PLAIN, False).turn(heads)
    Rotation(np.arange(4), PLAIN, False, 1.5).turn(longer)
    np.testing.assert_allclose(longer, 1.5 * heads, rtol=1e-5, atol=1e-6)


def test_local_layers_have_a_base_of_their_own_and_no_scaling(tmp_path: Path) -> None:
    scaled = {"rope__freq_base": 1e6, "rope__scaling__factor": 8.0, "rope__scaling__type": "linear"}
    path = write_random_model(tmp_path / "random.gguf", RandomModel(layers=1), **scaled)
    with GgufFile(path) as gguf:
        alike, apart = (read_speeds(gguf, Keys(gguf, "llama"), 16, base) for base in (None, 10000.0))
    assert alike.local is alike.everywhere
    np.testing.assert_allclose(apart.everywhere, plain_speeds(16, 1e6) / 8, rtol=1e-15)
    np.testing.assert_allclose(apart.local, PLAIN, rtol=1e-15)
    path = write_random_model(
        tmp_path / "random.gguf", RandomModel(layers=1), rope__freq_base_swa=500.0, **scaled
    )
    with GgufFile(path) as gguf:
        said = read_speeds(gguf, Keys(gguf, "llama"), 16, 10000.0).local
    np.testing.assert_allclose(said, plain_speeds(16, 500.0), rtol=1e-15)


def test_speeds_without_scaling(tmp_path: Path) -> None:
    np.testing.assert_allclose(speeds(tmp_path), PLAIN, rtol=1e-15)
    faster = speeds(tmp_path, rope__freq_base=500000.0)
    np.testing.assert_allclose(faster, 500000.0 ** (-np.arange(0, 16, 2) / 16), rtol=1e-15)


@pytest.mark.parametrize(
    "metadata",
    [
        {"rope__scaling__type": "linear", "rope__scaling__factor": 4.0},
        {"rope__scaling__factor": 4.0},
        {"rope__scale_linear": 4.0},
    ],
)
def test_linear_scaling(tmp_path: Path, metadata: dict[str, object]) -> None:
    np.testing.assert_allclose(speeds(tmp_path, **metadata), PLAIN / 4, rtol=1e-15)


def test_a_factor_of_nought_or_the_word_none_is_no_scaling(tmp_path: Path) -> None:
    np.testing.assert_array_equal(speeds(tmp_path, rope__scaling__factor=0.0), speeds(tmp_path))
    ignored = speeds(tmp_path, rope__scaling__type="none", rope__scaling__factor=4.0)
    np.testing.assert_array_equal(ignored, speeds(tmp_path))


def test_llama3_scaling_equals_the_converters_factors(shared: Path, tmp_path: Path) -> None:
    """The file's factors were written by llama.cpp's converter for factor 8, 1, 4, 64 positions."""
    with GgufFile(shared / "data/tiny-models/Llama3rope.f32.gguf") as gguf:
        by_tensor = read_speeds(gguf, Keys(gguf, "llama"), 16).everywhere
    assert not np.allclose(by_tensor, PLAIN)
    np.testing.assert_allclose(
        llama3_scaled(PLAIN, factor=8, low=1, high=4, original=64), by_tensor, rtol=1e-6
    )
    by_metadata = speeds(
        tmp_path,
        rope__scaling__type="llama3",
        rope__scaling__factor=8.0,
        rope__scaling__low_freq_factor=1.0,
        rope__scaling__high_freq_factor=4.0,
        rope__scaling__original_context_length=64,
    )
    np.testing.assert_allclose(by_metadata, by_tensor, rtol=1e-6)


def test_scalings_of_later_are_refused_by_name(tmp_path: Path) -> None:
    for metadata, named in (
        ({"rope__scaling__type": "dynamic"}, "dynamic"),
        ({"rope__scaling__type": "yarn", "rope__scaling__yarn_log_multiplier": 0.1}, "yarn_log_multiplier"),
    ):
        with pytest.raises(Refused, match=named) as caught:
            speeds(tmp_path, **metadata)
        assert caught.value.code == "unsupported_rope_scaling"


def test_yarn_keeps_the_fast_and_slows_the_slow() -> None:
    plain = plain_speeds(128, 10000.0)
    slow = yarn_scaled(plain, base=10000.0, factor=4, original=4096, fast=32, slow=1)
    # turns in 4096 positions: more than 32 up to pair 20, less than one from pair 46 on
    assert 4096 * plain[20] / (2 * np.pi) > 32 > 4096 * plain[21] / (2 * np.pi)
    assert 4096 * plain[45] / (2 * np.pi) > 1 > 4096 * plain[46] / (2 * np.pi)
    np.testing.assert_array_equal(slow[:21], plain[:21])
    np.testing.assert_allclose(slow[46:], plain[46:] / 4)
    ratio = slow / plain
    np.testing.assert_allclose(ratio[20:47], np.linspace(1, 0.25, 27))


def test_yarn_of_a_header(tmp_path: Path) -> None:
    said = {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0}
    path = write_random_model(
        tmp_path / "random.gguf",
        RandomModel(layers=1),
        **said,
        rope__scaling__original_context_length=128,
        rope__scaling__attn_factor=1.5,
    )
    with GgufFile(path) as gguf:
        read = read_speeds(gguf, Keys(gguf, "llama"), 16)
    expected = yarn_scaled(PLAIN, base=10000.0, factor=4, original=128, fast=32, slow=1)
    np.testing.assert_allclose(read.everywhere, expected)
    assert read.factor == pytest.approx(1.5 * (1 + 0.1 * np.log(4)))


@pytest.mark.parametrize(("original", "taken"), [(511, 3.0), (512, 2.0)])
def test_longrope_takes_the_long_factors_for_a_long_context(
    tmp_path: Path, original: int, taken: float
) -> None:
    path = write_random_model(
        tmp_path / "random.gguf",
        RandomModel(layers=1, long_factors=True),
        rope__scaling__original_context_length=original,
        rope__scaling__attn_factor=1.25,
    )
    with GgufFile(path) as gguf:
        read = read_speeds(gguf, Keys(gguf, "llama"), 16)
        ratio = PLAIN / read.everywhere
        assert ratio[0] == pytest.approx(taken) and read.factor == 1.25
        del gguf.tensors["rope_factors_long.weight"], gguf.tensors["rope_factors_short.weight"]
        np.testing.assert_array_equal(read_speeds(gguf, Keys(gguf, "llama"), 16).everywhere, PLAIN)
        gguf.metadata._values["llama.rope.scaling.type"] = "longrope"
        with pytest.raises(BadModelFile, match="has no tensor rope_factors_"):
            read_speeds(gguf, Keys(gguf, "llama"), 16)


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ({"rope__scaling__type": "upwards"}, "rope.scaling.type is 'upwards'"),
        ({"rope__freq_base": float("nan")}, "rope.freq_base is nan"),
        ({"rope__freq_base": -1.0}, "rope.freq_base is -1.0"),
        ({"rope__dimension_count": 18}, "rope.dimension_count is 18"),
        ({"rope__dimension_count": 15}, "odd number"),
    ],
)
def test_absurd_numbers_are_named(tmp_path: Path, metadata: dict[str, object], fault: str) -> None:
    with pytest.raises(BadModelFile, match=fault):
        speeds(tmp_path, **metadata)
