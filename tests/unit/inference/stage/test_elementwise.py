"""Norms, activations and caps against torch's own, and each row as if it were alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from swarmnode.inference.stage.elementwise import apply_norm, gelu, silu, soft_cap
from swarmnode.inference.stage.layer_tensors import Norm

ROWS = np.random.default_rng(1).standard_normal((9, 99)).astype(np.float32) * 4
WEIGHT, BIAS = np.random.default_rng(2).standard_normal((2, 99)).astype(np.float32)
EPSILON = np.float32(1e-5)

Function = Callable[[np.ndarray, np.ndarray], None]


def rms(rows: np.ndarray, out: np.ndarray) -> None:
    apply_norm(rows, Norm(WEIGHT), EPSILON, out)


def layer(rows: np.ndarray, out: np.ndarray) -> None:
    apply_norm(rows, Norm(WEIGHT, BIAS), EPSILON, out)


def capped(rows: np.ndarray, out: np.ndarray) -> None:
    out[...] = rows
    soft_cap(out, 2.5)


def by_torch(name: str) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rows, weight, bias = (torch.from_numpy(each).double() for each in (ROWS, WEIGHT, BIAS))
    functional = torch.nn.functional
    results = {
        "rms": lambda: functional.rms_norm(rows, (99,), weight, 1e-5),
        "layer": lambda: functional.layer_norm(rows, (99,), weight, bias, 1e-5),
        "silu": lambda: functional.silu(rows),
        "gelu": lambda: functional.gelu(rows, approximate="tanh"),
        "capped": lambda: 2.5 * torch.tanh(rows / 2.5),
    }
    return results[name]().numpy()


FUNCTIONS: dict[str, Function] = {"rms": rms, "layer": layer, "silu": silu, "gelu": gelu, "capped": capped}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_torch(name: str) -> None:
    out = np.empty_like(ROWS)
    FUNCTIONS[name](ROWS, out)
    np.testing.assert_allclose(out, by_torch(name), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_alone_has_the_same_bits(name: str) -> None:
    whole, alone = np.empty_like(ROWS), np.empty_like(ROWS)
    FUNCTIONS[name](ROWS, whole)
    for row in range(len(ROWS)):
        FUNCTIONS[name](ROWS[row : row + 1], alone[row : row + 1])
    np.testing.assert_array_equal(alone.view(np.uint32), whole.view(np.uint32))


def test_no_cap_changes_nothing() -> None:
    rows = ROWS.copy()
    soft_cap(rows, 0.0)
    np.testing.assert_array_equal(rows, ROWS)


@pytest.mark.parametrize("function", [silu, gelu])
def test_large_numbers_stay_numbers(function: Function) -> None:
    values = np.array([[-1e5, -100.0, 0.0, 100.0, 1e5]], np.float32)
    out = np.empty_like(values)
    with np.errstate(all="ignore"):
        function(values, out)
    np.testing.assert_array_equal(np.maximum(values, 0), out)
