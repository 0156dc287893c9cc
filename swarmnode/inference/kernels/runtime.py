"""Running a program: a list of kernels with their arguments, by several threads, in one call.

Each thread runs `run` on the same program. The items of an entry (panels, rows) are handed out as they are
asked for, so a thread that the system holds up holds up no more than what it has in hand. Entries that need
what earlier ones wrote wait at a barrier.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir

from swarmnode.inference.kernels.code import I32, I64, POINTER, Code, Val, Var
from swarmnode.inference.kernels.jit import Build
from swarmnode.inference.kernels.targets import Target

#: Fields of an entry, i64 each. Its items are MULTIPLIER times the number at COUNTER. FOLLOWERS entries after
#: it are run on the same items right after it, by the same thread. WAITS: whether all before must be done.
#: Two fields are spare.
KERNEL, ARGUMENTS, MULTIPLIER, COUNTER, FOLLOWERS, WAITS = range(6)
ENTRY_FIELDS = 8
ENTRY_BYTES = 8 * ENTRY_FIELDS

#: What `run` shares between threads, 64 bytes each: the barrier's count, the entries done, then a counter of
#: items handed out for each entry. All but the entries done, to which it adds, are zero before a run.
BARRIER, DONE, ITEMS = 0, 64, 128
LINE = 64

#: How often a waiting thread looks before it lets another program run, and how many parts an entry is cut
#: into for each thread.
_SPINS = 512
_PARTS = 8


def run(target: Target) -> tuple[str, Build]:
    """`void run(program, entries, shared, thread, threads, address of sched_yield)`."""
    return "run", partial(_build, target)


def _build(target: Target, module: ir.Module) -> None:
    code = Code(module, "run", 6)
    program, entries, shared, thread, threads, give_way = code.arguments
    barriers = Var(code, code.int(0))
    index = Var(code, code.int(0))
    with code.loop_while(lambda: index.get() < entries):
        entry = program + index.get() * ENTRY_BYTES
        fields = code.loads(I64, entry, WAITS + 1)
        with code.when(fields[WAITS] > 0):
            barriers.set(barriers.get() + threads)
            _wait(code, target, shared, barriers.get(), give_way)
        items = fields[MULTIPLIER] * code.load(I64, fields[COUNTER])
        parts = items // (threads * _PARTS)
        grain = code.select(parts > 0, parts, code.int(1))
        counter = shared + ITEMS + index.get() * LINE
        begin = Var(code, _add(code, counter, grain))
        with code.loop_while(lambda: begin.get() < items):
            stop = begin.get() + grain
            end = code.select(stop < items, stop, items)
            with code.range(0, fields[FOLLOWERS] + 1) as follower:
                at = entry + follower * ENTRY_BYTES
                kernel, arguments = code.load(I64, at, 8 * KERNEL), code.load(I64, at, 8 * ARGUMENTS)
                code.call(kernel, arguments, begin.get(), end)
            begin.set(_add(code, counter, grain))
        with code.when(thread.eq(0)):
            _add(code, shared + DONE, code.int(1))
        index.set(index.get() + fields[FOLLOWERS] + 1)
    code.end()


def _pointer(code: Code, address: Val) -> Any:
    return code.builder.inttoptr(address.ir, POINTER)


def _add(code: Code, address: Val, amount: Val) -> Val:
    """Add atomically; what was there before."""
    return Val(code, code.builder.atomic_rmw("add", _pointer(code, address), amount.ir, "acq_rel"))


def _wait(code: Code, target: Target, shared: Val, wanted: Val, give_way: Val) -> None:
    """Until all threads have come here. The first looks are quick; then others may run in between."""
    barrier = shared + BARRIER
    _add(code, barrier, code.int(1))
    spins = Var(code, code.int(0))

    def missing() -> Val:
        seen = code.builder.load_atomic(_pointer(code, barrier), "acquire", 8, typ=I64)
        return Val(code, seen) < wanted

    with code.loop_while(missing):
        spins.set(spins.get() + 1)
        _pause(code, target)
        with code.when((spins.get() % _SPINS).eq(0)):
            code.call(give_way)


def _pause(code: Code, target: Target) -> None:
    void = ir.VoidType()
    if target.dot == "neon":
        code.intrinsic("llvm.aarch64.hint", void, code.const(I32, 1))
    elif target.triple == "" and target.dot != "portable":
        code.intrinsic("llvm.x86.sse2.pause", void)
