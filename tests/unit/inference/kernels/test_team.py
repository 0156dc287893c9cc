"""Programs run by several threads: all items once, barriers kept, faults told."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from llvmlite import ir

from swarmnode.inference.kernels import team as team_module
from swarmnode.inference.kernels.code import I64, Code
from swarmnode.inference.kernels.jit import Build, Jit
from swarmnode.inference.kernels.program import Program, address_of
from swarmnode.inference.kernels.runtime import ENTRY_FIELDS, FOLLOWERS, WAITS
from swarmnode.inference.kernels.targets import available
from swarmnode.inference.kernels.team import Team, physical_cores


def kernel(name: str, body) -> tuple[str, Build]:
    def build(module: ir.Module) -> None:
        code = Code(module, name, 3)
        arguments, first, last = code.arguments
        fields = code.loads(I64, arguments, 3)
        with code.range(first, last) as item:
            body(code, fields, item)
        code.end()

    return name, build


def _count(code: Code, fields, item) -> None:
    """counts[item] += 1"""
    at = fields[0] + item * 8
    code.store(code.load(I64, at) + 1, at)


def _previous(code: Code, fields, item) -> None:
    """out[item] = in[(item + 1) % n] + 1: needs what another thread may have written."""
    at = fields[0] + (item + 1) % fields[2] * 8
    code.store(code.load(I64, at) + 1, fields[1] + item * 8)


def _double(code: Code, fields, item) -> None:
    at = fields[0] + item * 8
    code.store(code.load(I64, at) * 2, at)


COUNT, PREVIOUS, DOUBLE = (
    kernel("count", _count),
    kernel("previous", _previous),
    kernel("double", _double),
)


@pytest.fixture(params=[1, 2, 3])
def team(request: pytest.FixtureRequest, best, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(team_module, "physical_cores", lambda: 8)  # more threads than cores must do
    found = Team(best.jit, request.param)
    assert found.threads == request.param
    yield found
    found.close()


@pytest.mark.parametrize("items", [0, 1, 2, 7, 1000])
def test_every_item_is_done_once(team: Team, best, items: int) -> None:
    counts, number = np.zeros(max(items, 1), np.int64), np.array([items], np.int64)
    program = Program(best.jit)
    program.add(COUNT, [address_of(counts), 0, 0], 1, number)
    entries = program.finish()
    for run in range(1, 6):
        team.run(entries)
        assert (counts[:items] == run).all()
        assert team.done == run


def test_items_are_a_multiple_of_a_counter(team: Team, best) -> None:
    counts, number = np.zeros(60, np.int64), np.array([5], np.int64)
    program = Program(best.jit)
    program.add(COUNT, [address_of(counts), 0, 0], 12, number)
    program.add(COUNT, [address_of(counts), 0, 0], 3)  # without a counter: as many as said
    entries = program.finish()
    team.run(entries)
    assert (counts[:3] == 2).all() and (counts[3:] == 1).all()
    number[0] = 1  # read when it runs
    team.run(entries)
    assert (counts[:12] >= 2).all() and (counts[12:] == 1).all()


def test_barriers(team: Team, best) -> None:
    """A chain of dependences through all items: wrong as soon as one thread runs ahead."""
    size, steps = 97, 200
    places = [np.zeros(size, np.int64), np.zeros(size, np.int64)]
    program = Program(best.jit)
    for step in range(steps):
        one, two = places[step % 2], places[(step + 1) % 2]
        program.add(PREVIOUS, [address_of(one), address_of(two), size], size)
    entries = program.finish()
    assert (entries[:, WAITS] == 1).all()
    for run in range(1, 4):
        team.run(entries)
        assert (places[steps % 2] == run * steps).all()
        assert team.done == run * steps


def test_chains_follow_on_the_same_items(team: Team, best) -> None:
    values, number = np.arange(50, dtype=np.int64), np.array([50], np.int64)
    place = [address_of(values), 0, 0]
    program = Program(best.jit)
    program.chain(COUNT, place, 1, number)
    program.chain(DOUBLE, place, 1, number)
    program.chain(COUNT, place, 1, number)
    program.end_chain()
    program.chain(DOUBLE, place, 1, number)
    entries = program.finish()
    np.testing.assert_array_equal(entries[:, FOLLOWERS], [2, 0, 0, 0])
    np.testing.assert_array_equal(entries[:, WAITS], [1, 0, 0, 1])
    team.run(entries)
    np.testing.assert_array_equal(values, ((np.arange(50) + 1) * 2 + 1) * 2)


def test_one_chain_is_over_one_kind_of_items(best) -> None:
    program, number, other = Program(best.jit), np.ones(1, np.int64), np.ones(1, np.int64)
    program.chain(COUNT, [0, 0, 0], 1, number)
    with pytest.raises(AssertionError, match="one kind of items"):
        program.chain(COUNT, [0, 0, 0], 1, other)


def test_entries_that_do_not_wait(team: Team, best) -> None:
    """Two products of one input may run side by side; the third waits for both."""
    one, two, out = (np.zeros(500, np.int64) for _ in range(3))
    program = Program(best.jit)
    program.add(COUNT, [address_of(one), 0, 0], 500)
    program.add(COUNT, [address_of(two), 0, 0], 500, waits=False)
    program.add(PREVIOUS, [address_of(two), address_of(out), 500], 500)
    entries = program.finish()
    team.run(entries)
    assert (one == 1).all() and (two == 1).all() and (out == 2).all()


def test_fewer_threads_for_one_run(team: Team, best) -> None:
    counts = np.zeros(100, np.int64)
    program = Program(best.jit)
    program.add(COUNT, [address_of(counts), 0, 0], 100)
    entries = program.finish()
    for threads in (1, 2, 99, None):
        team.run(entries, threads)
    assert (counts == 4).all()


def test_an_empty_program(team: Team, best) -> None:
    team.run(Program(best.jit).finish())
    assert team.done == 0


def test_each(team: Team) -> None:
    done = np.zeros(100, np.int64)

    def work(item: int) -> None:
        done[item] += 1

    team.each(work, 100)
    assert (done == 1).all()
    team.each(work, 0)


def test_each_tells_the_first_fault_and_stops(team: Team) -> None:
    seen = []

    def work(item: int) -> None:
        seen.append(item)
        if item >= 3:
            raise ValueError(f"no {item}")

    with pytest.raises(ValueError, match=r"no [345]"):
        team.each(work, 10_000)
    assert len(seen) <= 3 + 2 * team.threads


def test_threads_end_when_closed(best) -> None:
    before = threading.active_count()
    team = Team(best.jit, 2)
    workers = [one for one in threading.enumerate() if one.name.startswith("kernel-")]
    team.close()
    for worker in workers:
        worker.join(timeout=60)
    assert not any(worker.is_alive() for worker in workers)
    assert threading.active_count() <= before


def test_no_more_threads_than_cores(best, monkeypatch: pytest.MonkeyPatch) -> None:
    assert physical_cores() >= 1
    for wanted, cores, given in ((5, 2, 2), (0, 2, 1), (2, 3, 2)):
        monkeypatch.setattr(team_module, "physical_cores", lambda cores=cores: cores)
        team = Team(best.jit, wanted)
        assert team.threads == given
        team.close()


def test_progress_never_falls(team: Team, best) -> None:
    """Longer and shorter programs, one after another: the room for their counters grows."""
    counts = np.zeros(10, np.int64)
    total = 0
    for length in (3, 1, 50, 2):
        program = Program(best.jit)
        for _ in range(length):
            program.add(COUNT, [address_of(counts), 0, 0], 10)
        team.run(program.finish())
        total += length
        assert team.done == total


def test_a_team_that_was_closed_runs_nothing(best) -> None:
    team = Team(best.jit, 2)
    team.close()
    with pytest.raises(AssertionError):
        team.run(Program(best.jit).finish())


def test_a_team_keeps_the_code_that_it_runs(kernel_cache) -> None:
    team = Team(Jit(available()[0], kernel_cache), 2)
    gc.collect()
    team.run(np.zeros((0, ENTRY_FIELDS), np.int64))
    team.close()
