"""Kernels use the instructions they were written for. Compiling needs no machine that has them."""

from __future__ import annotations

import platform
from dataclasses import replace
from functools import cache

import pytest

from swarmnode.inference.kernels.formats import FORMATS
from swarmnode.inference.kernels.jit import machine_of, optimised
from swarmnode.inference.kernels.matmul import matmul
from swarmnode.inference.kernels.targets import TARGETS, Target, target

TRIPLES = {"neon": "aarch64-linux-gnu", "portable": ""}


def elsewhere(name: str) -> Target:
    """The target, for a processor that this machine need not have."""
    return replace(target(name), triple=TRIPLES.get(name, "x86_64-unknown-linux-gnu"))


@cache
def assembly(name: str, format: str) -> str:
    one = elsewhere(name)
    kernel, build = matmul(FORMATS[format], one)
    return str(machine_of(one).emit_assembly(optimised(one, build, kernel)))


@pytest.mark.parametrize("format", ["Q4_K", "Q8_0"])
@pytest.mark.parametrize(
    ("name", "instruction", "register"),
    [
        ("avx512-vnni", "vpdpbusd", "zmm"),
        ("avx512", "vpmaddwd", "zmm"),
        ("avx2", "vpmaddwd", "ymm"),
        ("neon", "sdot", ".16b"),
    ],
)
def test_products_of_bytes(name: str, instruction: str, register: str, format: str) -> None:
    lines = [line for line in assembly(name, format).splitlines() if instruction in line]
    assert lines and all(register in line for line in lines)


@pytest.mark.parametrize("name", ["avx512", "avx2"])
@pytest.mark.parametrize("format", ["Q4_K", "Q4_0"])
def test_small_weights_are_multiplied_as_bytes(name: str, format: str) -> None:
    assert "vpmaddubsw" in assembly(name, format)


@pytest.mark.parametrize("name", [one.name for one in TARGETS if one.name != "portable"])
def test_sums_of_floats_are_fused(name: str) -> None:
    assert ("fmla" if name == "neon" else "vfmadd") in assembly(name, "F32")
    assert "call" not in assembly(name, "F32") and "\tbl\t" not in assembly(name, "F32")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="portable is this machine's own")
def test_portable_needs_nothing_special() -> None:
    for format in ("Q4_K", "Q8_0", "F32"):
        text = assembly("portable", format)
        assert "ymm" not in text and "zmm" not in text and "vpmadd" not in text
