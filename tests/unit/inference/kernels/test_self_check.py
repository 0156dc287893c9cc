"""All instruction sets give the same bits, and the checks would see it if one did not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.kernels import dots, self_check
from swarmnode.inference.kernels.check_memory import CHECK_BYTES, Check
from swarmnode.inference.kernels.formats import FORMATS
from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.self_check import CHECKS, awkward_rows, checks_for, run_check
from swarmnode.inference.kernels.targets import REFERENCE, Target, available, target


@pytest.fixture(scope="module")
def truth(kernel_cache: Path) -> dict[str, bytes]:
    jit = Jit(REFERENCE, kernel_cache)
    return {name: run_check(jit, name) for name in CHECKS}


@pytest.mark.parametrize("one", available(), ids=lambda one: one.name)
@pytest.mark.parametrize("name", CHECKS)
def test_every_target_gives_the_bits_of_plain_operations(
    one: Target, name: str, truth: dict[str, bytes], kernel_cache: Path
) -> None:
    assert run_check(Jit(one, kernel_cache), name) == truth[name]


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_compares_numbers(name: str, kernel_cache: Path) -> None:
    """Nearly all of what is compared is finite, and much of it differs from zero."""
    check = Check(REFERENCE, 1 << 20)
    CHECKS[name](check)
    assert check.calls and check.used < CHECK_BYTES
    results = run_check(Jit(REFERENCE, kernel_cache), name)
    place = 0
    for _, size, kind in check.outputs:
        numbers = np.frombuffer(results[place : place + size], kind)
        place += size
        assert np.count_nonzero(numbers), name
        if issubclass(kind, np.floating) and name != "halves":
            assert np.isfinite(numbers).mean() > 0.999
    assert place == len(results)


def test_all_kinds_of_numbers_are_there() -> None:
    rows = awkward_rows(512)
    assert np.isfinite(rows).all()
    assert np.signbit(rows[rows == 0]).any() and not np.signbit(rows[rows == 0]).all()
    assert (np.abs(rows[4]) == 1).all() and rows[4].min() == -1
    small = np.abs(rows[8])
    assert 0 < small.max() < 2.0**-100


@pytest.mark.parametrize(
    ("work", "name", "limit"),
    [("_maddubs", "matmul Q4_K", 3000), ("_madd", "matmul Q6_K", 50_000), ("_madd", "matmul Q8_0", 30_000)],
)
@pytest.mark.skipif("avx2" not in [one.name for one in available()], reason="no AVX2 here")
def test_an_instruction_that_computes_otherwise_is_found(
    work: str, name: str, limit: int, truth: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An AVX2 that is right nearly always: it is wrong about the largest products only."""
    right = getattr(dots, work)

    def wrong(code: dots.Code, one: dots.Val, two: dots.Val) -> dots.Val:
        products = right(code, one, two)
        return code.select(products > limit, products - 1, products)

    monkeypatch.setattr(dots, work, wrong)
    assert run_check(Jit(target("avx2")), name) != truth[name]


def test_half_precision_that_flushes_is_found(
    truth: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, kernel_cache: Path
) -> None:
    from swarmnode.inference.kernels import append

    def flushing(code, target, value):  # type: ignore[no-untyped-def]
        return right(code, target, code.select(code.abs(value) < 2.0**-14, 0.0, value))

    right = append.narrow_half
    monkeypatch.setattr(append, "narrow_half", flushing)
    assert run_check(Jit(target("portable")), "halves") != truth["halves"]


def test_what_a_model_needs() -> None:
    names = checks_for(frozenset({"Q4_K", "F32"}), "q8_0")
    assert names == ("rows", "halves", "matmul F32", "matmul Q4_K", "attention q8_0")
    for kv in ("f32", "f16", "q8_0"):
        assert set(checks_for(frozenset(FORMATS), kv)) <= set(CHECKS)  # type: ignore[arg-type]


def test_nans_of_any_kind_are_equal_and_infinities_are_not() -> None:
    check = Check(REFERENCE, 4096)
    check.output(8, np.float32)
    memory = np.zeros((3, 64), np.uint8)
    memory[:, :8].view(np.uint32)[:] = [[0x7FC00000, 1], [0xFFC00001, 1], [0x7F800000, 1]]
    one, two, three = (check.results(row) for row in memory)
    assert one == two != three
    assert self_check.CHECK_BYTES == CHECK_BYTES
