"""Mixtures of experts: which rows go where, and what comes back (arXiv 2401.04088)."""

from __future__ import annotations

from llvmlite import ir

from swarmnode.inference.kernels.code import F32, F32V, I64, LANES, Code, Val, Var, vector
from swarmnode.inference.kernels.floats import exp
from swarmnode.inference.kernels.jit import Build

#: The fields of `route`'s arguments: scores, bytes of a row, experts, experts used, address of the count of
#: rows; then what it writes: COUNTS and STARTS (i64 [experts]), ROWS and PAIRS (i64 [rows * used]: the row
#: that a pair is of, and the pair's number, expert after expert), chosen experts (i64 [rows, used]), their
#: weights (float32 [rows, used]).
ROUTE_FIELDS = 11
#: The fields of `combine`'s: results of pairs, bytes of one, count, target, bytes of a row, weights, used.
COMBINE_FIELDS = 7

_LOWEST = -3.0e38
#: A probability that marks an expert as taken.
_TAKEN = -1.0


def route() -> tuple[str, Build]:
    """The kernel, with one item: softmax over all experts, the best `used` of each row (of equal ones the
    first) in the order of their numbers, divided by their sum."""
    return "route", _build_route


def _build_route(module: ir.Module) -> None:
    code = Code(module, "route", 3)
    fields = code.loads(I64, code.arguments[0], ROUTE_FIELDS)
    scores, row_bytes, experts, used, count_at = fields[:5]
    counts, starts, rows_out, pairs_out, chosen, weights = fields[5:]
    count = code.load(I64, count_at)
    with code.range(0, experts) as expert:
        code.store(code.int(0), counts + expert * 8)
    with code.range(0, count) as row:
        at = scores + row * row_bytes
        _softmax(code, at, experts)
        mine, shares = chosen + row * used * 8, weights + row * used * 4
        with code.range(0, used) as slot:
            best, share = _best(code, at, experts)
            code.store(code.f32(_TAKEN), at + best * 4)
            _insert(code, mine, shares, slot, best, share)
            place = counts + best * 8
            code.store(code.load(I64, place) + 1, place)
        total = Var(code, code.f32(0.0))
        with code.range(0, used) as slot:
            total.set(total.get() + code.load(F32, shares + slot * 4))
        with code.range(0, used) as slot:
            code.store(code.load(F32, shares + slot * 4) / total.get(), shares + slot * 4)
    _sort_pairs(code, experts, count * used, used, counts, starts, rows_out, pairs_out, chosen)
    code.end()


def _softmax(code: Code, scores: Val, experts: Val) -> None:
    """In place; the padding up to whole vectors comes to nothing."""
    lane = code.lanes(vector(I64, LANES), range(LANES))
    highest = Var(code, code.const(F32V, _LOWEST))
    with code.range(0, experts, LANES) as index:
        inside = (lane + code.splat(index)) < code.splat(experts)
        value = code.select(inside, code.load(F32V, scores + index * 4), _LOWEST)
        code.store(value, scores + index * 4)
        highest.set(code.select(value <= highest.get(), highest.get(), value))
    peak = code.splat(code.fold(highest.get(), lambda one, two: code.select(two <= one, one, two)))
    total = Var(code, code.const(F32V, 0.0))
    with code.range(0, experts, LANES) as index:
        inside = (lane + code.splat(index)) < code.splat(experts)
        value = code.select(inside, exp(code, code.load(F32V, scores + index * 4) - peak), 0.0)
        code.store(value, scores + index * 4)
        total.set(total.get() + value)
    whole = code.splat(code.sum(total.get()))
    with code.range(0, experts, LANES) as index:
        code.store(code.load(F32V, scores + index * 4) / whole, scores + index * 4)


def _best(code: Code, shares: Val, experts: Val) -> tuple[Val, Val]:
    """The number of the largest share, the first of equal ones, and the share."""
    best, highest = Var(code, code.int(0)), Var(code, code.load(F32, shares))
    with code.range(1, experts) as expert:
        share = code.load(F32, shares + expert * 4)
        higher = share > highest.get()
        best.set(code.select(higher, expert, best.get()))
        highest.set(code.select(higher, share, highest.get()))
    return best.get(), highest.get()


def _insert(code: Code, chosen: Val, shares: Val, filled: Val, expert: Val, share: Val) -> None:
    """Put an expert in its place among the `filled` ones before it."""
    place = Var(code, filled)

    def before() -> Val:
        position = place.get()
        one_before = code.select(position > 0, position - 1, position)
        larger = code.load(I64, chosen + one_before * 8) > expert
        return (position > 0) & larger

    with code.loop_while(before):
        at = place.get()
        code.store(code.load(I64, chosen + (at - 1) * 8), chosen + at * 8)
        code.store(code.load(F32, shares + (at - 1) * 4), shares + at * 4)
        place.set(at - 1)
    code.store(expert, chosen + place.get() * 8)
    code.store(share, shares + place.get() * 4)


def _sort_pairs(
    code: Code,
    experts: Val,
    pairs: Val,
    used: Val,
    counts: Val,
    starts: Val,
    rows_out: Val,
    pairs_out: Val,
    chosen: Val,
) -> None:
    """Pairs expert after expert; in each in the order of rows. The counts are built up again."""
    begin = Var(code, code.int(0))
    with code.range(0, experts) as expert:
        code.store(begin.get(), starts + expert * 8)
        begin.set(begin.get() + code.load(I64, counts + expert * 8))
        code.store(code.int(0), counts + expert * 8)
    with code.range(0, pairs) as pair:
        expert = code.load(I64, chosen + pair * 8)
        done = code.load(I64, counts + expert * 8)
        place = (code.load(I64, starts + expert * 8) + done) * 8
        code.store(done + 1, counts + expert * 8)
        code.store(pair // used, rows_out + place)
        code.store(pair, pairs_out + place)


def combine() -> tuple[str, Build]:
    """The kernel over rows: the sum of the experts' results times their weights, in the order of experts."""
    return "combine", _build_combine


def _build_combine(module: ir.Module) -> None:
    code = Code(module, "combine", 3)
    arguments, first, last = code.arguments
    results, result_bytes, size, target, row_bytes, weights, used = code.loads(I64, arguments, COMBINE_FIELDS)
    with code.range(first, last) as row, code.range(0, size, LANES) as index:
        total = Var(code, code.const(F32V, 0.0))
        with code.range(0, used) as slot:
            pair = row * used + slot
            weight = code.splat(code.load(F32, weights + pair * 4))
            value = code.load(F32V, results + pair * result_bytes + index * 4)
            total.set(code.fma(value, weight, total.get()))
        code.store(total.get(), target + row * row_bytes + index * 4)
    code.end()
