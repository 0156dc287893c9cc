"""Which instruction sets there are."""

from __future__ import annotations

import llvmlite.binding as llvm
import pytest

from swarmnode.inference.kernels import targets
from swarmnode.inference.kernels.targets import TARGETS, available, target

INTEL = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "fma", "f16c", "avx2"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Make this machine another one."""

    def be(name: str, *features: str, system: str = "Linux") -> list[str]:
        monkeypatch.setattr(targets.platform, "system", lambda: system)
        monkeypatch.setattr(targets.platform, "machine", lambda: name)
        monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: dict.fromkeys(features, True))
        available.cache_clear()
        found = [one.name for one in available()]
        available.cache_clear()
        return found

    yield be
    available.cache_clear()


def test_the_best_first_and_portable_always(machine) -> None:
    assert machine("x86_64", *INTEL, "avx512vnni") == ["avx512-vnni", "avx512", "avx2", "portable"]
    assert machine("x86_64", *INTEL) == ["avx512", "avx2", "portable"]
    assert machine("AMD64", "avx2", "fma", "f16c") == ["avx2", "portable"]
    assert machine("x86_64", "avx2", "fma") == ["portable"]
    assert machine("aarch64", "neon", "dotprod") == ["neon", "portable"]
    assert machine("arm64", "neon") == ["portable"]
    assert machine("arm64", system="Darwin") == ["neon", "portable"]
    assert machine("x86_64", system="Darwin") == ["portable"]
    assert machine("riscv64") == ["portable"]


def test_names_are_known() -> None:
    assert len({one.name for one in TARGETS}) == len(TARGETS)
    assert target("avx2").dot == "avx2"
    with pytest.raises(KeyError):
        target("sse9")
