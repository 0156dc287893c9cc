"""Instruction sets that kernels are compiled for, and what this machine has."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm


@dataclass(frozen=True, slots=True)
class Target:
    """One way to compile all kernels.

    name: what users and tests call it. cpu, features: as LLVM takes them. dot: which code multiplies
    bytes (see `dots`). registers: vectors of 16 float32 that fit in registers, for tile sizes. halves:
    whether float16 is widened by an instruction. triple: of another machine; empty for this one. optimised:
    whether LLVM may work at it.
    """

    name: str
    cpu: str
    features: str
    dot: str
    registers: int
    halves: bool
    triple: str = ""
    optimised: bool = True


_X86_512 = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512cd,+fma,+f16c,+avx2,-prefer-256-bit"

#: Best first.
TARGETS = (
    Target("avx512-vnni", "skylake-avx512", _X86_512 + ",+avx512vnni", "vnni", 32, True),
    Target("avx512", "skylake-avx512", _X86_512, "avx512", 32, True),
    Target("avx2", "haswell", "+avx2,+fma,+f16c", "avx2", 8, True),
    Target("neon", "generic", "+neon,+dotprod,+fp-armv8", "neon", 8, True),
    Target("portable", "", "", "portable", 4, False),
)
#: What all others are compared with: plain operations, translated as they are written.
REFERENCE = Target("reference", "", "", "portable", 4, False, optimised=False)
_NEEDS = {
    "avx512-vnni": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512vnni", "fma", "f16c"),
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "fma", "f16c"),
    "avx2": ("avx2", "fma", "f16c"),
    "neon": ("neon", "dotprod"),
    "portable": (),
}


def target(name: str) -> Target:
    """The target of that name; raises `KeyError`."""
    return {one.name: one for one in TARGETS}[name]


@cache
def available() -> tuple[Target, ...]:
    """What this machine can run, the best first; `portable` is always among them."""
    features = dict(llvm.get_host_cpu_features())
    if platform.system() == "Darwin" and _is_arm():
        features |= {"neon": True, "dotprod": True}  # LLVM need not know; every Apple processor has them
    return tuple(
        one for one in TARGETS if _fits(one) and all(features.get(need) for need in _NEEDS[one.name])
    )


def _fits(one: Target) -> bool:
    arm = _is_arm()
    return arm if one.name == "neon" else (not arm or one.name == "portable")


def _is_arm() -> bool:
    return platform.machine().lower() in ("aarch64", "arm64")
