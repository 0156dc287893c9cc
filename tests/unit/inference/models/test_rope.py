"""Rotary positions against the definition, and against a converter's factors for Llama 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.models.rope import Rotation, llama3_scaled, plain_speeds, read_speeds
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


@pytest.mark.parametrize("kind", ["yarn", "longrope"])
def test_scalings_of_later_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    with pytest.raises(Refused, match=kind) as caught:
        speeds(tmp_path, rope__scaling__type=kind)
    assert caught.value.code == "unsupported_rope_scaling"


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
