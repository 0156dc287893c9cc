"""Norms and activations, each row alone: in place, in float32, in an order that rows do not change."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swarmnode.inference.stage.layer_tensors import Norm

Floats = npt.NDArray[np.float32]

_ROOT_2_OVER_PI = np.float32((2 / np.pi) ** 0.5)
_CUBIC = np.float32(0.044715)


def normalise(rows: Floats, weight: Floats, epsilon: np.float32, out: Floats) -> None:
    """RMSNorm (arXiv 1910.07467) over the last axis: out = rows / sqrt(mean(rows**2) + eps) * weight."""
    np.multiply(rows, rows, out=out)
    mean = np.add.reduce(out, axis=-1, keepdims=True)
    mean /= np.float32(rows.shape[-1])
    mean += epsilon
    np.sqrt(mean, out=mean)
    np.divide(rows, mean, out=out)
    out *= weight


def apply_norm(rows: Floats, norm: Norm, epsilon: np.float32, out: Floats) -> None:
    """RMSNorm, or where the norm has a bias LayerNorm (arXiv 1607.06450), over the last axis.

    rows and out: float32 [n, width], not the same memory."""
    if norm.bias is None:
        normalise(rows, norm.weight, epsilon, out)
        return
    mean = np.add.reduce(rows, axis=-1, keepdims=True)
    mean /= np.float32(rows.shape[-1])
    centred = rows - mean
    normalise(centred, norm.weight, epsilon, out)
    out += norm.bias


def silu(values: Floats, out: Floats) -> None:
    """out = values / (1 + exp(-values)) (arXiv 1606.08415)."""
    np.negative(values, out=out)
    np.exp(out, out=out)
    out += np.float32(1)
    np.divide(values, out, out=out)


def gelu(values: Floats, out: Floats) -> None:
    """out = values / 2 * (1 + tanh(sqrt(2 / pi) * (values + 0.044715 * values**3))), the tanh
    approximation of arXiv 1606.08415."""
    np.multiply(values, values, out=out)
    out *= _CUBIC
    out += np.float32(1)
    out *= values
    out *= _ROOT_2_OVER_PI
    np.tanh(out, out=out)
    out += np.float32(1)
    out *= values
    out *= np.float32(0.5)


def soft_cap(values: Floats, cap: float) -> None:
    """values = cap * tanh(values / cap), in place (arXiv 2408.00118); a cap of 0 changes nothing."""
    if cap:
        values *= np.float32(1 / cap)
        np.tanh(values, out=values)
        values *= np.float32(cap)
