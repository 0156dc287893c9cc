"""Random blocks, against the gguf package's own dequantisation."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from benchmarks.blocks import packed_bytes, random_tensor

SPREAD = 0.02
KINDS = ("F32", "F16", "Q8_0", "Q4_K", "Q5_K", "Q6_K")


def unpacked(kind: str, seed: int = 3, shape: tuple[int, ...] = (2, 64, 1024)) -> np.ndarray:
    data = random_tensor(kind, shape, SPREAD, np.random.default_rng(seed))
    assert data.dtype == np.uint8 and data.nbytes == packed_bytes(kind, shape)
    values = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    return np.asarray(values, np.float32).reshape(shape)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_finite_centred_and_as_spread_as_asked(kind: str) -> None:
    values = unpacked(kind)
    assert np.isfinite(values).all()
    assert values.std() == pytest.approx(SPREAD, rel=0.02)
    assert abs(values.mean()) < 0.05 * SPREAD


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K"])
def test_sub_blocks_are_centred(kind: str) -> None:
    means = unpacked(kind).reshape(-1, 32).mean(axis=1)
    assert means.std() == pytest.approx(SPREAD / 32**0.5, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    assert np.array_equal(unpacked(kind, 3), unpacked(kind, 3))
    assert not np.array_equal(unpacked(kind, 3), unpacked(kind, 4))


def test_quantisers_write_no_minus_128() -> None:
    data = random_tensor("Q8_0", (64, 1024), SPREAD, np.random.default_rng(1))
    assert data.reshape(-1, 34)[:, 2:].view(np.int8).min() == -127


def test_rows_must_be_whole_blocks() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        random_tensor("Q4_K", (4, 128), SPREAD, np.random.default_rng(1))
