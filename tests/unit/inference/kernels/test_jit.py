"""From IR to machine code and back from the disk."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np
from llvmlite import ir

from swarmnode.inference.kernels import jit as jit_module
from swarmnode.inference.kernels.code import F32, Code
from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.program import address_of
from swarmnode.inference.kernels.targets import REFERENCE, available, target

PORTABLE = target("portable")


def times_two(name: str = "times_two") -> tuple[str, jit_module.Build]:
    def build(module: ir.Module) -> None:
        code = Code(module, name, 1)
        (at,) = code.arguments
        code.store(code.load(F32, at) * 2.0, at)
        code.end()

    return name, build


def works(address: int) -> bool:
    number = np.array([21], np.float32)
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)(address_of(number))
    return float(number[0]) == 42.0


def test_a_function_is_compiled_once_and_then_loaded(tmp_path: Path) -> None:
    first = Jit(PORTABLE, tmp_path)
    assert works(first.address(*times_two()))
    assert first.address(*times_two()) == first.address(*times_two())
    assert (first.compiled, first.loaded) == (1, 0)
    second = Jit(PORTABLE, tmp_path)
    assert works(second.address(*times_two()))
    assert (second.compiled, second.loaded) == (0, 1)


def test_every_target_has_its_own_code(tmp_path: Path) -> None:
    for number, one in enumerate((*available(), REFERENCE)):
        jit = Jit(one, tmp_path)
        assert works(jit.address(*times_two()))
        assert (jit.compiled, jit.loaded) == (1, 0)
        assert len(list(tmp_path.iterdir())) == number + 1


def test_damaged_code_is_compiled_again(tmp_path: Path) -> None:
    Jit(PORTABLE, tmp_path).address(*times_two())
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    path.write_bytes(good[:-7] + b"garbage")
    again = Jit(PORTABLE, tmp_path)
    assert works(again.address(*times_two())) and again.compiled == 1
    assert path.read_bytes()[:32] == good[:32]


def test_another_source_another_file(tmp_path: Path, monkeypatch) -> None:
    Jit(PORTABLE, tmp_path).address(*times_two())
    monkeypatch.setattr(jit_module, "source_digest", lambda: "changed")
    other = Jit(PORTABLE, tmp_path)
    assert works(other.address(*times_two())) and other.compiled == 1
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("changed-")


def test_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "file" / "below"):
        (tmp_path / "file").write_text("in the way")
        for _ in range(2):
            jit = Jit(PORTABLE, folder)
            assert works(jit.address(*times_two())) and jit.compiled == 1


def test_progress_counts_modules(tmp_path: Path) -> None:
    for _ in range(2):  # compiled, then loaded
        told: list[int] = []
        jit = Jit(PORTABLE, tmp_path, told.append)
        for name in ("one", "two", "one", "three"):
            jit.address(*times_two(name))
        assert told == [1, 2, 3]


def test_threads_share_a_compiler(tmp_path: Path) -> None:
    jit, found = Jit(PORTABLE, tmp_path), []
    names = ["a", "b", "c"] * 3

    def work(name: str) -> None:
        found.append((name, jit.address(*times_two(name))))

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 3 and len(found) == 9 and jit.compiled == 3
    assert all(works(address) for _, address in found)


def test_the_digest_names_the_source() -> None:
    assert len(jit_module.source_digest()) == 32
    assert jit_module.source_digest() == jit_module.source_digest()
