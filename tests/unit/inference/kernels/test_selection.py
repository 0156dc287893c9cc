"""The best instruction set that computes the right bits is chosen, and that is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmnode.inference.kernels import selection
from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.selection import OVERRIDE, Selection
from swarmnode.inference.kernels.targets import TARGETS, target
from swarmnode.values.errors import LocalFault, Refused

OFFERED = tuple(target(name) for name in ("avx512", "avx2", "portable"))
FORMATS = frozenset({"Q4_K"})
CHECKS = ["rows", "halves", "matmul Q4_K", "attention f16"]


class FakeJit(Jit):
    """One that compiles nothing, so that any target can be chosen anywhere."""

    def __init__(self, target, directory=None) -> None:
        self.target = target


class Runs:
    """What was run, and which (target, check) come out wrong."""

    def __init__(self) -> None:
        self.wrong: set[tuple[str, str]] = set()
        self.seen: list[tuple[str, str]] = []

    def __call__(self, jit: Jit, name: str) -> bytes:
        self.seen.append((jit.target.name, name))
        return b"wrong" if (jit.target.name, name) in self.wrong else b"right"

    def of(self, name: str) -> list[str]:
        return [check for target, check in self.seen if target == name]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    found = Runs()
    monkeypatch.setattr(selection, "Jit", FakeJit)
    monkeypatch.setattr(selection, "run_check", found)
    yield found


def choose(cache: Path | None = None, said: list[str] | None = None, name: str = "", **options) -> str:
    environ = {OVERRIDE: name} if name else {}
    log = (said if said is not None else []).append
    options = {"formats": FORMATS, "kv": "f16", **options}
    return (
        Selection(cache=cache, candidates=OFFERED, environ=environ, log=log, **options).choose().target.name
    )


def test_the_best_where_all_is_well(runs: Runs) -> None:
    said: list[str] = []
    assert choose(said=said) == "avx512"
    assert said == ["kernels: avx512"]
    assert runs.of("avx512") == runs.of("reference") == CHECKS
    assert not runs.of("avx2")


@pytest.mark.parametrize("check", CHECKS)
def test_one_that_differs_is_not_used(runs: Runs, check: str) -> None:
    runs.wrong = {("avx512", check), ("avx512", "rows")}
    said: list[str] = []
    assert choose(said=said) == "avx2"
    assert "avx512 is not used" in said[0] and check in said[0]
    assert said[1] == "kernels: avx2"
    assert runs.of("reference") == CHECKS  # computed once


def test_none_that_is_right_is_a_fault(runs: Runs) -> None:
    runs.wrong = {(one.name, "rows") for one in OFFERED}
    with pytest.raises(LocalFault) as caught:
        choose()
    assert caught.value.code == "no_cpu_target" and "avx2" in caught.value.message and caught.value.hint


def test_results_are_remembered(runs: Runs, tmp_path: Path) -> None:
    runs.wrong = {("avx512", "halves")}
    assert choose(tmp_path) == "avx2"
    runs.seen.clear()
    said: list[str] = []
    assert choose(tmp_path, said) == "avx2"
    assert not runs.seen
    assert "avx512 is not used: halves" in said[0]  # and still said by name


def test_only_what_is_new_is_checked(runs: Runs, tmp_path: Path) -> None:
    choose(tmp_path)
    runs.seen.clear()
    assert choose(tmp_path, formats=FORMATS | {"Q6_K"}, kv="q8_0") == "avx512"
    assert runs.of("avx512") == runs.of("reference") == ["matmul Q6_K", "attention q8_0"]
    runs.seen.clear()
    choose(tmp_path)
    assert not runs.seen


@pytest.mark.parametrize("what", ["processor", "source_digest"])
def test_another_processor_or_source_is_checked_anew(
    runs: Runs, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(tmp_path)
    runs.seen.clear()
    monkeypatch.setattr(selection, what, lambda: "another")
    choose(tmp_path)
    assert runs.of("avx512") == CHECKS


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b'"x"', b'{"avx512 rows": 1}', b"\xff"])
def test_damaged_memory_is_no_memory(runs: Runs, tmp_path: Path, content: bytes) -> None:
    choose(tmp_path)
    selection.CodeFiles(tmp_path, selection.source_digest()).write(selection.processor(), content)
    runs.seen.clear()
    assert choose(tmp_path) == "avx512"
    assert runs.of("avx512") == CHECKS


def test_the_environment_names_one(runs: Runs) -> None:
    said: list[str] = []
    assert choose(said=said, name="portable") == "portable"
    assert said == [f"kernels: portable (as {OVERRIDE} says)"]
    assert not runs.of("avx512")


def test_a_named_one_that_is_wrong_is_not_replaced(runs: Runs) -> None:
    runs.wrong = {("avx2", "rows")}
    with pytest.raises(LocalFault) as caught:
        choose(name="avx2")
    assert caught.value.code == "no_cpu_target" and OVERRIDE in caught.value.hint


@pytest.mark.parametrize(
    ("name", "why"), [("neon", "this machine does not have it"), ("sse9", "there is no such target")]
)
def test_names_that_cannot_be_had_are_refused(runs: Runs, name: str, why: str) -> None:
    with pytest.raises(Refused) as caught:
        choose(name=name)
    assert caught.value.code == "bad_cpu_target"
    assert f"{OVERRIDE}={name}" in caught.value.message and why in caught.value.message
    assert "avx512, avx2, portable" in caught.value.hint
    assert not runs.seen


def test_on_this_machine(kernel_cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With real kernels: the best that there is."""
    jit = Selection(frozenset({"Q8_0"}), "f16", kernel_cache, environ={}).choose()
    assert jit.target in TARGETS
    assert capfd.readouterr().err == f"kernels: {jit.target.name}\n"
    assert selection.processor() == selection.processor() != ""
