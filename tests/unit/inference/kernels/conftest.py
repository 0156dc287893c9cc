"""Calling one kernel by hand, on every instruction set that this machine has."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from swarmnode.inference.kernels.jit import Build, Jit
from swarmnode.inference.kernels.program import address_of
from swarmnode.inference.kernels.targets import REFERENCE, Target, available

_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Machine:
    """One instruction set. `run` calls a kernel; arrays among the arguments stand for their addresses."""

    def __init__(self, target: Target, cache: Path) -> None:
        self.target, self.jit = target, Jit(target, cache)

    def run(
        self, kernel: tuple[str, Build], arguments: list[int | np.ndarray], items: int, first: int = 0
    ) -> None:
        fields = [address_of(one) if isinstance(one, np.ndarray) else int(one) for one in arguments]
        table = np.array(fields, np.int64)
        _SIGNATURE(self.jit.address(*kernel))(address_of(table), first, items)

    def apply(self, name: str, build: Callable[[ir.Module], None], *arguments: np.ndarray) -> None:
        """Run a function of a test's own, `void(i64 arguments, i64, i64)`, once."""
        jit = Jit(self.target)
        table = np.array([address_of(one) for one in arguments], np.int64)
        _SIGNATURE(jit.address(name, build))(address_of(table), 0, 1)


@pytest.fixture(params=[*available(), REFERENCE], ids=lambda target: target.name)
def machine(request: pytest.FixtureRequest, kernel_cache: Path) -> Machine:
    return Machine(request.param, kernel_cache)


@pytest.fixture
def best(kernel_cache: Path) -> Machine:
    """The instruction set that is used here; all others give the same bits (test_self_check)."""
    return Machine(available()[0], kernel_cache)
